"""The retry annotation: what failed is tried again, what has an output is kept.

Retries inside a Job are its backoff limit's, by the exit code that `report` left; the one retry that is decided per role is
measuring's, for Incomparable.
"""

from __future__ import annotations

from dataclasses import replace

from isobench_operator.core.progress import Progress, Stage
from isobench_operator.core.terms import Terms
from isobench_runner.contract import EXPLANATIONS, Retry

from .prepare import SAME


def ended_badly(progress: Progress) -> bool:
    """Whether there is anything to try again."""
    return any(stage.state == "Failed" for stage in progress.stages.values())


def reopen(progress: Progress, terms: Terms, *, annotation: str) -> Progress:
    """The Commit as it starts over, with fresh counters and attempt numbers that were never used.

    Args:
        progress: of a Commit that has finished.
        annotation: the value that asks for it, remembered so that it asks once.
    """
    progress = replace(progress, retry=annotation)
    if not ended_badly(progress):
        return progress
    failed = {name: stage for name, stage in progress.stages.items() if stage.state in ("Failed", "Cancelled")}
    base = progress.stage("base")
    test_failed = base.state == "Failed" and base.reason is not None and EXPLANATIONS[base.reason].retry is Retry.REPAIR
    if test_failed:
        # A given script is read by head's prepare: it may have been corrected since.
        source = "generate" if terms.generated else "prepare-head"
        failed[source] = progress.stage(source)
    stages = {name: replace(stage, incomparable=0) for name, stage in progress.stages.items()}
    stages |= {name: Stage(attempt=stage.attempt + 1) for name, stage in failed.items()}
    test = replace(progress.test, regenerate=0, repair=0, execute=0, better=False, fallen=None)
    test = replace(test, first=None, first_model=None, first_share=None)
    if test_failed:
        test = replace(test, digest=None, model=None, origin=None)
    progress = replace(progress, stages=stages, test=test)
    same = {reason.value for reason in SAME.values()}
    for name, revision in progress.revisions.items():
        if revision.get("reason") not in same:
            progress = progress.with_revision(name, {"reason": None, "evidence": None, "attempts": None})
    return progress


def cancel(progress: Progress, running: frozenset[str]) -> Progress:
    """The stages whose Jobs are stopped because another one has decided the Commit."""
    for name in sorted(running):
        progress = progress.with_stage(name, replace(progress.stage(name), state="Cancelled"))
    return progress
