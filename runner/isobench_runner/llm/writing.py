"""Gets a test written: asks, reads the answer, and asks again within bounds, keeping every attempt.

The loop behind the stage `generate` and behind `isobench generate`. It runs nothing that it is answered and writes no file: whoever
calls it gets each attempt as it ends, because an answer that was paid for must not be lost to what comes after it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from isobench_runner.contract import EXPLANATIONS, Model, Reason, StageError
from isobench_runner.prompts_folder import Prompt

from .answers import Answer, Ask, Message
from .cutting import tokens
from .findings import Finding, fatal
from .markdown import python_of
from .material import Material
from .prices import price, total
from .prompting import PROMPT_TOKENS, anew, opening, repair_fallen, repair_written
from .script_contract import inspect_script, meets_contract

_REPAIRED = frozenset({Reason.TEST_SYNTAX, Reason.CONTRACT_UNMET})


@dataclass(frozen=True, kw_only=True)
class Fallen:
    """A test that fell on base, and what was seen there."""

    test: str
    reason: Reason
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How many further answers may be asked for.

    Attributes:
        regenerate: where an answer holds no usable test: none at all, an empty one, a copy, a mock, one cut at the limit of tokens.
        repair: where it does not compile or does not meet the contract.
    """

    regenerate: int = 2
    repair: int = 2
    prompt_tokens: int = PROMPT_TOKENS


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One answer and what became of it.

    Attributes:
        kind: first, regenerate, repair, or execution for the correction of a test that fell on base.
        messages: what was sent, word for word.
        reason: why the answer was not used; None for the one that was.
    """

    number: int
    kind: str
    messages: tuple[Message, ...]
    answer: Answer
    code: str | None
    reason: Reason | None
    words: str
    findings: tuple[Finding, ...]

    def usage(self) -> dict[str, Any]:
        """Tokens and price; `estimated` where the endpoint did not count, and `usd` None where the price is not known."""
        sent, received = self.answer.prompt_tokens, self.answer.completion_tokens
        usd = price(self.answer.model, sent, received)
        return {
            "promptTokens": sent if sent is not None else sum(tokens(message["content"]) for message in self.messages),
            "completionTokens": received if received is not None else tokens(self.answer.text),
            "estimated": sent is None or received is None,
            "usd": None if usd is None else format(usd.normalize(), "f"),
        }

    def to_json(self) -> dict[str, Any]:
        """The attempt as it is kept."""
        answer, model = self.answer, self.answer.model
        return {
            "number": self.number,
            "kind": self.kind,
            "provider": model.provider,
            "model": model.model,
            "base_url": model.base_url,
            "applied": dict(answer.applied),
            "not_applied": dict(answer.not_applied),
            "messages": [dict(message) for message in self.messages],
            "answer": answer.text,
            "finish": answer.finish,
            "code": self.code,
            "verdict": self.reason.value if self.reason else "accepted",
            "words": self.words,
            "findings": [
                {"reason": f.reason.value, "fatal": f.fatal, "words": f.words, "line": f.line} for f in self.findings
            ],
            "usage": self.usage(),
            "latency_seconds": round(answer.latency_seconds, 3),
            "tries": [{"model": t.model, "error": t.error, "seconds": round(t.seconds, 3)} for t in answer.tries],
        }


@dataclass(frozen=True, kw_only=True)
class Written:
    """What came of it.

    Attributes:
        source: the test, or None where none was accepted.
        reason, words: why not, of the last attempt.
        regenerate, repair: how many of the limits were used.
        left_out: what of the commit the prompt did not show.
    """

    attempts: tuple[Attempt, ...]
    source: str | None
    reason: Reason | None
    words: str
    regenerate: int
    repair: int
    left_out: tuple[str, ...]

    @property
    def model(self) -> Model | None:
        """Who wrote what was accepted last, or answered last."""
        return self.attempts[-1].answer.model if self.attempts else None


def usage_of(attempts: list[dict[str, Any]]) -> dict[str, str | None]:
    """The sum over attempts in their kept form, as strings; `usd` None as soon as one price is not known."""
    rows = [attempt["usage"] for attempt in attempts]
    return {
        "promptTokens": str(sum(row["promptTokens"] for row in rows)),
        "completionTokens": str(sum(row["completionTokens"] for row in rows)),
        "usd": total(None if row["usd"] is None else Decimal(row["usd"]) for row in rows),
    }


@dataclass
class _Conversation:
    """What is to be asked next."""

    kind: str
    messages: list[Message]
    regenerate: int = 0
    repair: int = 0
    attempts: list[Attempt] = field(default_factory=list)


def _judge(answer: Answer, material: Material) -> tuple[str | None, Reason | None, str, list[Finding]]:
    """The code of an answer, why it is not used or None, in words, and all that was found."""
    code = python_of(answer.text, accepts=meets_contract)
    if answer.finish == "length" and (code is None or not meets_contract(code)):
        limit = answer.applied.get("max_tokens", answer.applied.get("max_completion_tokens"))
        return code, Reason.ANSWER_CUT, f"the answer was cut at the limit of {limit} tokens; write a shorter file", []
    if code is None:
        return None, Reason.NO_CODE, "the answer holds no Python code", []
    found = inspect_script(code, patch=material.patch, package=material.package, functions=material.functions)
    worst = fatal(found)
    if worst is None:
        return code, None, "", found
    words = "\n".join(f"- {finding.words}" for finding in found if finding.fatal)
    return code, worst.reason, words, found


def write_test(
    ask: Ask,
    prompt: Prompt,
    material: Material,
    *,
    limits: Limits,
    fallen: Fallen | None = None,
    keep: Callable[[Attempt], None] = lambda _: None,
) -> Written:
    """Ask until a test is accepted or the limits are used up.

    Args:
        fallen: correct this test instead of writing a first one.
        keep: called with each attempt as soon as it has ended.

    Raises:
        StageError: no model answered (what was paid for before was given to `keep`), or the prompt cannot be made.
    """
    room = limits.prompt_tokens - (tokens(fallen.test) if fallen else 0)
    first = opening(prompt, material, budget_tokens=room)
    messages: list[Message] = [{"role": "user", "content": first.text}]
    if fallen is not None:
        messages = repair_fallen(
            first.text, fallen.test, reason=fallen.reason, evidence=fallen.evidence, material=material
        )
    state = _Conversation("first" if fallen is None else "execution", messages)
    start = messages
    while True:
        answer = ask(state.messages)
        code, reason, words, found = _judge(answer, material)
        attempt = Attempt(
            number=len(state.attempts) + 1,
            kind=state.kind,
            messages=tuple(state.messages),
            answer=answer,
            code=code,
            reason=reason,
            words=words,
            findings=tuple(found),
        )
        state.attempts.append(attempt)
        keep(attempt)
        if reason is None or not _next(state, attempt, first=first.text, start=start, limits=limits):
            return Written(
                attempts=tuple(state.attempts),
                source=code if reason is None else None,
                reason=reason,
                words=words if reason is None else _for_people(words, reason),
                regenerate=state.regenerate,
                repair=state.repair,
                left_out=first.left_out,
            )


def _for_people(words: str, reason: Reason) -> str:
    """The list that a model is shown as one line, with what it means."""
    return f"{words.removeprefix('- ').replace(chr(10) + '- ', '; ')} ({EXPLANATIONS[reason].meaning})"


def _next(state: _Conversation, last: Attempt, *, first: str, start: list[Message], limits: Limits) -> bool:
    """Choose what to ask after an answer that is not used; False where the limits are used up."""
    if last.reason in _REPAIRED and last.code is not None and state.repair < limits.repair:
        state.repair += 1
        state.kind = "repair"
        state.messages = repair_written(first, last.code, reason=last.reason, words=last.words)
        return True
    if last.reason not in _REPAIRED and state.regenerate < limits.regenerate:
        state.regenerate += 1
        state.kind = "regenerate"
        *before, question = start
        state.messages = [*before, *anew(question["content"], last.words)]
        return True
    return False


def failed(written: Written) -> StageError:
    """The typed failure of a test that was not written."""
    return StageError(written.reason or Reason.NO_CODE, written.words)
