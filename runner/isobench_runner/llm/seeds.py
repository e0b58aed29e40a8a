"""Pre-generated scripts: looked up by the commit's name before any request is made."""

from __future__ import annotations

from pathlib import Path

SUFFIXES = ("_test_case_generator.py", ".py")


def script_name(head: str) -> str:
    """The file name that a generated script is written under: `<hash8>_test_case_generator.py`."""
    return f"{head[:8]}{SUFFIXES[0]}"


def find_seed(folder: Path | None, head: str) -> Path | None:
    """The script of a commit in a folder: under its full hash first, then under the first eight digits; None where there is none."""
    if folder is None:
        return None
    for stem in dict.fromkeys((head, head[:8])):
        for suffix in SUFFIXES:
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None
