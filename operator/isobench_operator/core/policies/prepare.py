"""A revision's environment: what its prepare Job gives, and that main never fails the Commit."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from isobench_operator.core.observed import Outcome
from isobench_operator.core.progress import Progress, Script
from isobench_operator.core.terms import Terms
from isobench_runner.contract import Reason

SAME = {"head": Reason.SAME_AS_HEAD, "base": Reason.SAME_AS_BASE}


def stage(revision: str) -> str:
    """The stage that prepares a revision."""
    return f"prepare-{revision}"


def settle_main(progress: Progress, terms: Terms) -> Progress:
    """Note that main needs no Job of its own, as soon as it is known to be head's or base's commit; its sha follows when theirs does."""
    main = progress.revision("main")
    if not terms.main or (is_same(progress) and main.get("sha")):
        return progress
    same = terms.same_as
    if is_same(progress):
        same = next(name for name, reason in SAME.items() if reason.value == main["reason"])
    elif same is None and main.get("sha"):
        same = next((name for name in SAME if progress.revision(name).get("sha") == main["sha"]), None)
    if same is None:
        return progress
    return progress.with_revision("main", {"reason": SAME[same].value, "sha": progress.revision(same).get("sha")})


def is_same(progress: Progress) -> bool:
    """Whether main is known to be head or base."""
    return progress.revision("main").get("reason") in {reason.value for reason in SAME.values()}


def fold(progress: Progress, revision: str, outcome: Outcome, *, generated: bool) -> Progress:
    """Take in the end of a revision's prepare Job.

    Args:
        revision: base, head or main.
        generated: a given script's digest comes with head's inputs, and then only.
    """
    name, data = stage(revision), outcome.data
    if outcome.reason is not None and outcome.reason in SAME.values():
        fields = {"sha": data.get("sha"), "reason": outcome.reason.value}
        return progress.with_revision(revision, fields).with_stage(name, progress.stage(name).succeeded())
    if outcome.reason is None and missing(revision, data, generated=generated):
        lacking = missing(revision, data, generated=generated)
        outcome = Outcome(reason=Reason.REPORT_MISSING, tail=f"the report has no {lacking}")
    if outcome.reason is not None:
        known = {key: data[key] for key in ("sha", "evidence") if data.get(key)}
        failed = progress.with_revision(revision, {**known, "reason": outcome.reason.value})
        return failed.with_stage(name, progress.stage(name).failed(outcome.reason, outcome.tail))
    fields = {key: data.get(key) for key in ("sha", "environment", "key", "distributions", "python")}
    fields["asOf"] = _timestamp(data.get("asOf"))
    progress = progress.with_revision(
        revision, {**fields, "imageID": outcome.image_id, "reason": None, "evidence": None}
    )
    progress = progress.with_stage(name, progress.stage(name).succeeded())
    if revision != "head":
        return progress
    if data.get("base") and not progress.revision("base").get("sha"):
        progress = progress.with_revision("base", {"sha": data["base"]})
    changes: dict[str, Any] = {"artifacts": {**progress.artifacts, "inputs": data["inputs"]}}
    if not generated:
        changes["test"] = Script(digest=data["test"], origin="given", attempts=progress.test.attempts)
    return replace(progress, **changes)


def missing(revision: str, data: Any, *, generated: bool) -> str | None:
    """The first field that a successful report lacks."""
    wanted = ["sha", "environment", "key"]
    if revision == "head":
        wanted += ["inputs"] if generated else ["inputs", "test"]
    return next((name for name in wanted if not data.get(name)), None)


def _timestamp(text: str | None) -> str | None:
    """A day as the API server's date-time; a whole timestamp stays."""
    return f"{text}T00:00:00Z" if text is not None and len(text) == len("2026-01-31") else text
