"""Which records stay, and what they are called: decisions over small index entries, never over whole records.

A dataset of any size is decided on with a few hundred bytes per record in memory.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NEW, HELD = "new", "held"
_PULL_REQUEST = re.compile(r"\(#(\d+)\)\s*$")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What has to be known of a record to place it.

    Attributes:
        source: which file it lies in: NEW for what this collection assembled, HELD for what the dataset has already.
        offset: where its line begins there, in bytes.
        device: model of the GPU, or of the CPU where there was none.
        finished: when its Commit finished, ISO 8601 in UTC.
        digest: of a new record's bytes, so that ties are broken the same way every time; a held one is alone under its key.
    """

    source: str
    offset: int
    repo: str
    head: str
    subject: str
    created_at: str
    test: str
    device: str
    image: str
    finished: str
    digest: str

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Records with equal keys are measurements of one thing, of which one stays."""
        return (self.repo, self.head, self.test, self.device, self.image)

    @property
    def rank(self) -> tuple[str, bool, str]:
        """The highest of equal keys stays."""
        return (self.finished, self.source == NEW, self.digest)

    @property
    def place(self) -> tuple[str, ...]:
        """Where the record stands in the dataset, whatever order the Commits came in."""
        return (self.repo, self.created_at, self.head, self.test, self.device, self.image)


def entry(record: Mapping[str, Any], *, source: str, offset: int, digest: str) -> Entry:
    """The index entry of a record."""
    return Entry(
        source=source,
        offset=offset,
        repo=record["repo"],
        head=record["head_commit"],
        subject=record["gt_commit_message"].partition("\n")[0],
        created_at=record["created_at"],
        test=record["test_digest"],
        device=record["gpu"] or record["cpu"] or "",
        image=record["image_digest"] or "",
        finished=record["finished_at"],
        digest=digest,
    )


def latest(entries: Iterable[Entry]) -> list[Entry]:
    """One entry per key, the one whose Commit finished last, in the dataset's order; of two of one instant a newly assembled one."""
    chosen: dict[tuple[str, ...], Entry] = {}
    for item in entries:
        held = chosen.get(item.key)
        if held is None or item.rank > held.rank:
            chosen[item.key] = item
    return sorted(chosen.values(), key=lambda item: item.place)


def pull_request(subject: str) -> int | None:
    """The number of the pull request that a subject ends in, `(#498)`."""
    match = _PULL_REQUEST.search(subject)
    return int(match[1]) if match else None


def instance_ids(entries: Iterable[Entry]) -> dict[tuple[str, str], str]:
    """The instance_id of every (repo, head): `owner__repo-PR-<n>`, or `owner__repo-<commit7>` without a pull request or where two
    commits name the same one. Commits whose first seven digits are equal get as many as tell them apart.
    """
    named: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    for item in entries:
        number = pull_request(item.subject)
        suffix = f"PR-{number}" if number is not None else item.head[:7]
        named[f"{_owner_repo(item.repo)}-{suffix}"].add((item.repo, item.head))
    ids: dict[tuple[str, str], str] = {}
    for name, commits in named.items():
        if len(commits) == 1:
            ids[next(iter(commits))] = name
        else:
            ids |= {(repo, head): f"{_owner_repo(repo)}-{head[:7]}" for repo, head in commits}
    return _tell_apart(ids)


def _tell_apart(ids: dict[tuple[str, str], str]) -> dict[tuple[str, str], str]:
    held: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for commit, name in ids.items():
        held[name].append(commit)
    for commits in held.values():
        for digits in range(8, 65):
            if len(commits) == 1:
                break
            longer = {(repo, head): f"{_owner_repo(repo)}-{head[:digits]}" for repo, head in commits}
            if len(set(longer.values())) == len(commits):
                ids |= longer
                break
    return ids


def _owner_repo(repo: str) -> str:
    return repo.replace("/", "__")
