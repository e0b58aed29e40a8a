"""What a prompt is made of, taken from the stages' inputs or from an extraction file in any of its forms.

Which words of an extraction a model may see is `records.extraction.for_prompt`'s to say; this module only arranges them for cutting, and
finds out which functions the change is about.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from isobench_runner.contract import Reason, StageError
from isobench_runner.git.diff import is_test
from isobench_runner.records.extraction import Extraction, for_prompt, read_extraction

_ARRANGED = frozenset({"commit_hash", "message", "category", "files_changed"})
MAX_EXTRA_BYTES = 4_000
"""A further field of an extraction that takes more says less than the code that it would push out."""


@dataclass(frozen=True, kw_only=True)
class Function:
    """A changed function on base, whole.

    Attributes:
        start, end: lines, 1-based and inclusive.
        changed: how many lines inside of it the commit touches.
    """

    path: str
    qualname: str
    start: int
    end: int
    changed: int


@dataclass(frozen=True, kw_only=True)
class File:
    """A file of the commit.

    Attributes:
        diff: unified, of this file alone; "" for a binary one.
        old_content: as on base; None where it is not known or did not exist.
    """

    path: str
    change_type: str
    diff: str
    old_content: str | None
    is_test: bool = False


@dataclass(frozen=True, kw_only=True)
class Material:
    """Everything that a prompt is made of.

    Attributes:
        patch: unified diff of what is no test, for the scan for copies.
        functions: qualified names of what changed, most changed lines first.
        touched: the same functions with their place on base, where it is known.
        packages: `name version` of what is installed, or None where nothing is known yet.
    """

    head: str
    base: str | None
    message: str
    category: str | None
    files: tuple[File, ...]
    patch: str
    functions: tuple[str, ...] = ()
    touched: tuple[Function, ...] = ()
    package: str | None = None
    packages: tuple[str, ...] | None = None
    extra: Mapping[str, Any] | None = None


def _told(extraction: Extraction) -> tuple[dict[str, Any], dict[str, Any]]:
    """What may be told of an extraction, and of that the further fields, those that are short."""
    told = for_prompt(extraction)
    extra = {key: value for key, value in told.items() if key not in _ARRANGED}
    return told, {key: value for key, value in extra.items() if len(json.dumps(value)) <= MAX_EXTRA_BYTES}


def _files(told: Mapping[str, Any], tests: Mapping[str, bool]) -> tuple[File, ...]:
    return tuple(
        File(
            path=row["file_path"],
            change_type=row["change_type"],
            diff=row["diff"],
            old_content=row["old_content"] or None,
            is_test=tests.get(row["file_path"], is_test(row["file_path"])),
        )
        for row in told.get("files_changed", [])
    )


def _with_header(file: File) -> str:
    """A file's diff with the lines that name it, which extractions often leave out."""
    if not file.diff.strip() or file.diff.startswith("diff --git "):
        return file.diff
    header = f"diff --git a/{file.path} b/{file.path}\n"
    return header + (
        file.diff if file.diff.startswith("--- ") else f"--- a/{file.path}\n+++ b/{file.path}\n{file.diff}"
    )


def from_extraction(body: Mapping[str, Any], source: str) -> Material:
    """Read an extraction file, in the published form or one of those in the wild.

    Args:
        source: its file's name, for errors.

    Raises:
        StageError: InputInvalid, naming the field that is missing.
    """
    extraction = read_extraction(body, source)
    told, extra = _told(extraction)
    files = _files(told, {})
    if not any(file.diff.strip() for file in files):
        words = f"extraction {source}: files_changed has no diff; without a repository to take it from, give one"
        raise StageError(Reason.INPUT_INVALID, words)
    return Material(
        head=extraction.commit_hash,
        base=extraction.parent_hash,
        message=told.get("message", ""),
        category=extraction.category or None,
        files=files,
        patch="\n".join(_with_header(file) for file in files if not file.is_test),
        functions=extraction.apis,
        extra=extra,
    )


def from_inputs(
    inputs: Mapping[str, Any], *, package: str | None = None, packages: Iterable[Mapping[str, Any]] | None = None
) -> Material:
    """Read `inputs.json`, which `fetch` wrote from the repository and the extraction.

    Raises:
        StageError: InputInvalid, naming the field.
    """
    try:
        extraction = read_extraction(inputs["extraction"], "inputs.json")
        told, extra = _told(extraction)
        counts: Counter[str] = Counter()
        for row in inputs["changed"]:
            counts[f"{row['path']}::{row['qualname']}"] += len(row["lines"])
        return Material(
            head=inputs["head"],
            base=inputs["base"],
            message=told.get("message", ""),
            category=extraction.category or None,
            files=_files(told, {row["path"]: bool(row["is_test"]) for row in inputs["files"]}),
            patch=inputs["patch"],
            functions=tuple(name for name, _ in counts.most_common()) or tuple(inputs["patch_functions"]),
            touched=tuple(
                Function(
                    path=row["path"],
                    qualname=row["qualname"],
                    start=int(row["start"]),
                    end=int(row["end"]),
                    changed=len(row["lines"]),
                )
                for row in inputs["changed"]
                if row["side"] == "base"
            ),
            package=package,
            packages=None if packages is None else tuple(sorted(f"{row['name']} {row['version']}" for row in packages)),
            extra=extra,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise StageError(Reason.INPUT_INVALID, f"inputs.json cannot be used: {type(error).__name__} {error}") from error
