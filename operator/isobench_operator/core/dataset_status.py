"""What a Dataset's status says: its conditions in each state of a collection. Pure; which state it is in is decided in `datasets`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from isobench_operator.api.dataset import Dataset

from .policies.conditions import Observation
from .statuses import condition, condition_status, conditions
from .steps import Json, Notice, Plan

ACCEPTED = Observation("Accepted", "True", "Accepted")
FINISHED = Observation("Finished", "True", "Collected")


def under_way(word: str, message: str = "") -> tuple[Observation, ...]:
    """Something of the collection is still to come."""
    return (
        ACCEPTED,
        *(Observation(name, "Unknown", word, message) for name in ("Collected", "Succeeded", "Finished")),
    )


def same(before: Json) -> tuple[Observation, ...]:
    """Every condition as it is."""
    found = before.get("conditions") or ()
    return tuple(Observation(one["type"], one["status"], one["reason"], one["message"]) for one in found)


def kept(before: Json) -> tuple[Observation, ...]:
    """Accepted, and what the last collection came to."""
    return (ACCEPTED, *(one for one in same(before) if one.type in ("Collected", "Published")))


def waiting(before: Json) -> tuple[Observation, ...]:
    """Commits are waited for; what was collected before them is still there."""
    if condition(before, "Collected").get("reason") in (None, "NotAccepted") or "digest" not in before:
        return under_way("Waiting")
    return (*kept(before), *(Observation(name, "Unknown", "Waiting") for name in ("Succeeded", "Finished")))


def failed(reason: str, message: str) -> tuple[Observation, Observation]:
    """It came to an end without what was asked for."""
    return Observation("Succeeded", "False", reason, message), Observation("Finished", "True", "Failed", reason)


def published(dataset: Dataset, data: Mapping[str, Any]) -> tuple[Observation, ...]:
    """What became of its publication; nothing where none was asked for."""
    if dataset.spec.publish is None:
        return ()
    done = data.get("published")
    if done is None:
        return (Observation("Published", "False", "DryRun", str(data.get("trouble") or "the Hub could not be read")),)
    words = f"{done.get('added')} added, {done.get('replaced')} replaced, {done.get('kept')} kept in {done.get('repository')}"
    if dataset.spec.publish.dry_run:
        return (Observation("Published", "False", "DryRun", f"a push would leave {words}"),)
    return (Observation("Published", "True", "Published", words),)


def plan(
    owner: Json,
    base: Json,
    observations: tuple[Observation, ...],
    *,
    now: datetime,
    asked: str,
    warning: Notice | None = None,
    **steps: Any,
) -> Plan:
    """The steps, with a status where it changes and an event where somebody should hear of it."""
    before: Json = owner.get("status") or {}
    generation = owner["metadata"].get("generation")
    found = conditions(before.get("conditions") or (), observations, now=now, generation=generation)
    status = {**base, "observedGeneration": generation, "observedRetry": asked or None, "conditions": found}
    status = {key: value for key, value in status.items() if value is not None}
    finished = condition_status(status, "Finished") == "True"
    told = condition(before, "Succeeded").get("reason")
    events: tuple[Notice, ...] = () if warning is None or warning.reason == told else (warning,)
    if finished and condition_status(before, "Finished") != "True":
        succeeded = next(one for one in observations if one.type == "Succeeded")
        kind: Literal["Normal", "Warning"] = "Normal" if succeeded.status == "True" else "Warning"
        events = (Notice(kind, succeeded.reason, succeeded.message),)
    return Plan(status=None if status == before else status, events=events, finished=finished, **steps)
