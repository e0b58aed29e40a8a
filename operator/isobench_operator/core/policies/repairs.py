"""A test that fell on base: the model is shown its traceback, within bounds; and the one question for a better test.

A repair sees evidence from base alone. No function here is ever given a measured effect: picking tests by their result would
inflate every number.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal, InvalidOperation

from isobench_operator.core.observed import Outcome
from isobench_operator.core.progress import Fallen, Progress
from isobench_operator.core.terms import Terms
from isobench_runner.contract import Reason, Retry

GENERATE = "generate"
BASE = "base"


def ask_better(progress: Progress) -> bool:
    """Whether the base Job shall end before base/base where little of the test's time is in changed code."""
    return progress.test.origin == "generated" and not progress.test.better


def trying_better(progress: Progress) -> bool:
    """Whether the test at hand is the better one, with the first kept to fall back on."""
    return progress.test.first is not None


def _ask(progress: Progress, outcome: Outcome, reason: Reason) -> Progress:
    fallen = Fallen(test=progress.test.digest or "", evidence=str(outcome.data.get("evidence") or ""), reason=reason)
    progress = replace(progress, test=replace(progress.test, fallen=fallen))
    progress = progress.with_stage(GENERATE, progress.stage(GENERATE).again())
    return progress.with_stage(BASE, progress.stage(BASE).again())


def repair(progress: Progress, outcome: Outcome, terms: Terms) -> Progress | None:
    """The Commit with the next answer asked for, or None where this failure of the base Job is final.

    Args:
        outcome: of the base Job, with a reason.
    """
    reason, test = outcome.reason, progress.test
    if reason is None or outcome.retry is not Retry.REPAIR or test.origin != "generated":
        return None
    if reason is Reason.LOW_SHARE:
        if test.better:
            return None
        share = outcome.data.get("changedShare")
        kept = replace(test, better=True, first=test.digest, first_model=test.model, first_share=share)
        return _ask(replace(progress, test=kept), outcome, reason)
    if test.execute >= terms.execute:
        return None
    counted = replace(test, execute=test.execute + 1)
    return _ask(replace(progress, test=counted), outcome, reason)


def fall_back(progress: Progress) -> Progress:
    """The first test again, to be measured as it is: the better one fell, was lower, or never came.

    base's stage is left alone: its next attempt is counted by whoever saw one end.
    """
    test = progress.test
    first = replace(test, digest=test.first, model=test.first_model, origin="generated", fallen=None)
    return replace(progress, test=replace(first, first=None, first_model=None, first_share=None))


def is_lower(share: str | None, first: str | None) -> bool:
    """Whether the better test spends less of its time in changed code than the first did; what is not known is not lower."""
    try:
        return share is not None and first is not None and Decimal(share) < Decimal(first)
    except InvalidOperation:
        return False


def keep_better(progress: Progress) -> Progress:
    """The better test stands: the first is forgotten."""
    return replace(progress, test=replace(progress.test, first=None, first_model=None, first_share=None))
