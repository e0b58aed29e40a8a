"""When a Dataset collects: once per distinct content of what its Commits came to, and only while none of them is under way."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from isobench_operator.core.observed import parse_time

Json = Mapping[str, Any]
OUTPUT = ("revisions", "artifacts", "test", "result")


def select(commits: Iterable[Json], match_labels: Mapping[str, str], *, namespace: str) -> tuple[Json, ...]:
    """The Commits of the namespace that carry all the labels, by name."""
    found = [
        commit
        for commit in commits
        if (commit["metadata"].get("namespace") or "") == namespace
        and match_labels.items() <= (commit["metadata"].get("labels") or {}).items()
    ]
    return tuple(sorted(found, key=lambda commit: str(commit["metadata"]["name"])))


def condition(commit: Json, type_: str) -> Json:
    """A condition of an object, empty where it was never set."""
    found = (commit.get("status") or {}).get("conditions") or ()
    return next((one for one in found if one.get("type") == type_), {})


def finished_at(commits: Sequence[Json]) -> datetime | None:
    """When the last of them finished, or None while one has not."""
    times = []
    for commit in commits:
        finished = condition(commit, "Finished")
        at = parse_time(str(finished.get("lastTransitionTime", "")))
        if finished.get("status") != "True" or at is None:
            return None
        times.append(at)
    return max(times, default=None)


def content(commits: Sequence[Json], spec: Json) -> str:
    """Digest of what the Commits came to and of how it is collected: equal content is collected once, whoever asks how often."""
    parts = []
    for commit in commits:
        status = commit.get("status") or {}
        reason = condition(commit, "Succeeded").get("reason")
        parts.append(
            [commit["metadata"]["name"], commit["metadata"].get("uid"), reason, *(status.get(name) for name in OUTPUT)]
        )
    text = json.dumps([parts, spec], sort_keys=True)
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
