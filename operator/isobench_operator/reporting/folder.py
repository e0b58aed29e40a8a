"""Reads an output folder for the report, forgivingly: a run that was interrupted, or made by another release, still has a report.

Nothing is decided here. What is missing is None or empty; an artifact that status names and the store lacks is listed in `missing`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from isobench_runner.store import Store, StoreError

Json = Mapping[str, Any]
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def mapping(value: Any) -> dict[str, Any]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    """The value where it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def number(value: Any) -> float | None:
    """A finite number out of a number or its text, else None."""
    try:
        parsed = float(value)
    except (TypeError, ValueError):
        return None
    return parsed if abs(parsed) < float("inf") else None


@dataclass
class CommitRun:
    """A Commit as it was left: spec and status, and the artifacts that status names.

    Attributes:
        results: result artifacts by the revision's name.
        evidence: what is known of failures, by the revision's name.
        missing: digests that the store does not hold.
    """

    name: str
    spec: Json
    status: Json
    labels: Json = field(default_factory=dict)
    error: str = ""
    inputs: Json = field(default_factory=dict)
    generation: Json = field(default_factory=dict)
    results: dict[str, Json] = field(default_factory=dict)
    evidence: dict[str, Json] = field(default_factory=dict)
    environments: dict[str, Json] = field(default_factory=dict)
    script: str = ""
    missing: list[str] = field(default_factory=list)

    def condition(self, kind: str) -> Json:
        """A condition by its type, or an empty object."""
        found = (mapping(item) for item in items(self.status.get("conditions")))
        return next((item for item in found if item.get("type") == kind), {})

    def holds(self, kind: str) -> bool:
        """Whether a condition is True."""
        return self.condition(kind).get("status") == "True"

    @property
    def revisions(self) -> dict[str, Json]:
        """Status of each revision by its name."""
        return {str(mapping(item).get("name")): mapping(item) for item in items(self.status.get("revisions"))}

    @property
    def result(self) -> Json:
        """The verdict and its numbers, as text."""
        return mapping(self.status.get("result"))


@dataclass(frozen=True)
class RunFolder:
    """Everything that a report shows."""

    commits: tuple[CommitRun, ...]
    datasets: tuple[Json, ...]


class _Reader:
    def __init__(self, store: Store, missing: list[str]) -> None:
        self._store, self._missing = store, missing

    def text(self, digest: Any) -> str:
        if not isinstance(digest, str) or not digest:
            return ""
        try:
            return self._store.get(digest).decode("utf-8", "replace")
        except (StoreError, OSError):
            self._missing.append(digest)
            return ""

    def json(self, digest: Any) -> dict[str, Any]:
        text = self.text(digest)
        try:
            return mapping(json.loads(text)) if text else {}
        except (ValueError, RecursionError):
            self._missing.append(str(digest))
            return {}


def _commit(body: Json, store: Store) -> CommitRun:
    metadata, status = mapping(body.get("metadata")), mapping(body.get("status"))
    labels = mapping(metadata.get("labels"))
    commit = CommitRun(str(metadata.get("name")), mapping(body.get("spec")), status, labels)
    reader = _Reader(store, commit.missing)
    artifacts = mapping(status.get("artifacts"))
    commit.inputs = reader.json(artifacts.get("inputs"))
    commit.generation = reader.json(artifacts.get("generation"))
    commit.script = reader.text(mapping(status.get("test")).get("digest"))
    for name, revision in commit.revisions.items():
        for field_name, held in (
            ("result", commit.results),
            ("evidence", commit.evidence),
            ("environment", commit.environments),
        ):
            if revision.get(field_name):
                held[name] = reader.json(revision[field_name])
    return commit


def read_folder(directory: Path) -> RunFolder:
    """Read `status/` and `artifacts/` below an output folder.

    Raises:
        FileNotFoundError: there is no `status` folder: nothing was run there.
    """
    status = directory / "status"
    if not status.is_dir():
        raise FileNotFoundError(f"{status} is not there: `isobench run … --out {directory}` makes it")
    store = Store(directory / "artifacts")
    commits: list[CommitRun] = []
    datasets: list[Json] = []
    for path in sorted(status.glob("*.yaml")):
        try:
            body = mapping(yaml.load(path.read_bytes(), Loader=_LOADER))  # noqa: S506 - a safe loader
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            commits.append(CommitRun(path.stem.partition("-")[2], {}, {}, error=f"{path.name} cannot be read: {error}"))
            continue
        if body.get("kind") == "Dataset":
            datasets.append(body)
        elif body.get("kind") == "Commit":
            commits.append(_commit(body, store))
    return RunFolder(tuple(commits), tuple(datasets))
