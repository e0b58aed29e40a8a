"""`ttlSecondsAfterFinished`: a Commit goes when its time is over and every Dataset that selects it has what it came to; its record stays."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from isobench_operator.core.steps import Json, Observed, Plan

from .collecting import finished_at, has_collected

LOOK_SECONDS = 60.0
"""Until a Dataset that has not collected yet is asked again: a collection takes minutes."""


def seconds_to_live(owner: Json) -> int | None:
    """How long it stays after it has finished; None for ever."""
    found = (owner.get("spec") or {}).get("ttlSecondsAfterFinished")
    return None if found is None else int(found)


def after(plan: Plan, observed: Observed, now: datetime) -> Plan:
    """A Commit's plan, with its own end.

    Args:
        plan: what is left to do for the Commit as such.
        observed: with every Dataset of its namespace, once it has finished.
        now: an aware time.
    """
    seconds = seconds_to_live(observed.owner)
    if seconds is None or not plan.finished:
        return plan
    at = finished_at(observed.owner)
    if at is None or plan.status is not None:
        # What it came to is written in this pass: the time begins.
        return replace(plan, requeue_after=float(max(1, seconds)))
    left = seconds - (now - at).total_seconds()
    if left > 0:
        return replace(plan, requeue_after=left)
    if not all(has_collected(dataset, observed.owner) for dataset in observed.datasets):
        return replace(plan, requeue_after=LOOK_SECONDS)
    return replace(plan, expired=True)
