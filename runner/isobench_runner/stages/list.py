"""list: which Commits a collection sees, as one JSON line each. The only stage that may know where custom resources live.

On a cluster they are read from the API server; on a laptop they are the documents `commit-<name>.yaml` of the output folder's status.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from isobench_runner.api_server import PAGE, ApiServer, ExpiredError
from isobench_runner.contract import CollectRequest, Reason, Request, StageError
from isobench_runner.store import Store

FILE = "commits.jsonl"
RESTARTS = 5


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


def _carries(body: dict[str, Any], wanted: Sequence[tuple[str, str]]) -> bool:
    labels = body["metadata"].get("labels") or {}
    return all(labels.get(name) == value for name, value in wanted)


def _line(body: dict[str, Any]) -> str:
    kept = {name: body[name] for name in ("metadata", "spec", "status", "error") if name in body}
    kept["metadata"] = {name: value for name, value in kept["metadata"].items() if name != "managedFields"}
    return json.dumps(kept, ensure_ascii=False, default=str) + "\n"


def _from_documents(folder: Path, labels: Sequence[tuple[str, str]], output: Path) -> None:
    if not folder.is_dir():
        raise StageError(Reason.MISSING_INPUT, f"{folder} is no folder: nothing has been run here yet")
    with output.open("w", encoding="utf-8") as file:
        for body in _documents(folder):
            if "error" in body or _carries(body, labels):
                file.write(_line(body))


def from_api_server(server: ApiServer, labels: Sequence[tuple[str, str]], output: Path, *, page: int = PAGE) -> None:
    """Write the Commits of the pod's namespace that carry the labels, as JSON lines.

    Raises:
        StageError: ApiServerUnavailable.
    """
    for _ in range(RESTARTS):
        with output.open("w", encoding="utf-8") as file:
            try:
                for commits in server.commits(labels, page=page):
                    file.writelines(map(_line, commits))
            except ExpiredError as error:
                words = str(error)
            else:
                return
    raise StageError(
        Reason.API_SERVER_UNAVAILABLE, f"the list of Commits expired {RESTARTS} times while it was read: {words}"
    )


def run(request: Request, input: Path, output: Path, store: Store) -> None:  # noqa: A002, ARG001 - every stage is called alike
    """Write `commits.jsonl`: {"metadata", "spec", "status"} of every Commit that carries the labels, or {"metadata", "error"} of a
    document that cannot be read, which is told and never ends the collection.

    Raises:
        StageError: MissingInput, where there is no folder of status documents; ApiServerUnavailable.
    """
    if not isinstance(request, CollectRequest):
        raise StageError(Reason.INTERNAL_ERROR, f"list serves collections, not a {type(request).__name__}")
    if os.environ.get("ISOBENCH_RUNTIME") == "kubernetes":
        from_api_server(ApiServer.of_this_pod(), request.match_labels, output / FILE)
    else:
        _from_documents(input, request.match_labels, output / FILE)
