"""From progress to conditions: what is told to people, to `kubectl wait` and to programs.

Reasons are words of the closed list, progress words, or verdicts. The evidence is in Succeeded's message alone, the condition where
it went wrong has the end of it: a custom resource stays small.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from isobench_operator.core.progress import Progress
from isobench_operator.core.terms import Terms
from isobench_runner.contract import EXPLANATIONS, Reason, Retry, cut_bytes

from . import measuring, prepare, verdict
from .troubles import Trouble

TYPES = ("Accepted", "Prepared", "TestReady", "Measured", "Succeeded", "Finished")
MAX_HINT = 200
Status = Literal["True", "False", "Unknown"]


class Observation(NamedTuple):
    """A condition without its times."""

    type: str
    status: Status
    reason: str
    message: str = ""


@dataclass(frozen=True, kw_only=True)
class End:
    """Why a Commit has ended.

    Attributes:
        reason: None where it succeeded.
        stage: where it failed.
    """

    reason: Reason | None = None
    stage: str = ""
    message: str = ""


def end(progress: Progress, terms: Terms) -> End | None:
    """Whether and how the Commit has ended; main never ends it badly, and it waits for main."""
    wanted = ["prepare-base", "prepare-head", *(["generate"] if terms.generated else []), "base", "head"]
    for name in wanted:
        stage = progress.stage(name)
        if stage.state == "Failed" and stage.reason is not None:
            return End(reason=stage.reason, stage=name, message=stage.message)
    if progress.succeeded("head") and measuring.main_is_settled(progress, terms):
        return End()
    return None


def summary(result: Mapping[str, Any]) -> str:
    """A result in words: what the event and the condition say."""
    words = str(result.get("verdict", "")).replace("_", " ")
    if result.get("speedup"):
        words += f": {result['speedup']}x"
    if result.get("ci95"):
        words += f", 95 % interval {result['ci95'][0]} to {result['ci95'][1]}"
    if result.get("flags"):
        words += f"; flags: {', '.join(result['flags'])}"
    return words


def observations(
    progress: Progress,
    terms: Terms,
    *,
    ended: End | None,
    suspended: bool,
    troubles: Mapping[str, Trouble] = MappingProxyType({}),
) -> tuple[Observation, ...]:
    """All conditions of an accepted Commit, in their order.

    Args:
        ended: what `end` found.
        suspended: by the spec.
        troubles: what keeps stages from running, by name.
    """
    steps = [_prepared(progress), _test_ready(progress, terms), _measured(progress, terms)]
    if ended is None:
        steps = _troubled(steps, progress, troubles)
    now = next((step for step in steps if step.status != "True"), Observation("Measured", "True", "Measured"))
    if suspended:
        now = Observation("Succeeded", "Unknown", "Suspended")
    accepted = Observation("Accepted", "True", "Accepted")
    if ended is None:
        last = [
            Observation("Succeeded", "Unknown", now.reason, now.message),
            Observation("Finished", "Unknown", now.reason),
        ]
    elif ended.reason is not None:
        failed = f"{ended.stage}: {ended.message}" if ended.message else ended.stage
        last = [
            Observation("Succeeded", "False", ended.reason.value, failed),
            Observation("Finished", "True", "Failed", f"{ended.stage}: {ended.reason.value}"),
        ]
    else:
        result = progress.result or {}
        word = verdict.VERDICTS[result["verdict"]]
        last = [
            Observation("Succeeded", "True", word, summary(result)),
            Observation("Finished", "True", word),
        ]
    return (accepted, *steps, *last)


STAGES_OF = {
    "Prepared": ("prepare-base", "prepare-head"),
    "TestReady": ("generate", "base"),
    "Measured": ("head", "main", "prepare-main"),
}
"""Whose trouble is told in which condition."""


def _troubled(steps: list[Observation], progress: Progress, troubles: Mapping[str, Trouble]) -> list[Observation]:
    """The steps, one that waits with what it waits for; main's build is no matter before main's turn."""

    def told(step: Observation) -> Observation:
        names = STAGES_OF[step.type] if step.type != "Measured" or progress.succeeded("base") else ()
        name = next((name for name in names if name in troubles), None)
        if name is None or step.status != "Unknown":
            return step
        return Observation(step.type, "Unknown", troubles[name].word, f"{name}: {troubles[name].message}")

    return [told(step) for step in steps]


def refused(reason: Reason, message: str) -> tuple[Observation, ...]:
    """All conditions of a Commit that is not accepted."""
    waiting = tuple(Observation(name, "False", "NotAccepted") for name in TYPES[1:4])
    return (
        Observation("Accepted", "False", reason.value, message),
        *waiting,
        Observation("Succeeded", "False", reason.value, message),
        Observation("Finished", "True", "Failed", reason.value),
    )


def _failure(type_: str, progress: Progress, names: tuple[str, ...]) -> Observation | None:
    for name in names:
        stage = progress.stage(name)
        if stage.state == "Failed" and stage.reason is not None:
            return Observation(type_, "False", stage.reason.value, cut_bytes(f"{name}: {stage.message}", MAX_HINT))
    return None


def _prepared(progress: Progress) -> Observation:
    names = (prepare.stage("base"), prepare.stage("head"))
    failed = _failure("Prepared", progress, names)
    if failed is not None:
        return failed
    if all(progress.succeeded(name) for name in names):
        return Observation("Prepared", "True", "Prepared")
    return Observation("Prepared", "Unknown", "Preparing")


def _is_the_tests(progress: Progress) -> bool:
    reason = progress.stage("base").reason
    return reason is not None and EXPLANATIONS[reason].retry is Retry.REPAIR


def _test_ready(progress: Progress, terms: Terms) -> Observation:
    names = ("generate", "base") if _is_the_tests(progress) else ("generate",)
    failed = _failure("TestReady", progress, names)
    if failed is not None:
        return failed
    if progress.succeeded("base"):
        return Observation("TestReady", "True", "Validated")
    if terms.generated and progress.stage("generate").state == "Pending":
        repairing = progress.test.fallen
        if repairing is None:
            return Observation("TestReady", "Unknown", "Generating")
        return Observation("TestReady", "Unknown", "Repairing", f"after {repairing.reason.value}")
    if progress.test.digest is None:
        return Observation("TestReady", "Unknown", "Preparing")
    return Observation("TestReady", "Unknown", "Validating")


def _measured(progress: Progress, terms: Terms) -> Observation:
    failed = _failure("Measured", progress, ("head",) if _is_the_tests(progress) else ("base", "head"))
    if failed is not None:
        return failed
    if progress.succeeded("head") and measuring.main_is_settled(progress, terms):
        reason = progress.revision("main").get("reason")
        return Observation("Measured", "True", "Measured", f"main: {reason}" if reason else "")
    return Observation("Measured", "Unknown", "Measuring" if progress.succeeded("base") else "Waiting")
