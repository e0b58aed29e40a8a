"""From observations to `status.conditions`, and what the rest of a status has in common between kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from isobench_operator.api.conditions import Condition, set_condition

from .policies.conditions import Observation
from .policies.troubles import steady

Json = dict[str, Any]


def annotation(owner: Mapping[str, Any], name: str) -> str:
    """An annotation's value, empty where there is none."""
    return str((owner["metadata"].get("annotations") or {}).get(name) or "")


def condition(status: Mapping[str, Any], type_: str) -> Mapping[str, Any]:
    """A condition of a status, empty where it was never set."""
    return next((one for one in status.get("conditions") or () if one.get("type") == type_), {})


def condition_status(status: Mapping[str, Any], type_: str) -> str:
    """The status of a condition, Unknown where it was never set."""
    return str(condition(status, type_).get("status") or "Unknown")


def conditions(
    before: Iterable[Mapping[str, Any]], observations: Iterable[Observation], *, now: datetime, generation: int | None
) -> list[Json]:
    """Conditions in the order of the observations; a time moves only where a status does, and what is as it was stays as it is."""
    known = {condition["type"]: condition for condition in before}
    found = []
    for one in observations:
        old = known.get(one.type)
        if old is not None and (one.status, one.reason) == ("Unknown", old.get("reason")):
            one = one._replace(message=steady(str(old.get("message") or ""), one.message))  # noqa: PLW2901
        new = {"status": one.status, "reason": one.reason, "message": one.message, "observedGeneration": generation}
        if old is not None and all(old.get(name) == value for name, value in new.items()):
            found.append(dict(old))
            continue
        (changed,) = set_condition(
            () if old is None else (Condition.model_validate(old),),
            type=one.type, status=one.status, reason=one.reason, message=one.message, now=now, observed_generation=generation,
        )  # fmt: skip
        found.append(changed.to_json())
    return found
