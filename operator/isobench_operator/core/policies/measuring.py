"""The measuring Jobs: what their end means, and in which order stages may run at all.

base goes first and alone: only a test that stands there is timed, and head and main are measured only with a test that stood.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

from isobench_operator.core.observed import Outcome
from isobench_operator.core.progress import STAGES, Progress
from isobench_operator.core.terms import Terms
from isobench_runner.contract import Reason

from . import prepare, repairs, verdict

REVISION_FIELDS = ("result", "gpu", "samples", "medianMs", "baseMedianMs")
BASE_FIELDS = ("noiseFloorPercent", "changedShare", "flags")
"""What head's result and requests need of the base Job, after it is gone."""


def wanted(progress: Progress, terms: Terms) -> tuple[str, ...]:
    """The stages whose Job should exist now: pending ones that have what they need.

    main's preparation is wanted beside the others; nothing ever waits for it but main's own measurement.
    """
    ready = {
        "prepare-base": True,
        "prepare-head": True,
        "prepare-main": terms.main and not prepare.is_same(progress),
        "generate": terms.generated,
        "base": progress.succeeded("prepare-base")
        and progress.succeeded("prepare-head")
        and _has_test(progress, terms),
        "head": progress.succeeded("base"),
        "main": terms.main
        and progress.succeeded("base")
        and progress.succeeded("prepare-main")
        and not prepare.is_same(progress),
    }
    return tuple(name for name in STAGES if ready[name] and progress.stage(name).state == "Pending")


def _has_test(progress: Progress, terms: Terms) -> bool:
    return progress.test.digest is not None and (not terms.generated or progress.succeeded("generate"))


def main_is_settled(progress: Progress, terms: Terms) -> bool:
    """Whether nothing more will come of main."""
    if not terms.main or prepare.is_same(progress):
        return True
    return "Failed" in (progress.stage("prepare-main").state, progress.stage("main").state) or progress.succeeded(
        "main"
    )


def fold(progress: Progress, role: str, outcome: Outcome, terms: Terms) -> Progress:
    """Take in the end of the measuring Job of base, head or main."""
    progress = replace(progress, usage=progress.usage.plus({}, gpu_seconds=outcome.gpu_seconds))
    outcome = _checked(progress, role, outcome)
    attempts = {
        "attempts": int(progress.revision(role).get("attempts") or 0) + 1,
        "node": outcome.data.get("node") or outcome.node,
    }
    progress = progress.with_revision(role, attempts)
    if outcome.reason is not None:
        return _fold_failure(progress, role, outcome, terms)
    data = outcome.data
    if role == "base" and repairs.trying_better(progress):
        if repairs.is_lower(data.get("changedShare"), progress.test.first_share):
            return _measure_first(progress)
        progress = repairs.keep_better(progress)
    names = (*REVISION_FIELDS, *BASE_FIELDS) if role == "base" else REVISION_FIELDS
    progress = progress.with_revision(
        role, {**{key: data.get(key) or None for key in names}, "reason": None, "evidence": None}
    )
    progress = progress.with_stage(role, progress.stage(role).succeeded())
    if role != "head":
        return progress
    return replace(progress, result=verdict.result(progress.revision("base"), data))


def _fold_failure(progress: Progress, role: str, outcome: Outcome, terms: Terms) -> Progress:
    stage, reason = progress.stage(role), outcome.reason
    assert reason is not None
    if reason is Reason.INCOMPARABLE and stage.incomparable < terms.incomparable:
        return progress.with_stage(role, stage.again(incomparable=stage.incomparable + 1))
    if role == "base":
        if repairs.trying_better(progress):
            return _measure_first(progress)
        repaired = repairs.repair(progress, outcome, terms)
        if repaired is not None:
            return repaired
    fields: dict[str, Any] = {"reason": reason.value, "evidence": outcome.data.get("evidence")}
    fields |= dict.fromkeys((*REVISION_FIELDS, *BASE_FIELDS))
    return progress.with_revision(role, fields).with_stage(role, stage.failed(reason, outcome.tail))


def _measure_first(progress: Progress) -> Progress:
    return repairs.fall_back(progress).with_stage("base", progress.stage("base").again())


def _checked(progress: Progress, role: str, outcome: Outcome) -> Outcome:
    """The outcome, failed where the report is a success that may not count."""
    if outcome.reason is not None:
        return outcome
    unusable = verdict.unusable(outcome.data)
    if unusable is None and _another_image(progress, role, outcome.image_id):
        unusable = Reason.INCOMPARABLE, f"measured in {outcome.image_id}, built in another image: the tag has moved"
    if unusable is None:
        return outcome
    return replace(outcome, reason=unusable[0], tail=outcome.tail or unusable[1])


def _another_image(progress: Progress, role: str, image_id: str | None) -> bool:
    known = [progress.revision(name).get("imageID") for name in {"base", role}]
    return image_id is not None and any(built is not None and built != image_id for built in known)


class Floor(NamedTuple):
    """The noise floor of the base Job, in percent, and the node that it belongs to."""

    percent: str | None = None
    node: str | None = None


def floor(progress: Progress) -> Floor:
    """The floor that head's and main's requests carry."""
    base = progress.revision("base")
    found = base.get("noiseFloorPercent")
    return Floor(found, base.get("node")) if found else Floor()
