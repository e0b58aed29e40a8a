"""Whether a test carries a copy of the change that it is to judge: then it would time its own copy, on both sides.

Compared are lines, normalised so that indentation, spacing, comments, quotes and `self.` do not matter. A test rightly calls the changed
code and may share short or everyday lines with it, so what counts is:

- a run of three lines of work in a row out of one hunk, or three of them anywhere that are at least half of the hunk's. Chance
  agreement of single lines is common (`result = []`, `return x`), of three it was not seen in the tests of ISO-Bench; or
- one line alone of at least 60 characters after normalisation with four different names, which is past what a call of a public
  function with everyday arguments reaches.

Lines that base has as well (they were moved), imports, and lines that hold a single name, literal or keyword are no work and do not count.
Documents and data files are left out.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator
from dataclasses import dataclass

from isobench_runner.contract import Reason

from .findings import Finding

RUN_LINES = 3
LONE_CHARACTERS = 60
LONE_NAMES = 4
_PROSE = (".md", ".rst", ".txt", ".json", ".yaml", ".yml", ".toml", ".lock", ".cfg", ".ini", ".csv", ".html", ".svg")
_COMMENT = re.compile(r"(?<!['\"\w])(#|//).*$")
_NAME = re.compile(r"[A-Za-z_]\w+")
_HUNK = re.compile(r"^@@ -\d+(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_NO_WORK = re.compile(
    r"^(import|from|return$|pass|else:|try:|finally:|except|break|continue|raise$|@|def|class|elif$|\W*$)"
)


@dataclass(frozen=True)
class _Hunk:
    path: str
    start: int
    added: tuple[str, ...]


def normalise(line: str) -> str:
    """A line without what a copy may change at no cost."""
    text = _COMMENT.sub("", line.strip())
    text = re.sub(r"\b(self|cls)\.", "", text).replace('"', "'")
    return re.sub(r"\s+", "", text).rstrip(",;")


def _is_work(line: str) -> bool:
    if _NO_WORK.match(line.strip()):
        return False
    return len(normalise(line)) >= 10 and len(_names(line)) >= 2


def _names(line: str) -> set[str]:
    return {name for name in _NAME.findall(_COMMENT.sub("", line)) if not keyword.iskeyword(name)} - {"self", "cls"}


def _hunks(patch: str) -> Iterator[_Hunk]:
    path, start, added, removed = "", 0, list[str](), set[str]()

    def finished() -> Iterator[_Hunk]:
        lines = tuple(line for line in added if _is_work(line) and normalise(line) not in removed)
        if lines and not path.endswith(_PROSE):
            yield _Hunk(path, start, lines)

    for line in patch.splitlines():
        header = _HUNK.match(line)
        if header is not None or line.startswith("diff --git "):
            yield from finished()
            added, removed = [], set()
            start = int(header[1]) if header is not None else 0
        elif line.startswith("+++ "):
            path = line[4:].strip().removeprefix("b/")
        elif line.startswith("+"):
            added.append(line[1:])
        elif line.startswith(("-", " ")) and not line.startswith("--- "):
            removed.add(normalise(line[1:]))
    yield from finished()


def leaked(source: str, patch: str) -> list[Finding]:
    """Where `source` repeats what `patch` (a unified diff) adds: at most one finding per hunk, never fatal by itself."""
    lines = [(number, normalise(line)) for number, line in enumerate(source.splitlines(), 1) if _is_work(line)]
    runs: dict[tuple[str, ...], int] = {}
    for index in range(len(lines) - RUN_LINES + 1):
        window = lines[index : index + RUN_LINES]
        runs.setdefault(tuple(text for _, text in window), window[0][0])
    single = {text: number for number, text in reversed(lines)}
    findings = []
    for hunk in _hunks(patch):
        added = [normalise(line) for line in hunk.added]
        windows = (tuple(added[index : index + RUN_LINES]) for index in range(len(added) - RUN_LINES + 1))
        at = next((runs[window] for window in windows if window in runs), None)
        shared = sorted({single[text] for text in added if text in single})
        if at is None and len(shared) >= max(RUN_LINES, len(set(added)) / 2):
            at = shared[0]
        if at is None:
            lone = (normalise(line) for line in hunk.added if len(_names(line)) >= LONE_NAMES)
            at = next((single[text] for text in lone if len(text) >= LONE_CHARACTERS and text in single), None)
        if at is not None:
            words = f"line {at} and on repeats what the change adds to {hunk.path} near line {hunk.start}: call it, do not copy it"
            findings.append(Finding(reason=Reason.PATCH_LEAKED, fatal=False, words=words, line=at))
    return findings
