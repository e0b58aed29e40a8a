"""What a sandbox on this machine has to show of it, and what trusted code remembers of an environment beside its folder.

`<key>.fetch.json` lies outside of the folder that builds may write, so that no build can widen what later containers see.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from isobench_runner.interpreters import Interpreter

from .mounted import write_json

_SHOWN_ANYWAY = ("/usr", "/bin", "/lib", "/lib64", "/sbin", "/etc")


@dataclass(frozen=True)
class Known:
    """What fetch knows of a prepared environment.

    Attributes:
        prefixes: folders that its interpreter needs, shown read-only.
        blobs: git's blob ids of the tree's Python files, submodules included.
        notes: sentences about the tree.
    """

    prefixes: tuple[str, ...]
    blobs: dict[str, str]
    notes: tuple[str, ...] = ()


def embedded() -> bool:
    """Whether this runs on a laptop, where the machine's own interpreters build and measure."""
    return os.environ.get("ISOBENCH_RUNTIME") == "embedded"


def outermost(paths: Iterable[str]) -> list[str]:
    """Folders without those that lie below another, or that every sandbox shows; never the root."""
    result: list[str] = []
    for path in sorted({os.path.realpath(path) for path in paths} | {os.path.normpath(path) for path in paths}):
        covered = any(path == above or path.startswith(f"{above}/") for above in (*result, *_SHOWN_ANYWAY))
        if path != "/" and not covered and Path(path).exists():
            result.append(path)
    return result


def prefixes(interpreter: Interpreter | None) -> tuple[str, ...]:
    """What an interpreter needs to run, beside what every sandbox shows."""
    if interpreter is None:
        return ()
    return tuple(outermost([*interpreter.prefixes, *interpreter.packages]))


def write_binds(output: Path, *, read_only: Iterable[str], writable: Iterable[str] = ()) -> None:
    """Leave binds.json: what the next container may see beyond its own folders; the harness's own interpreter is among it."""
    own = [sys.base_prefix, sys.prefix]
    write_json(output / "binds.json", {"ro": outermost([*read_only, *own]), "rw": list(writable)})


def write_known(envs: Path, key: str, known: Known) -> None:
    """Remember what is known of an environment, beside its folder."""
    body = {"v": 1, "prefixes": list(known.prefixes), "blobs": known.blobs, "notes": list(known.notes)}
    write_json(envs / f"{key}.fetch.json", body)


def read_known(envs: Path, key: str) -> Known | None:
    """What was remembered, or None."""
    try:
        body = json.loads((envs / f"{key}.fetch.json").read_text())
        return Known(tuple(body["prefixes"]), dict(body["blobs"]), tuple(body["notes"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
