"""What a decision is made from and made of: `Observed` in, `Plan` out. Values alone; nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Observed:
    """One custom resource and what belongs to it, in the API server's JSON.

    Attributes:
        commits: every Commit of the namespace, where the owner is a Dataset.
        datasets: every Dataset of the namespace, where the owner is a Commit that goes after it has finished, and it has.
        events: core/v1 events about Jobs and pods that have not come to run for some seconds; those of no others.
        rejected: Jobs that the cluster refused for good in this pass, by name, each with its words.
        held: Jobs that the cluster did not take in this pass and may take later (quota), by name, each with its words.
    """

    owner: Json
    jobs: tuple[Json, ...] = ()
    pods: tuple[Json, ...] = ()
    commits: tuple[Json, ...] = ()
    datasets: tuple[Json, ...] = ()
    events: tuple[Json, ...] = ()
    rejected: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, str] = field(default_factory=dict)


class Notice(NamedTuple):
    """An event to record on the custom resource: one at the end, a Warning where a human must act."""

    type: Literal["Normal", "Warning"]
    reason: str
    message: str


class Suspension(NamedTuple):
    """A Job to suspend or to resume."""

    job: Json
    suspend: bool


class LastChance(NamedTuple):
    """A Job that gets no further pod: it fails with the one it has, which stays to be read."""

    namespace: str
    name: str


class Deletion(NamedTuple):
    """A Job that nobody waits for any more."""

    namespace: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What to do, in this order: create, suspend, stop, delete, one status write, then the events, and an owner whose time is over goes.

    Attributes:
        status: the whole status; None where it is as it should be.
        finished: whether the custom resource has ended.
        expired: whether its time is over: the custom resource itself is to be deleted, last of all.
        turned: whether that is other than it was before this pass: it ended, or was opened again.
        requeue_after: seconds until it should be looked at again; None to wait for an event.
    """

    create: tuple[Json, ...] = ()
    suspend: tuple[Suspension, ...] = ()
    stop: tuple[LastChance, ...] = ()
    delete: tuple[Deletion, ...] = ()
    status: Json | None = None
    events: tuple[Notice, ...] = ()
    finished: bool = False
    expired: bool = False
    turned: bool = False
    requeue_after: float | None = None
