"""`metav1.Condition`, and the one way in which a list of them changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from .fields import ApiModel, Count, Timestamp

ConditionType = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]*$", max_length=64)]
CamelCase = Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$", max_length=128)]
ConditionStatus = Literal["True", "False", "Unknown"]

MAX_MESSAGE = 4096
"""Of a condition's message, in characters; metav1.Condition itself allows 32,768, which is more than a whole object may hold here."""


class Condition(ApiModel):
    """An observation on an object.

    Attributes:
        reason: one CamelCase word for programs.
        message: for people; its last lines are the evidence.
        last_transition_time: when `status` last moved; a new reason alone does not touch it.
    """

    type: ConditionType
    status: ConditionStatus
    observed_generation: Count | None = None
    last_transition_time: Timestamp
    reason: CamelCase
    message: Annotated[str, Field(max_length=MAX_MESSAGE)] = ""


def timestamp(now: datetime) -> str:
    """An aware time as the API server writes it: UTC, whole seconds, with a Z."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def set_condition(
    conditions: Iterable[Condition],
    *,
    type: str,  # noqa: A002 - named as in metav1.Condition
    status: ConditionStatus,
    reason: str,
    now: datetime,
    message: str = "",
    observed_generation: int | None = None,
) -> tuple[Condition, ...]:
    """The conditions with one of them set; the others and their order are kept, a new one comes last.

    Args:
        conditions: as they are.
        type: of the one to set.
        status: what is observed now.
        reason: one CamelCase word.
        now: an aware time; becomes lastTransitionTime only where `status` moves.
        message: cut to MAX_MESSAGE, keeping its end, where the evidence is.
        observed_generation: of the spec that was looked at.
    """
    before = tuple(conditions)
    old = next((condition for condition in before if condition.type == type), None)
    if len(message) > MAX_MESSAGE:
        message = f"…{message[1 - MAX_MESSAGE :]}"
    new = Condition(
        type=type,
        status=status,
        reason=reason,
        message=message,
        observed_generation=observed_generation,
        last_transition_time=old.last_transition_time if old and old.status == status else timestamp(now),
    )
    if old is None:
        return (*before, new)
    return tuple(new if condition.type == type else condition for condition in before)


def get_condition(conditions: Iterable[Condition], type: str) -> Condition | None:  # noqa: A002 - as in metav1.Condition
    """The condition of a type, or None where it was never set."""
    return next((condition for condition in conditions if condition.type == type), None)
