"""list: which Commits a collection sees, as one JSON line each. The only stage that may know where custom resources live.

On a laptop they are the documents `commit-<name>.yaml` of the output folder's status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from isobench_runner.contract import CollectRequest, Reason, Request, StageError
from isobench_runner.store import Store

FILE = "commits.jsonl"


def _documents(folder: Path) -> Iterator[dict[str, Any]]:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for path in sorted(folder.glob("commit-*.yaml")):
        name = path.stem.removeprefix("commit-")
        try:
            body = yaml.load(path.read_bytes(), Loader=loader)  # noqa: S506 - a safe loader, the C one where there is one
            if not isinstance(body, dict) or not isinstance(body.get("metadata"), dict):
                raise TypeError("no metadata")
        except (yaml.YAMLError, TypeError, ValueError, RecursionError, OSError) as error:
            yield {"metadata": {"name": name}, "error": f"{path.name}: {error}"}
        else:
            yield body


def run(request: Request, input: Path, output: Path, store: Store) -> None:  # noqa: A002, ARG001 - every stage is called alike
    """Write `commits.jsonl`: {"metadata", "spec", "status"} of every Commit that carries the labels, or {"metadata", "error"} of a
    document that cannot be read, which is told and never ends the collection.

    Raises:
        StageError: MissingInput, where there is no folder of status documents.
    """
    if not isinstance(request, CollectRequest):
        raise StageError(Reason.INTERNAL_ERROR, f"list serves collections, not a {type(request).__name__}")
    if not input.is_dir():
        raise StageError(Reason.MISSING_INPUT, f"{input} is no folder: nothing has been run here yet")
    with (output / FILE).open("w", encoding="utf-8") as file:
        for body in _documents(input):
            labels = body["metadata"].get("labels") or {}
            if "error" not in body and any(labels.get(name) != value for name, value in request.match_labels):
                continue
            kept = {name: body[name] for name in ("metadata", "spec", "status", "error") if name in body}
            file.write(json.dumps(kept, ensure_ascii=False, default=str) + "\n")
