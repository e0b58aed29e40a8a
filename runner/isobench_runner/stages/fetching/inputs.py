"""inputs.json: everything about a commit that later stages need, said once, from the repository and what was given.

Both head's prepare and generate make it, by the same code from the same commits, so that they cannot speak of two changes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobench_runner.contract import Reason, StageError
from isobench_runner.git import Change, Mirror, read_commit, read_diff
from isobench_runner.git.checkout import python_blobs
from isobench_runner.git.diff import read_blob, shown
from isobench_runner.records import functions
from isobench_runner.records.extraction import (
    Extraction,
    FileChange,
    api_names,
    complete,
    matches,
    parse_json,
    read_extraction,
)

from .mounted import read_mounted

MAX_OLD_CONTENT_BYTES = 30_000_000
"""The most that the old files of one extraction hold together."""


@dataclass(frozen=True)
class _Functions:
    """What a file's change touches."""

    changed: list[functions.Changed]
    names: list[str]
    notes: list[str]


def given_extraction(path: str | None, head: str) -> Extraction | None:
    """The extraction that the spec names.

    Raises:
        StageError: MissingInput; InputInvalid where it is none, or of another commit.
    """
    if path is None:
        return None
    name = Path(path).name
    extraction = read_extraction(parse_json(read_mounted(path, "spec.extraction"), name), name)
    if not matches(extraction, head):
        raise StageError(
            Reason.INPUT_INVALID,
            f"extraction {name}: commit_hash is {extraction.commit_hash}, but spec.head is {head}; give the extraction of head",
        )
    return extraction


def _functions(mirror: Mirror, change: Change, trees: tuple[Collection[str], Collection[str]]) -> _Functions:
    notes: list[str] = []

    def side(path: str, blob: str | None) -> functions.SourceFile | None:
        if blob is None or not path.endswith(".py"):
            return None
        content = read_blob(mirror, blob)
        if content is None:
            notes.append(f"{shown(path)} is too long to look for functions in it")
            return None
        source = functions.parse_source(shown(path), content)
        notes.extend([source.note] if source.note else [])
        return source

    base, head = side(change.old_path, change.old_blob), side(change.path, change.new_blob)
    touched = functions.touched_names(base, head, removed=change.removed, added=change.added)
    path, tree = (change.path, trees[1]) if change.new_blob else (change.old_path, trees[0])
    changed = functions.changed_functions(
        base, head, removed=change.removed, added=change.added, inserts=change.inserts, cuts=change.cuts
    )
    return _Functions(changed, [functions.full_name(shown(path), name, tree) for name in touched], notes)


def _old_contents(mirror: Mirror, changes: tuple[Change, ...], notes: list[str]) -> dict[str, str | None]:
    left = MAX_OLD_CONTENT_BYTES
    result: dict[str, str | None] = {}
    for change in changes:
        content = None if change.binary or change.submodule else read_blob(mirror, change.old_blob)
        if content is not None and len(content) <= left:
            left -= len(content)
            result[change.path] = content.decode("utf-8", "replace")
        elif change.old_blob is not None and not change.binary and not change.submodule:
            notes.append(f"{shown(change.path)} is too long for the extraction: its old content is left out")
    return result


def assemble(
    mirror: Mirror, *, repository: str, head: str, base: str, given: Extraction | None, script: str | None
) -> dict[str, Any]:
    """The body of inputs.json.

    Raises:
        StageError: EmptyDiff, DiffTooLarge, CommitNotFound.
    """
    diff = read_diff(mirror, base, head)
    info = read_commit(mirror, head)
    notes = list(diff.notes)
    trees = (python_blobs(mirror, base), python_blobs(mirror, head))
    changed: list[functions.Changed] = []
    names: dict[bool, dict[str, None]] = {False: {}, True: {}}
    for change in diff.changes:
        if change.binary or change.submodule:
            continue
        found = _functions(mirror, change, trees)
        notes += found.notes
        changed += [] if change.is_test else found.changed
        names[change.is_test].update(dict.fromkeys(found.names))
    old = _old_contents(mirror, diff.changes, notes)
    computed = Extraction(
        head,
        base,
        info.message,
        tuple(
            FileChange(shown(change.path), old.get(change.path), change.patch, change.change_type)
            for change in diff.changes
        ),
        api_names(names[False]),
        {"category": "", "json_has_tests": "TRUE" if diff.test_patch else "FALSE"},
    )
    if given is not None and given.parent_hash is not None and not base.startswith(given.parent_hash[:40]):
        notes.append(f"the extraction names the parent {given.parent_hash}; base is {base}")
    return {
        "v": 1,
        "repo": repository,
        "head": head,
        "base": base,
        "subject": info.subject,
        "message": info.message,
        "author_date": info.author_date,
        "commit_date": info.commit_date,
        "pr": info.pull_request,
        "files": [
            {
                "path": shown(change.path),
                "old_path": shown(change.old_path),
                "change_type": change.change_type,
                "binary": change.binary,
                "is_test": change.is_test,
                "lfs": change.lfs,
            }
            for change in diff.changes
        ],
        "patch": diff.patch,
        "test_patch": diff.test_patch,
        "patch_functions": list(names[False]),
        "test_functions": list(names[True]),
        "extraction": (complete(given, computed) if given else computed).to_json(),
        "script": script,
        "changed": [item.to_json() for item in changed],
        "notes": notes,
    }
