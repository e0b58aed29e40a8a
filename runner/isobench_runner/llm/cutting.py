"""Cuts what is known of a commit to a budget of tokens, by relevance and never blindly.

Pieces are taken whole or not at all, in this order: hunks of the diff (code before tests before documents, the most changed functions'
files first), then the changed functions as they were on base, then whole files of base, the smallest first. A hunk is never cut in its
middle; what is left out is listed, so that a model knows that it does not see everything.

Tokens are estimated as one per three bytes of UTF-8. The tokenizers of both makers give 3.2 to 4.5 bytes per token on Python sources and
diffs written as JSON, so the estimate errs on the safe side by a tenth or more; a tokenizer of either would be a download per model.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from isobench_runner.contract import Reason, StageError

from .material import File, Material

BYTES_PER_TOKEN = 3
_DOCUMENTS = (".md", ".rst", ".txt", ".lock", ".svg", ".csv", ".html")
_CODE = (".py", ".pyx", ".pxd", ".c", ".cc", ".cpp", ".cu", ".cuh", ".h", ".hpp", ".rs", ".go", ".f90", ".jl", ".metal")
_HUNK_START = re.compile(r"(?m)^(?=@@ )")
_MAX_LISTED = 40


def tokens(text: str) -> int:
    """The estimate of how many tokens a text takes, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


@dataclass
class _Shown:
    """What of one file is shown."""

    file: File
    header: str
    hunks: list[str]
    taken: set[int] = field(default_factory=set)
    functions: list[dict[str, Any]] = field(default_factory=list)
    whole: bool = False

    def row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"file_path": self.file.path, "change_type": self.file.change_type}
        if self.taken:
            row["diff"] = self.header + "".join(self.hunks[index] for index in sorted(self.taken))
        if self.whole:
            row["old_content"] = self.file.old_content
        elif self.functions:
            row["functions"] = sorted(self.functions, key=lambda function: int(function["start"]))
        return row

    def missing(self) -> str | None:
        if len(self.taken) < len(self.hunks):
            return f"{self.file.path}: {len(self.hunks) - len(self.taken)} of {len(self.hunks)} hunks"
        if self.file.old_content is not None and not self.whole:
            return f"{self.file.path}: the rest of the file"
        return None


@dataclass(frozen=True, kw_only=True)
class Cut:
    """A commit as a prompt shows it.

    Attributes:
        text: JSON, indented by one.
        left_out: what did not fit, in words; counts per file.
    """

    text: str
    left_out: tuple[str, ...]


def split_hunks(diff: str) -> tuple[str, list[str]]:
    """A file's diff as its header and its hunks, whole; joined again they are the diff."""
    header, *hunks = _HUNK_START.split(diff)
    return header, hunks


def _rank(file: File, weight: Counter[str]) -> tuple[int, int, int]:
    kind = 2 if file.is_test else 3 if file.path.endswith(_DOCUMENTS) else 0 if file.path.endswith(_CODE) else 1
    return kind, -weight[file.path], len(file.diff)


def _weights(material: Material) -> Counter[str]:
    weight: Counter[str] = Counter()
    for function in material.touched:
        weight[function.path] += function.changed
    for place, name in enumerate(material.functions):
        path = name.partition("::")[0]
        weight[path] += max(0, len(material.functions) - place)
    return weight


def _cost(value: Any) -> int:
    """Bytes that a value takes in the indented JSON at most: every line end is escaped already, so only nesting adds to it."""
    return len(json.dumps(value, ensure_ascii=False, indent=1).encode()) + 64


class _Budget:
    def __init__(self, limit: int) -> None:
        self.left = limit

    def take(self, size: int) -> bool:
        if size > self.left:
            return False
        self.left -= size
        return True


def _short(text: str, limit: int) -> str:
    """The beginning of a text, whole lines, within `limit` bytes."""
    if len(text.encode()) <= limit:
        return text
    kept, size = [], 0
    for line in text.splitlines():
        size += len(line.encode()) + 2
        if size > limit - 8:
            break
        kept.append(line)
    return "\n".join([*kept, "…"])


def cut(material: Material, budget_tokens: int) -> Cut:
    """The commit as JSON within `budget_tokens` by `tokens`.

    Raises:
        StageError: InputInvalid, where not even its name and message fit.
    """
    weight = _weights(material)
    shown = []
    for file in sorted(material.files, key=lambda file: _rank(file, weight)):
        header, hunks = split_hunks(file.diff)
        shown.append(_Shown(file, header if hunks else "", hunks or ([header] if header.strip() else [])))
    frame: dict[str, Any] = {
        "commit_hash": material.head,
        "parent_hash": material.base,
        "message": _short(material.message, max(200, budget_tokens * BYTES_PER_TOKEN // 8)),
        "csv_metadata": {"category": material.category},
        **(material.extra or {}),
    }
    reserve = _cost(_left_out(shown)) + 24 * _MAX_LISTED
    budget = _Budget(budget_tokens * BYTES_PER_TOKEN - _cost(frame) - reserve)
    if budget.left < 0:
        words = f"the prompt leaves {budget_tokens} tokens for the commit, which do not hold its message; shorten the prompt"
        raise StageError(Reason.INPUT_INVALID, words)
    present = _take_hunks(shown, budget)
    _take_functions(shown, material, present, budget)
    _take_files(shown, present, budget)
    missing = _left_out(shown)
    frame["files_changed"] = [one.row() for one in shown if one.file.path in present]
    if missing:
        frame["left_out"] = missing
    return Cut(text=json.dumps(frame, ensure_ascii=False, indent=1), left_out=tuple(missing))


def _left_out(shown: list[_Shown]) -> list[str]:
    missing = [words for one in shown if (words := one.missing()) is not None]
    more = len(missing) - _MAX_LISTED
    return missing[:_MAX_LISTED] + ([f"and {more} more files"] if more > 0 else [])


def _take_hunks(shown: list[_Shown], budget: _Budget) -> set[str]:
    present = set[str]()
    for one in shown:
        first = _cost(
            {"file_path": one.file.path, "change_type": one.file.change_type, "diff": one.header, "functions": []}
        )
        for index, hunk in enumerate(one.hunks):
            size = _cost(hunk) + (0 if one.file.path in present else first)
            if budget.take(size):
                one.taken.add(index)
                present.add(one.file.path)
    return present


def _take_functions(shown: list[_Shown], material: Material, present: set[str], budget: _Budget) -> None:
    by_path = {one.file.path: one for one in shown}
    for function in sorted(material.touched, key=lambda function: (-function.changed, function.path, function.start)):
        one = by_path.get(function.path)
        if one is None or one.file.old_content is None or function.path not in present:
            continue
        lines = one.file.old_content.splitlines()[function.start - 1 : function.end]
        row = {"name": function.qualname, "start": function.start, "end": function.end, "source": "\n".join(lines)}
        if lines and budget.take(_cost(row) + 8 * len(row)):
            one.functions.append(row)


def _take_files(shown: list[_Shown], present: set[str], budget: _Budget) -> None:
    """Whole files, for the code that is no test: what they hold of functions stays counted, which only errs on the safe side."""
    candidates = [one for one in shown if one.file.path in present and one.file.old_content and not one.file.is_test]
    for one in sorted(candidates, key=lambda one: len(one.file.old_content or "")):
        one.whole = budget.take(_cost(one.file.old_content))
