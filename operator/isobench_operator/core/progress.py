"""How far a Commit is: what status says, as frozen values, and back.

Everything that a later decision needs after a Job is gone is here and so in status. Reading status and writing it again gives the
same status: that is what makes a restart harmless. Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, Self

from isobench_runner.contract import Reason, cut_bytes

REVISIONS = ("base", "head", "main")
STAGES = ("prepare-base", "prepare-head", "prepare-main", "generate", "base", "head", "main")
MAX_STAGE_MESSAGE = 800
"""Bytes of evidence that status keeps of a failed stage: at most three stages can have failed, and a custom resource stays below 10 KB."""
State = Literal["Pending", "Succeeded", "Failed", "Cancelled"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One kind of Job of a Commit.

    Attributes:
        attempt: number of the Job that counts, never used twice.
        state: Pending from before it is created until its end is recorded.
        incomparable: how often it was measured again for Incomparable, since the last retry.
    """

    attempt: int = 1
    state: State = "Pending"
    reason: Reason | None = None
    message: str = ""
    incomparable: int = 0

    def again(self, *, incomparable: int | None = None) -> Stage:
        """The next attempt."""
        counted = self.incomparable if incomparable is None else incomparable
        return Stage(attempt=self.attempt + 1, incomparable=counted)

    def failed(self, reason: Reason, message: str) -> Stage:
        """This attempt's failure."""
        return replace(self, state="Failed", reason=reason, message=cut_bytes(message, MAX_STAGE_MESSAGE))

    def succeeded(self) -> Stage:
        """This attempt's success."""
        return replace(self, state="Succeeded", reason=None, message="")


@dataclass(frozen=True, kw_only=True)
class Fallen:
    """A test that fell on base, and what the model is shown of it."""

    test: str
    evidence: str
    reason: Reason


@dataclass(frozen=True, kw_only=True)
class Script:
    """The test, and how often it was asked for since the last retry.

    Attributes:
        digest: of the script; None until there is one.
        attempts: answers of models used, over the Commit's whole life.
        regenerate, repair, execute: what of the spec's bounds is used up.
        better: whether a better test was asked for already, which happens once.
        first: the test to fall back on while a better one is tried, with its share of time in changed code.
        fallen: what the next answer has to repair.
    """

    digest: str | None = None
    origin: Literal["given", "generated"] | None = None
    model: str | None = None
    attempts: int = 0
    regenerate: int = 0
    repair: int = 0
    execute: int = 0
    better: bool = False
    first: str | None = None
    first_model: str | None = None
    first_share: str | None = None
    fallen: Fallen | None = None


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What the Commit has cost so far."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: Decimal = Decimal(0)
    gpu_seconds: Decimal = Decimal(0)

    def plus(self, reported: Mapping[str, Any], *, gpu_seconds: float = 0.0) -> Usage:
        """With one Job's report added."""
        return Usage(
            prompt_tokens=self.prompt_tokens + int(reported.get("promptTokens") or 0),
            completion_tokens=self.completion_tokens + int(reported.get("completionTokens") or 0),
            usd=self.usd + Decimal(str(reported.get("usd") or 0)),
            gpu_seconds=self.gpu_seconds + Decimal(str(round(gpu_seconds, 1))),
        )


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A Commit's status without its conditions.

    Attributes:
        retry: the value of the retry annotation that was acted upon.
        stages: only those that differ from a first attempt not yet ended.
        revisions: fields of `status.revisions` by name, values as they stand in status.
    """

    retry: str = ""
    stages: Mapping[str, Stage] = field(default_factory=dict)
    revisions: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    artifacts: Mapping[str, str] = field(default_factory=dict)
    test: Script = field(default_factory=Script)
    result: Mapping[str, Any] | None = None
    usage: Usage = field(default_factory=Usage)

    def stage(self, name: str) -> Stage:
        """A stage, by default a first attempt that has not ended."""
        return self.stages.get(name, Stage())

    def with_stage(self, name: str, stage: Stage) -> Progress:
        """With one stage changed."""
        return replace(self, stages={**self.stages, name: stage})

    def revision(self, name: str) -> Mapping[str, Any]:
        """A revision's fields, empty where nothing is known yet."""
        return self.revisions.get(name, {})

    def with_revision(self, name: str, fields: Mapping[str, Any]) -> Progress:
        """With fields of a revision changed; None takes a field away."""
        merged = {**self.revision(name), **fields}
        kept = {key: value for key, value in merged.items() if value is not None}
        return replace(self, revisions={**self.revisions, name: kept})

    def succeeded(self, name: str) -> bool:
        """Whether a stage has its output."""
        return self.stage(name).state == "Succeeded"

    @classmethod
    def from_status(cls, status: Mapping[str, Any]) -> Self:
        """Read status; what is missing has not happened yet."""
        stages = {}
        for entry in status.get("stages") or ():
            stages[entry["name"]] = Stage(
                attempt=int(entry["attempt"]),
                state=entry["state"],
                reason=Reason(entry["reason"]) if entry.get("reason") else None,
                message=entry.get("message") or "",
                incomparable=int(entry.get("incomparable") or 0),
            )
        usage = status.get("usage") or {}
        return cls(
            retry=status.get("observedRetry") or "",
            stages=stages,
            revisions={
                entry["name"]: {key: value for key, value in entry.items() if key != "name" and value is not None}
                for entry in status.get("revisions") or ()
            },
            artifacts={key: value for key, value in (status.get("artifacts") or {}).items() if value is not None},
            test=_test(status.get("test") or {}),
            result=status.get("result") or None,
            usage=Usage(
                prompt_tokens=int(usage.get("promptTokens") or 0),
                completion_tokens=int(usage.get("completionTokens") or 0),
                usd=Decimal(str(usage.get("usd") or 0)),
                gpu_seconds=Decimal(str(usage.get("gpuSeconds") or 0)),
            ),
        )

    def to_status(self) -> dict[str, Any]:
        """Write status, in a fixed order and without empty fields."""
        body: dict[str, Any] = {
            "observedRetry": self.retry,
            "revisions": [{"name": name, **self.revisions[name]} for name in REVISIONS if self.revisions.get(name)],
            "artifacts": dict(self.artifacts),
            "result": dict(self.result) if self.result else None,
            "test": _test_status(self.test),
            "stages": [_stage_status(name, self.stages[name]) for name in STAGES if name in self.stages],
            "usage": {
                "promptTokens": self.usage.prompt_tokens,
                "completionTokens": self.usage.completion_tokens,
                "usd": f"{self.usage.usd:f}" if self.usage.usd else "0.00",
                "gpuSeconds": f"{self.usage.gpu_seconds:f}" if self.usage.gpu_seconds else "0",
            },
        }
        return {key: value for key, value in body.items() if value}


def _stage_status(name: str, stage: Stage) -> dict[str, Any]:
    body: dict[str, Any] = {"name": name, "attempt": stage.attempt, "state": stage.state}
    if stage.reason is not None:
        body["reason"] = stage.reason.value
    if stage.message:
        body["message"] = stage.message
    if stage.incomparable:
        body["incomparable"] = stage.incomparable
    return body


def _test(body: Mapping[str, Any]) -> Script:
    fallen, first = body.get("fallen"), body.get("first") or {}
    return Script(
        digest=body.get("digest"),
        origin=body.get("origin"),
        model=body.get("model"),
        attempts=int(body.get("attempts") or 0),
        regenerate=int(body.get("regenerate") or 0),
        repair=int(body.get("repair") or 0),
        execute=int(body.get("execute") or 0),
        better=bool(body.get("askedBetter")),
        first=first.get("digest"),
        first_model=first.get("model"),
        first_share=first.get("changedShare"),
        fallen=Fallen(test=fallen["digest"], evidence=fallen["evidence"], reason=Reason(fallen["reason"]))
        if fallen
        else None,
    )


def _test_status(test: Script) -> dict[str, Any]:
    body: dict[str, Any] = {
        "digest": test.digest,
        "origin": test.origin,
        "model": test.model,
        "attempts": test.attempts,
        "regenerate": test.regenerate,
        "repair": test.repair,
        "execute": test.execute,
        "askedBetter": test.better,
    }
    if test.first is not None:
        first = {"digest": test.first, "model": test.first_model, "changedShare": test.first_share}
        body["first"] = {key: value for key, value in first.items() if value is not None}
    if test.fallen is not None:
        body["fallen"] = {
            "digest": test.fallen.test,
            "evidence": test.fallen.evidence,
            "reason": test.fallen.reason.value,
        }
    return {key: value for key, value in body.items() if value}
