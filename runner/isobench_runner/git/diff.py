"""The change between two commits: a unified diff split into source and tests, and the files with what is odd about each.

The patches are text that `git apply` takes on base to give head's text files. What a text patch cannot carry (binary files, moved
submodules) is left out of it, listed and noted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Literal

from isobench_runner.contract import Reason, StageError

from .commands import Git, GitError
from .mirror import Mirror

MAX_DIFF_BYTES = 10_000_000
"""The longest diff that a record may carry; real performance commits have been seen up to 1.2 MB."""
MAX_BLOB_BYTES = 2_000_000
"""The longest old file that an extraction carries."""
MAX_FILES = 5000
ChangeType = Literal["added", "modified", "deleted", "renamed"]
_TYPES: dict[str, ChangeType] = {"A": "added", "D": "deleted", "R": "renamed", "M": "modified", "T": "modified"}
_DIFF = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-relative", "--ignore-submodules=none", "-M", "-l1000")
_DIFF_PREFIXES = (
    "--src-prefix=a/",
    "--dst-prefix=b/",
    "--full-index",
    "--submodule=short",
    "--unified=3",
    "--no-indent-heuristic",
)
_LFS = b"version https://git-lfs.github.com/spec/"
_HUNK = re.compile(rb"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_NOTHING = "0" * 40
_SUBMODULE = "160000"


def is_test(path: str) -> bool:
    """Whether a file belongs to the test patch: under `tests/`, `test_*.py`, `*_test.py` or `conftest.py`."""
    place = PurePosixPath(path)
    name = place.name
    by_name = name.endswith(".py") and (name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py")
    return by_name or any(part in {"tests", "test"} for part in place.parts[:-1])


@dataclass(frozen=True)
class Change:
    """One file of the diff.

    Attributes:
        old_path: where it was on base; equal to `path` but for renamed files.
        old_blob, new_blob: blob ids, None where the side has no such file.
        patch: its part of the unified diff, "" where it cannot be text.
        removed, added: changed lines, numbered from 1, of base and of head.
        inserts: for places where head adds lines and base loses none: the base line after which they come (0 for the top).
        cuts: the same the other way round: the head line after which base's lines are gone.
    """

    path: str
    old_path: str
    change_type: ChangeType
    old_blob: str | None
    new_blob: str | None
    binary: bool = False
    lfs: bool = False
    submodule: bool = False
    patch: str = ""
    removed: frozenset[int] = frozenset()
    added: frozenset[int] = frozenset()
    inserts: tuple[int, ...] = ()
    cuts: tuple[int, ...] = ()

    @property
    def is_test(self) -> bool:
        """Whether it belongs to the test patch."""
        return is_test(self.path)


@dataclass(frozen=True)
class Diff:
    """The change between base and head.

    Attributes:
        notes: sentences about what is odd: LFS pointers, submodules, encodings, binary files.
    """

    base: str
    head: str
    changes: tuple[Change, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def patch(self) -> str:
        """The unified diff of all files that are no tests."""
        return "".join(change.patch for change in self.changes if not change.is_test)

    @property
    def test_patch(self) -> str:
        """The unified diff of the tests."""
        return "".join(change.patch for change in self.changes if change.is_test)


def _raw(git: Git, base: str, head: str) -> list[tuple[Change, int]]:
    """The files that differ, each with its number of sections in the patch: one that changes its type has two."""
    fields = git.run("diff", *_DIFF, "--raw", "--no-abbrev", "-z", base, head, "--").split(b"\0")
    changes: list[tuple[Change, int]] = []
    index = 0
    while index < len(fields) and fields[index].startswith(b":"):
        old_mode, new_mode, old, new, status = fields[index][1:].decode().split()
        renamed = status[0] in "RC"
        old_path = fields[index + 1].decode("utf-8", "surrogateescape")
        path = fields[index + 2].decode("utf-8", "surrogateescape") if renamed else old_path
        index += 3 if renamed else 2
        change = Change(
            path,
            old_path,
            _TYPES.get(status[0], "modified"),
            None if old.startswith(_NOTHING) else old,
            None if new.startswith(_NOTHING) else new,
            submodule=_SUBMODULE in (old_mode, new_mode),
        )
        changes.append((change, 2 if status[0] == "T" else 1))
    return changes


def _too_large(git: Git, base: str, head: str) -> StageError:
    lines: list[tuple[int, str]] = []
    for row in git.run("diff", *_DIFF, "--no-renames", "--numstat", "-z", base, head, "--").split(b"\0"):
        added, _, rest = row.decode("utf-8", "replace").partition("\t")
        removed, _, path = rest.partition("\t")
        if added.isdigit() and removed.isdigit():
            lines.append((int(added) + int(removed), path))
    largest = ", ".join(f"{path} ({count:,} lines)" for count, path in sorted(lines, reverse=True)[:5])
    return StageError(
        Reason.DIFF_TOO_LARGE,
        f"the diff of {len(lines)} files between {base[:12]} and {head[:12]} is longer than {MAX_DIFF_BYTES:,} bytes; "
        f"the largest: {largest}; name a base closer to head",
    )


def _sections(text: bytes) -> list[bytes]:
    """A unified diff cut before each file's header; no line of a file's content can begin like one."""
    starts = [match.start() for match in re.finditer(rb"^diff --git ", text, re.MULTILINE)]
    return [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]


@dataclass
class _Lines:
    """Changed lines, collected from hunks."""

    removed: set[int] = field(default_factory=set)
    added: set[int] = field(default_factory=set)
    inserts: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)


def _changed_lines(section: bytes) -> _Lines:
    result = _Lines()
    old = new = old_left = new_left = 0
    run: list[bytes] = []
    marks = (0, 0)
    for line in [*section.split(b"\n"), b""]:
        kind = line[:1] if old_left > 0 or new_left > 0 else b"end"
        if kind in (b"+", b"-"):
            marks = marks if run else (old - 1, new - 1)
            run.append(kind)
            (result.removed if kind == b"-" else result.added).add(old if kind == b"-" else new)
        elif run and kind != b"\\":
            if b"-" not in run:
                result.inserts.append(marks[0])
            if b"+" not in run:
                result.cuts.append(marks[1])
            run = []
        if kind in (b"-", b" ", b""):
            old, old_left = old + 1, old_left - 1
        if kind in (b"+", b" ", b""):
            new, new_left = new + 1, new_left - 1
        match = _HUNK.match(line) if kind == b"end" else None
        if match:
            old_left, new_left = (1 if count is None else int(count) for count in (match[2], match[4]))
            old, new = int(match[1]) + (old_left == 0), int(match[3]) + (new_left == 0)
    return result


def _is_lfs(git: Git, blob: str | None) -> bool:
    if blob is None:
        return False
    try:
        if int(git.text("cat-file", "-s", blob)) > 1024:
            return False
        return git.run("cat-file", "blob", blob).startswith(_LFS)
    except GitError:
        return False


def shown(path: str) -> str:
    """A path as text that can be written: bytes that are no UTF-8 are replaced."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _describe(git: Git, change: Change, sections: list[bytes], notes: list[str]) -> Change:
    """A change with its patch, its lines and what is odd about it."""
    name = shown(change.path)
    if change.submodule:
        notes.append(
            f"{name} is a submodule that moves from {change.old_blob or 'nothing'} to {change.new_blob or 'nothing'}; "
            "the patch does not carry it"
        )
        return change
    text = b"".join(sections)
    if re.search(rb"^Binary files .* differ$", text, re.MULTILINE) and b"\n@@ -" not in text:
        notes.append(f"{name} is binary: listed, but not part of the patch")
        return replace(change, binary=True)
    lines = _changed_lines(text)
    lfs = _LFS in text and (_is_lfs(git, change.old_blob) or _is_lfs(git, change.new_blob))
    if lfs:
        notes.append(f"{name} is a Git LFS pointer: its content is not fetched")
    try:
        patch = text.decode()
    except UnicodeDecodeError as error:
        patch = text.decode("utf-8", "replace")
        notes.append(
            f"{name} is not UTF-8 (byte 0x{text[error.start]:02x}): replaced in the patch, which therefore does not apply to it"
        )
    return replace(
        change,
        lfs=lfs,
        patch=patch,
        removed=frozenset(lines.removed),
        added=frozenset(lines.added),
        inserts=tuple(lines.inserts),
        cuts=tuple(lines.cuts),
    )


def read_diff(mirror: Mirror, base: str, head: str) -> Diff:
    """The change between two commits that the mirror has.

    Raises:
        StageError: EmptyDiff; DiffTooLarge, naming the largest files.
    """
    git = mirror.git
    changes = _raw(git, base, head)
    if not changes:
        raise StageError(Reason.EMPTY_DIFF, f"{base} and {head} hold the same files; check base and head")
    text = git.bounded(["diff", *_DIFF, *_DIFF_PREFIXES, base, head, "--"], MAX_DIFF_BYTES)
    if text is None or len(changes) > MAX_FILES:
        raise _too_large(git, base, head)
    sections = _sections(text)
    notes: list[str] = []
    described: list[Change] = []
    position = 0
    for change, count in changes:
        described.append(_describe(git, change, sections[position : position + count], notes))
        position += count
    if all(change.is_test for change in described):
        notes.append("the change touches tests alone")
    return Diff(base, head, tuple(described), tuple(notes))


def read_blob(mirror: Mirror, blob: str | None, *, limit: int = MAX_BLOB_BYTES) -> bytes | None:
    """A file's content, or None where there is none or it is longer than `limit` bytes."""
    if blob is None:
        return None
    try:
        return mirror.git.bounded(["cat-file", "blob", blob], limit)
    except GitError:
        return None
