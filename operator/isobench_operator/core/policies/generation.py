"""The generate stage: its bounds over the Commit's whole life, and what its end means."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, NamedTuple

from isobench_operator.core.observed import Outcome
from isobench_operator.core.progress import Progress
from isobench_operator.core.terms import Terms
from isobench_runner.contract import Reason

from . import repairs

STAGE = "generate"


class Allowance(NamedTuple):
    """How many further answers a generate Job may ask for."""

    regenerate: int
    repair: int


def allowance(progress: Progress, terms: Terms) -> Allowance:
    """What is left of the spec's bounds: they hold for the Commit, however many generate Jobs it takes."""
    test = progress.test
    return Allowance(max(0, terms.regenerate - test.regenerate), max(0, terms.repair - test.repair))


def fold(progress: Progress, outcome: Outcome) -> Progress:
    """Take in the end of a generate Job: the test, or why there is none; counters and usage either way."""
    data, stage = outcome.data, progress.stage(STAGE)
    spent = replace(
        progress.test,
        attempts=progress.test.attempts + 1,
        regenerate=progress.test.regenerate + int(data.get("regenerate") or 0),
        repair=progress.test.repair + int(data.get("repair") or 0),
    )
    progress = replace(progress, test=spent, usage=progress.usage.plus(data.get("usage") or {}))
    if data.get("generation"):
        progress = replace(progress, artifacts={**progress.artifacts, "generation": data["generation"]})
    reason, tail = outcome.reason, outcome.tail
    if reason is None and not data.get("test"):
        reason, tail = Reason.REPORT_MISSING, "the report has no test"
    if reason is not None:
        if progress.test.first is not None:
            return repairs.fall_back(progress.with_stage(STAGE, stage.succeeded()))
        return progress.with_stage(STAGE, stage.failed(reason, tail))
    origin: Literal["given", "generated"] = "given" if data.get("origin") == "given" else "generated"
    test = replace(spent, digest=data["test"], origin=origin, model=data.get("model"), fallen=None)
    return replace(progress, test=test).with_stage(STAGE, stage.succeeded())
