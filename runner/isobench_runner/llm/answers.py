"""The words that everything about language models is said in: messages, answers, and why a request failed.

Nothing here knows a provider, a prompt or a test.

    ModelError
    ├── Transient       another try of the same request may succeed (429, 5xx, overload, timeouts, cut connections)
    ├── OptionRefused   the same request without one option may succeed
    ├── KeyRejected     the endpoint refuses the key
    │   └── KeyMissing  there is no key where one was named
    └── Unusable        this model cannot answer this request at all (no such model, prompt too long, no credit left)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypedDict

from isobench_runner.contract import Model

Finish = Literal["stop", "length", "refusal"]
KeySource = Callable[[Model], str | None]
"""Gives the key of a model, or None where its endpoint wants none. Raises KeyMissing."""


class Message(TypedDict):
    """One turn of a conversation, as both wire protocols write it."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Try:
    """One request that gave no answer.

    Attributes:
        model: `provider:model`.
        error: what the endpoint said, without keys.
        seconds: how long it took.
    """

    model: str
    error: str
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a model said.

    Attributes:
        finish: `stop`; `length` where it was cut at the limit of tokens; `refusal` where the model or a filter declined.
        prompt_tokens, completion_tokens: as billed; None where the endpoint does not say.
        latency_seconds: from sending the request that was answered to its last token.
        applied: options as they were sent, under the names they were sent by.
        not_applied: options that the endpoint refused, with what was wanted.
        tries: what failed before this answer.
    """

    text: str
    finish: Finish
    model: Model
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_seconds: float = 0.0
    applied: Mapping[str, object] = field(default_factory=dict)
    not_applied: Mapping[str, object] = field(default_factory=dict)
    tries: tuple[Try, ...] = ()


class ModelError(Exception):
    """A request without an answer."""


class Transient(ModelError):  # noqa: N818 - named after what happened
    """Trying again may help.

    Attributes:
        retry_after: seconds that the endpoint asks to wait, or None.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OptionRefused(ModelError):  # noqa: N818
    """The endpoint does not take one of the options.

    Attributes:
        option: its name on the wire.
        limit: the largest value that the endpoint says it takes, where it says so.
    """

    def __init__(self, message: str, *, option: str, limit: int | None = None) -> None:
        super().__init__(message)
        self.option = option
        self.limit = limit


class KeyRejected(ModelError):  # noqa: N818
    """The endpoint refuses the key (401, 403)."""


class KeyMissing(KeyRejected):
    """The file or variable that should hold the key is not there, or is empty."""


class Unusable(ModelError):  # noqa: N818
    """This model will not answer this request, however often it is sent."""


class Ask(Protocol):
    """Something that gets an answer, whatever it takes: retries and fallbacks are behind it."""

    def __call__(self, messages: list[Message]) -> Answer:
        """Ask.

        Raises:
            StageError: ModelUnavailable, ModelKeyRejected, ModelRefused or MissingInput.
        """
        ...


def name_of(model: Model) -> str:
    """`provider:model`, or with the endpoint where it is not the provider's own."""
    return f"{model.provider}:{model.model}" + (f" at {model.base_url}" if model.base_url else "")
