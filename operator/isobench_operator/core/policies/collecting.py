"""When a Dataset collects: once per distinct content of what its Commits came to, and never as often as one of them ends.

Once all have finished, their results are collected as soon as they stand still. While some are under way, which in a namespace that is
always at work is for ever, what has finished is collected after a bounded wait. A Commit that goes is no reason to collect: its
record stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from isobench_operator.core.observed import parse_time

Json = Mapping[str, Any]
OUTPUT = ("revisions", "artifacts", "test", "result")
NOT_CONTENT = ("suspend", "collect")
"""Fields of a Dataset's spec that say when it collects, not what."""
PAUSES = 6
"""A collection begins this many times the settling time after the one before it ended, or later."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast one collection may follow another, in seconds.

    Attributes:
        settle: what has finished stands still for so long before it is collected.
        every: the longest that a finished Commit waits for those that have not.
    """

    settle: float
    every: float


def select(commits: Iterable[Json], match_labels: Mapping[str, str], *, namespace: str) -> tuple[Json, ...]:
    """The Commits of the namespace that carry all the labels, by name."""
    found = [commit for commit in commits if _selected(commit, match_labels, namespace=namespace)]
    return tuple(sorted(found, key=lambda commit: str(commit["metadata"]["name"])))


def _selected(commit: Json, match_labels: Mapping[str, str], *, namespace: str) -> bool:
    metadata = commit["metadata"]
    same = (metadata.get("namespace") or "") == namespace
    return same and match_labels.items() <= (metadata.get("labels") or {}).items()


def condition(commit: Json, type_: str) -> Json:
    """A condition of an object, empty where it was never set."""
    found = (commit.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one.get("type") == type_), {})


def finished_at(commit: Json) -> datetime | None:
    """When a Commit finished, or None while it has not."""
    finished = condition(commit, "Finished")
    return parse_time(str(finished.get("lastTransitionTime", ""))) if finished.get("status") == "True" else None


def settled(commits: Iterable[Json], *, now: datetime, settle: float) -> tuple[Json, ...]:
    """Those that finished long enough ago to be collected."""
    latest = now - timedelta(seconds=settle)
    return tuple(commit for commit in commits if (at := finished_at(commit)) is not None and at <= latest)


def through(commits: Iterable[Json]) -> str | None:
    """When the last of these finished, as its status has it; None where none has."""
    ended = [(at, commit) for commit in commits if (at := finished_at(commit)) is not None]
    last = max(ended, key=lambda one: one[0], default=None)
    return None if last is None else str(condition(last[1], "Finished")["lastTransitionTime"])


def due(commits: Sequence[Json], status: Json, *, changed: bool, pace: Pace) -> datetime | None:
    """When the next collection is to begin; None where there is nothing that the last one has not seen.

    Args:
        commits: that the Dataset selects.
        status: the Dataset's.
        changed: whether its spec asks for something else than what was collected.
    """
    ended = sorted(at for commit in commits if (at := finished_at(commit)) is not None)
    last, before = parse_time(str(status.get("through") or "")), parse_time(str(status.get("collectedAt") or ""))
    fresh = [at for at in ended if last is None or at > last]
    # Labelled after it had finished, a Commit is new to the Dataset and no later than the others.
    if not ended or not (fresh or changed or len(ended) > int(status.get("finished") or 0)):
        return None
    settle, every = timedelta(seconds=pace.settle), timedelta(seconds=pace.every)
    if len(ended) == len(commits):
        at = ended[-1] + settle
    elif changed:
        at = ended[0] + settle
    else:
        at = (fresh[0] if fresh else before or ended[0]) + every
    return at if before is None else max(at, before + PAUSES * settle)


def has_collected(dataset: Json, commit: Json) -> bool:
    """Whether a Dataset needs this Commit no more: it does not select it, or its files hold what the Commit came to.

    A time is enough, whatever the number of Commits: a collection sees every Commit that had finished when it began. One that gets
    the Dataset's labels only after it has finished may be taken for collected a moment early.
    """
    labels = ((((dataset.get("spec") or {}).get("source") or {}).get("commits") or {}).get("selector") or {}).get(
        "matchLabels"
    ) or {}
    metadata = dataset["metadata"]
    going = bool(metadata.get("deletionTimestamp"))
    if going or not _selected(commit, labels, namespace=metadata.get("namespace") or ""):
        return True
    at, last = finished_at(commit), parse_time(str((dataset.get("status") or {}).get("through") or ""))
    return at is not None and last is not None and at <= last


def content(commits: Sequence[Json], spec: Json) -> str:
    """Digest of what the Commits came to and of how it is collected: equal content is collected once, whoever asks how often."""
    parts = []
    for commit in commits:
        status = commit.get("status") or {}
        reason = condition(commit, "Succeeded").get("reason")
        parts.append(
            [commit["metadata"]["name"], commit["metadata"].get("uid"), reason, *(status.get(name) for name in OUTPUT)]
        )
    what = {name: value for name, value in spec.items() if name not in NOT_CONTENT}
    text = json.dumps([parts, what], sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
