"""Gets an answer out of a list of models: bounded retries on each, then the next one.

Time, sleeping and jitter are passed in; requests are sent by the clients. Bounds are in attempts and in wall time, because an endpoint
that asks for an hour's wait, or answers every failure after minutes, would otherwise hold a Job for as long as it likes.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from isobench_runner.contract import Model, Reason, StageError

from .answers import (
    Answer,
    KeyMissing,
    KeyRejected,
    KeySource,
    Message,
    ModelError,
    OptionRefused,
    Transient,
    Try,
    Unusable,
    name_of,
)
from .keys import key_from_file
from .options import Refusals
from .wire import Client, client_of


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """How long to insist.

    Attributes:
        attempts: requests to one model for one answer.
        wall_seconds: for one answer from one model, waits included.
        request_seconds: of silence after which a request is given up; a whole request may take four times that.
        first_wait_seconds, longest_wait_seconds: of the exponential backoff, where the endpoint names no wait.
    """

    attempts: int = 5
    wall_seconds: float = 900.0
    request_seconds: float = 180.0
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 60.0


PROCESS_REFUSALS = Refusals()
"""What endpoints refused since this process began."""


@dataclass
class Asker:
    """Asks the models in order; an `answers.Ask`.

    Attributes:
        clock: seconds, monotonic.
        jitter: a number in [0, 1) for every wait.
    """

    models: Sequence[Model]
    keys: KeySource = key_from_file
    bounds: Bounds = field(default_factory=Bounds)
    refusals: Refusals = field(default_factory=lambda: PROCESS_REFUSALS)
    client_of: Callable[[str], Client] = client_of
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def __call__(self, messages: list[Message]) -> Answer:
        """The first answer that is no refusal.

        A model whose key is refused, that is not there, or that declines, is passed over for the next.

        Raises:
            StageError: ModelKeyRejected (every key was refused), MissingInput (every key is missing), ModelRefused (none answered, and
                at least one declined), ModelUnavailable (anything else); the message has the last word of each model.
        """
        tries: list[Try] = []
        ends: list[tuple[Model, ModelError | Answer]] = []
        for model in self.models:
            try:
                answer = self._insist(messages, model, tries)
            except ModelError as error:
                ends.append((model, error))
                continue
            if answer.finish != "refusal":
                return replace(answer, tries=tuple(tries))
            tries.append(Try(model=name_of(model), error=f"declined: {answer.text}", seconds=answer.latency_seconds))
            ends.append((model, answer))
        raise _conclusion(ends)

    def _insist(self, messages: list[Message], model: Model, tries: list[Try]) -> Answer:
        begin = self.clock()
        key = self.keys(model)
        failed = 0
        while True:
            start = self.clock()
            options, dropped = self.refusals.apply(model)
            try:
                answer = self.client_of(model.provider)(
                    messages, model, options, key=key, timeout=self.bounds.request_seconds
                )
                return replace(answer, not_applied=dropped)
            except OptionRefused as error:
                tries.append(Try(model=name_of(model), error=str(error), seconds=self.clock() - start))
                if not self.refusals.note(model, error):
                    raise Unusable(str(error)) from error
            except Transient as error:
                failed += 1
                tries.append(Try(model=name_of(model), error=str(error), seconds=self.clock() - start))
                wait = self._wait(error, failed)
                if failed >= self.bounds.attempts or self.clock() - begin + wait > self.bounds.wall_seconds:
                    raise
                self.sleep(wait)
            except ModelError as error:
                tries.append(Try(model=name_of(model), error=str(error), seconds=self.clock() - start))
                raise

    def _wait(self, error: Transient, failed: int) -> float:
        """What the endpoint asks for, plus up to a tenth so that clients do not return in step; else exponential, with full jitter."""
        if error.retry_after is not None:
            return error.retry_after * (1 + self.jitter() / 10)
        longest = min(self.bounds.longest_wait_seconds, self.bounds.first_wait_seconds * 2.0 ** (failed - 1))
        return longest * (0.5 + self.jitter() / 2)


def _conclusion(ends: Sequence[tuple[Model, ModelError | Answer]]) -> StageError:
    words = "; ".join(
        f"{name_of(model)}: {f'declined: {end.text[:300]}' if isinstance(end, Answer) else end}" for model, end in ends
    )
    if not ends:
        return StageError(Reason.SPEC_INVALID, "generate.models names no model; add one, or give the test as a script")
    if all(isinstance(end, KeyMissing) for _, end in ends):
        return StageError(Reason.MISSING_INPUT, words)
    if all(isinstance(end, KeyRejected) for _, end in ends):
        return StageError(Reason.MODEL_KEY_REJECTED, words)
    if any(isinstance(end, Answer) for _, end in ends):
        return StageError(Reason.MODEL_REFUSED, words)
    return StageError(Reason.MODEL_UNAVAILABLE, words)
