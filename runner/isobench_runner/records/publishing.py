"""What a push makes of the published rows and of ours: one row per (repo, head_commit). Decisions over index entries, never over rows.

A row is chosen by when it was measured, never by what was measured: picking the better of two results would inflate every number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

from .dedup import NEW, Entry

HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,95}")


def repository(text: str, dataset: str) -> tuple[str | None, str]:
    """The endpoint of a Hub that is not the public one, and `owner/name`: of an owner alone, the Dataset's name.

    Raises:
        ValueError: it is neither of both, nor a URL of it.
    """
    endpoint, path = None, text
    if "://" in text:
        parts = urlsplit(text)
        endpoint = None if parts.hostname in HUB_HOSTS else f"{parts.scheme}://{parts.netloc}"
        path = parts.path.strip("/").removeprefix("datasets/")
    words = path.strip("/").split("/")
    if len(words) == 1:
        words.append(dataset)
    if len(words) != 2 or not all(map(_WORD.fullmatch, words)):
        msg = f"{text!r} names no repository; write owner/name, its URL, or an owner alone"
        raise ValueError(msg)
    return endpoint, "/".join(words)


def latest_of_commit(entries: Iterable[Entry]) -> dict[tuple[str, str], Entry]:
    """Of each (repo, head_commit) the entry that was measured last; ties end the same way every time."""
    chosen: dict[tuple[str, str], Entry] = {}
    for item in entries:
        held = chosen.get((item.repo, item.head))
        if held is None or (item.finished, item.test, item.device, item.image) > (
            held.finished,
            held.test,
            held.device,
            held.image,
        ):
            chosen[item.repo, item.head] = item
    return chosen


def merge(
    ours: Iterable[Entry], published: Iterable[Entry], *, keep: Literal["latest", "published"]
) -> tuple[list[Entry], dict[tuple[str, str], Entry]]:
    """The rows after the push, in the dataset's order, and the published ones by commit."""
    there = latest_of_commit(published)
    rows = dict(there)
    for key, item in latest_of_commit(ours).items():
        held = there.get(key)
        if held is None or (keep == "latest" and item.finished >= held.finished):
            rows[key] = item
    return sorted(rows.values(), key=lambda item: item.place), there


@dataclass
class Change:
    """What a push does, told before it is done.

    Attributes:
        lines: one per row that is added or replaced.
        records: rows after it.
    """

    counts: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    records: int = 0

    def see(self, item: Entry, row: Mapping[str, Any], before: Mapping[str, Any] | None) -> None:
        """Count a row as it will be, beside the published one of its commit."""
        self.records += 1
        if before is None:
            word = "added"
        elif before != row:
            word = "replaced"
        else:
            word = "kept" if item.source != NEW else "unchanged"
        self.counts[word] += 1
        if word in ("added", "replaced"):
            self.lines.append(f"{word:8} {row['instance_id']}  {row['repo']}@{row['head_commit'][:12]}")

    @property
    def nothing(self) -> bool:
        """Whether every row is there already, as it is."""
        return not (self.counts["added"] or self.counts["replaced"])

    def words(self) -> str:
        """The counts, in one line."""
        return ", ".join(f"{self.counts[word]} {word}" for word in ("added", "replaced", "kept", "unchanged"))
