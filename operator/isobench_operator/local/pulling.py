"""What a Commit or a Dataset has in the store, laid out in a folder for people: names instead of digests.

Where the blobs come from is the caller's: a `Blobs` brings those that are asked for into a store on this machine, which proves them.
Every file is written from there, so the layout is the same for a cluster and for the folder of a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import yaml

from isobench_operator.core import naming
from isobench_operator.core.progress import STAGES, Progress
from isobench_operator.errors import IsobenchError
from isobench_runner.store import Store, StoreError, write_atomic
from isobench_runner.transcript import log_name

Json = Mapping[str, Any]
FOLDERS = {"result": "results", "evidence": "evidence", "environment": "environments", "distributions": "distributions"}
"""What a revision of a status names, and where it is put."""


class PullError(IsobenchError):
    """What was asked for cannot be had."""


class Blobs(Protocol):
    """Where blobs come from."""

    async def bring(self, digests: Iterable[str], store: Store) -> None:
        """Have them in the store; those that cannot be found are left out."""

    async def resolve(self, names: Sequence[str]) -> Mapping[str, str]:
        """What names mean; those that mean nothing are left out."""


@dataclass(frozen=True)
class FolderBlobs:
    """The folder of a run: its artifacts, and the files of its Datasets, which lie there under their names.

    Attributes:
        files: names of these files.
    """

    folder: Path
    files: tuple[str, ...] = ()

    async def bring(self, digests: Iterable[str], store: Store) -> None:
        """Copy them."""
        source = Store(self.folder / "artifacts")
        for digest in digests:
            if source.has(digest):
                store.put(source.get(digest))
        for name in self.files:
            if (self.folder / name).is_file():
                store.put_file(self.folder / name)

    async def resolve(self, names: Sequence[str]) -> Mapping[str, str]:
        """Read them."""
        source = Store(self.folder / "artifacts")
        return {name: digest for name in names if (digest := source.resolve(name)) is not None}


@dataclass
class Pulled:
    """What was written, and what the store no longer holds.

    Attributes:
        files: below the folder.
        missing: names of files, with their digests.
    """

    files: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)


def _revisions(status: Json) -> Iterator[tuple[str, str]]:
    for revision in status.get("revisions") or ():
        for name, folder in FOLDERS.items():
            if revision.get(name):
                yield f"{folder}/{revision['name']}.json", revision[name]


def named(resource: Json) -> dict[str, str]:
    """Digest by file of everything that the status of a resource names."""
    status = resource.get("status") or {}
    if resource["kind"] == "Dataset":
        return {Path(file["name"]).name: file["digest"] for file in status.get("files") or ()}
    test, artifacts = status.get("test") or {}, status.get("artifacts") or {}
    found = {
        "test.py": test.get("digest"),
        "tests/first.py": (test.get("first") or {}).get("digest"),
        "tests/fallen.py": (test.get("fallen") or {}).get("digest"),
        "evidence/fallen.json": (test.get("fallen") or {}).get("evidence"),
        "inputs.json": artifacts.get("inputs"),
        "generation.json": artifacts.get("generation"),
        **dict(_revisions(status)),
    }
    return {name: digest for name, digest in found.items() if digest}


def _object(content: bytes) -> dict[str, Any]:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def log_names(resource: Json) -> dict[str, str]:
    """The name that the store has for the log of each stage of a Commit, by file."""
    if resource["kind"] != "Commit":
        return {}
    progress = Progress.from_status(resource.get("status") or {})
    jobs = {stage: naming.job_name(resource, stage, progress.stage(stage).attempt) for stage in STAGES}
    return {f"logs/{stage}.log": log_name(job) for stage, job in jobs.items()}


def _logs(files: Mapping[str, bytes]) -> dict[str, str]:
    """Logs that evidence names: digest by file."""
    found = {}
    for name, content in files.items():
        digest = _object(content).get("log") if name.startswith("evidence/") else None
        if isinstance(digest, str):
            found[f"{name.removesuffix('.json')}.log"] = digest
    return found


def _shown(files: Mapping[str, bytes]) -> Iterator[tuple[str, str]]:
    """Texts that lie within artifacts: patches, prompts and answers."""
    inputs = _object(files.get("inputs.json", b""))
    for name in ("patch", "test_patch"):
        if isinstance(inputs.get(name), str) and inputs[name]:
            yield f"{name}.diff", inputs[name]
    for number, attempt in enumerate(_object(files.get("generation.json", b"")).get("attempts") or (), 1):
        if not isinstance(attempt, dict):
            continue
        parts = [
            f"## {one.get('role')}\n\n{one.get('content')}\n"
            for one in attempt.get("messages") or ()
            if isinstance(one, dict)
        ]
        yield f"attempts/{number:02}-prompt.md", "\n".join(parts)
        yield f"attempts/{number:02}-answer.md", str(attempt.get("answer") or "")
        if attempt.get("code"):
            yield f"attempts/{number:02}.py", str(attempt["code"])


async def pull(resource: Json, blobs: Blobs, store: Store, out: Path) -> Pulled:
    """Write everything that a resource has in the store below `out`, beside the resource itself.

    Args:
        store: on this machine, for the blobs on their way.

    Raises:
        PullError: `out` holds something else under one of the names.
    """
    pulled, wanted, logged = Pulled(), named(resource), log_names(resource)
    if logged:
        known = await blobs.resolve(list(logged.values()))
        wanted |= {file: known[name] for file, name in logged.items() if name in known}
    await blobs.bring(wanted.values(), store)
    _keep(pulled, out, f"{resource['kind'].lower()}.yaml", yaml.safe_dump(dict(resource), sort_keys=False).encode())
    small = _take(wanted, store, out, pulled)
    logs = _logs(small)
    await blobs.bring(logs.values(), store)
    _take(logs, store, out, pulled)
    for name, text in _shown(small):
        _keep(pulled, out, name, text.encode("utf-8", "replace"))
    return pulled


def _take(wanted: Mapping[str, str], store: Store, out: Path, pulled: Pulled) -> dict[str, bytes]:
    """Write blobs under their names; returns those that may name or hold others."""
    found = {}
    for name, digest in wanted.items():
        try:
            store.take_file(digest, out / name)
        except StoreError:
            pulled.missing[name] = digest
            continue
        except OSError as error:
            raise PullError(f"{out / name}: {error.strerror}; choose another --out") from error
        pulled.files.append(name)
        if name.endswith(".json"):
            found[name] = (out / name).read_bytes()
    return found


def _keep(pulled: Pulled, out: Path, name: str, content: bytes) -> None:
    try:
        write_atomic(out / name, content)
    except OSError as error:
        raise PullError(f"{out / name}: {error.strerror}; choose another --out") from error
    pulled.files.append(name)
