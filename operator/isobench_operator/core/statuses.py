"""From observations to `status.conditions`, and what the rest of a status has in common between kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from isobench_operator.api.conditions import Condition, set_condition

from .policies.conditions import Observation

Json = dict[str, Any]


def annotation(owner: Mapping[str, Any], name: str) -> str:
    """An annotation's value, empty where there is none."""
    return str((owner["metadata"].get("annotations") or {}).get(name) or "")


def condition_status(status: Mapping[str, Any], type_: str) -> str:
    """The status of a condition, Unknown where it was never set."""
    for condition in status.get("conditions") or ():
        if condition.get("type") == type_:
            return str(condition.get("status"))
    return "Unknown"


def conditions(
    before: Iterable[Mapping[str, Any]], observations: Iterable[Observation], *, now: datetime, generation: int | None
) -> list[Json]:
    """Conditions in the order of the observations; a time moves only where a status does."""
    known: tuple[Condition, ...] = tuple(Condition.model_validate(condition) for condition in before)
    wanted = tuple(observations)
    for one in wanted:
        known = set_condition(
            known,
            type=one.type,
            status=one.status,
            reason=one.reason,
            message=one.message,
            now=now,
            observed_generation=generation,
        )
    order = [one.type for one in wanted]
    known = tuple(condition for condition in known if condition.type in order)
    return [condition.to_json() for condition in sorted(known, key=lambda condition: order.index(condition.type))]
