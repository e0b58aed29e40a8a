"""collect: finished Commits become the Dataset's files. It alone assembles records.

Two passes, so that memory holds one record and an index, never the dataset: every record is assembled and spooled, the index decides
which stay and what they are called, and the files are written from the spool and replaced at once. What the Dataset's folder holds
already is merged: a collected record outlives its Commit.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from isobench_runner.contract import CollectRequest, Reason, Request, StageError
from isobench_runner.outcome import read_outcome
from isobench_runner.records.card import card
from isobench_runner.records.dedup import HELD, NEW, Entry, entry, instance_ids, latest
from isobench_runner.records.funnel import Funnel
from isobench_runner.records.parquet import SCHEMA, ParquetFile
from isobench_runner.records.record import Artifacts, RecordRefusedError, assemble, succeeded
from isobench_runner.records.views import VIEWS
from isobench_runner.store import Store, StoreError, write_atomic

from .list import FILE as COMMITS

SUMMARY = "collected.json"
FORMATS = ("jsonl", "parquet")


def dataset_folder(root: Path) -> Path:
    """Where the Dataset's files live: ISOBENCH_DATASET, or the Job's own volume `dataset`."""
    return Path(os.environ.get("ISOBENCH_DATASET") or root / "dataset")


def _dump(record: Mapping[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


class _Spool:
    """Records on disk, entries in memory."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.entries: list[Entry] = []

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep a record.

        Raises:
            RecordRefusedError: it cannot be written as UTF-8 JSON.
        """
        try:
            line = _dump(record)
        except (ValueError, TypeError) as error:
            raise RecordRefusedError(Reason.RESULT_INVALID, f"the record cannot be written: {error}") from error
        digest = hashlib.sha256(line).hexdigest()
        self.entries.append(entry(record, source=NEW, offset=self._file.tell(), digest=digest))
        self._file.write(line)


def _gather(lines: Iterator[bytes], spool: _Spool, store: Store) -> Funnel:
    funnel, artifacts = Funnel(), Artifacts(store)
    version = importlib.metadata.version("isobench")
    for line in lines:
        commit = json.loads(line)
        if "error" in commit:
            funnel.commits += 1
            funnel.fail(commit, Reason.INPUT_INVALID, str(commit["error"]))
            continue
        try:
            funnel.see(commit)
            if succeeded(commit):
                record = assemble(commit, artifacts, tool_version=version)
                spool.add(record)
                funnel.verdicts[record["verdict"]] += 1
        except RecordRefusedError as error:
            funnel.fail(commit, error.reason, str(error))
        except (AttributeError, TypeError, KeyError, ValueError, IndexError) as error:
            funnel.fail(
                commit, Reason.RESULT_INVALID, f"status has an unexpected form: {type(error).__name__}: {error}"
            )
    return funnel


def _held(path: Path) -> Iterator[Entry]:
    """Entries of the records that the Dataset's folder holds already.

    Raises:
        StageError: InputInvalid, naming the line: a file that is not ours is never written over.
    """
    if not path.exists():
        return
    columns = set(SCHEMA.names)
    with path.open("rb") as file:
        offset = 0
        for number, line in enumerate(file, 1):
            try:
                record = json.loads(line)
                if not isinstance(record, dict) or set(record) != columns:
                    raise ValueError("these are not the columns of a record of this release")
                yield entry(record, source=HELD, offset=offset, digest="")
            except (ValueError, TypeError, AttributeError, RecursionError) as error:
                words = f"{path}:{number}: {error}; move the file away to start a new one"
                raise StageError(Reason.INPUT_INVALID, words) from error
            offset += len(line)


@dataclass(frozen=True)
class _Written:
    """A file written beside its place."""

    name: str
    part: Path
    digest: str
    size: int


class _Output:
    """One of the Dataset's JSONL files, written beside its place and hashed on the way."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._part = folder / name
        self._file = self._part.open("wb")
        self._hash = hashlib.sha256()

    def write(self, line: bytes) -> None:
        self._file.write(line)
        self._hash.update(line)

    def close(self) -> _Written:
        self._file.flush()
        os.fsync(self._file.fileno())
        size = self._file.tell()
        self._file.close()
        return _Written(self.name, self._part, f"sha256:{self._hash.hexdigest()}", size)


def _hashed(path: Path, name: str) -> _Written:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return _Written(name, path, f"sha256:{digest}", path.stat().st_size)


def _write(request: CollectRequest, chosen: list[Entry], sources: dict[str, Path], parts: Path) -> list[_Written]:
    name, ids = request.dataset, instance_ids(chosen)
    with ExitStack() as stack:
        files = {key: stack.enter_context(path.open("rb")) for key, path in sources.items() if path.exists()}
        full = _Output(parts, f"{name}.jsonl")
        views = {view: _Output(parts, f"{name}.{view}.jsonl") for view in request.views}
        table = parts / f"{name}.parquet" if "parquet" in request.formats else None
        writer = stack.enter_context(ParquetFile(table)) if table else None
        for item in chosen:
            file = files[item.source]
            file.seek(item.offset)
            record = json.loads(file.readline())
            record["instance_id"] = ids[item.repo, item.head]
            line = _dump(record)
            full.write(line)
            for view, output in views.items():
                output.write(_dump(VIEWS[view](record)))
            if writer:
                writer.add(record, len(line))
    written = [full.close(), *(output.close() for output in views.values())]
    return written + ([_hashed(table, table.name)] if table else [])


def _bring_back(request: CollectRequest, held: Path, store: Store) -> None:
    """Have the records of the last collection where this one merges them, on a volume that began empty."""
    stored = next((file for file in request.files or () if file.name == held.name), None)
    if stored is None or held.exists():
        return
    try:
        store.take_file(stored.digest, held)
    except StoreError as error:
        words = f"{held.name}: {error}; a Dataset of another name starts anew"
        raise StageError(Reason.STORE_UNAVAILABLE, words) from error


def shelf(folder: str) -> str:
    """Where people find a Dataset's files, beside the artifacts: by namespace and name."""
    return f"datasets/{folder}"


def _check(request: Request) -> CollectRequest:
    if not isinstance(request, CollectRequest):
        raise StageError(Reason.INTERNAL_ERROR, f"collect serves collections, not a {type(request).__name__}")
    for given, known, field in ((request.views, tuple(VIEWS), "views"), (request.formats, FORMATS, "formats")):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise StageError(Reason.INPUT_INVALID, f"{field}: {unknown[0]!r} is none of {', '.join(known)}")
    if not request.dataset or "/" in request.dataset or request.dataset.startswith("."):
        raise StageError(Reason.INPUT_INVALID, f"dataset: {request.dataset!r} cannot name a file")
    return request


def run(request: Request, input: Path, output: Path, store: Store) -> None:  # noqa: A002 - every stage is called alike
    """Write the Dataset's files into its folder, and `collected.json` for `report` into `output`.

    Raises:
        StageError: InputInvalid, where the request or a file that the folder holds cannot be read; StoreUnavailable, where the
            records of the last collection are not there: they are never left out.
    """
    collection = _check(request)
    failed = read_outcome(input)
    if failed is not None and failed.reason is not None:
        return
    folder = dataset_folder(input.parent)
    folder.mkdir(parents=True, exist_ok=True)
    held = folder / f"{collection.dataset}.jsonl"
    _bring_back(collection, held, store)
    prefix = f".collect.{collection.dataset}."
    for left in folder.glob(f"{prefix}*"):
        shutil.rmtree(left)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=folder) as name:
        parts = Path(name)
        spooled = parts / ".spool"
        with spooled.open("wb") as file, (input / COMMITS).open("rb") as commits:
            spool = _Spool(file)
            funnel = _gather(commits, spool, store).body()
        for item in funnel["failures"]:
            sys.stderr.write(
                f"{item['commit']}: no record: {item['reason']}: {item['message'].rpartition(chr(10))[2]}\n"
            )
        chosen = latest([*spool.entries, *_held(held)])
        written = _write(collection, chosen, {NEW: spooled, HELD: held}, parts)
        kept = sum(item.source == HELD for item in chosen)
        repositories = len({item.repo for item in chosen})
        text = card(
            collection.dataset,
            funnel,
            records=len(chosen),
            kept=kept,
            repositories=repositories,
            files=[item.name for item in written],
        )
        readme = parts / f"{collection.dataset}.md"
        readme.write_text(text, encoding="utf-8")
        written.append(_hashed(readme, readme.name))
        for item in written:
            item.part.replace(folder / item.name)
    if collection.files is not None:
        for item in written:
            store.put_file(folder / item.name)
    if collection.folder is not None:
        for item in written:
            store.show(folder / item.name, f"{shelf(collection.folder)}/{item.name}")
    summary = {
        "v": 1,
        "dataset": written[0].digest,
        "records": len(chosen),
        "kept": kept,
        "commits": funnel["commits"],
        "files": {item.name: {"digest": item.digest, "bytes": item.size} for item in written},
        "funnel": funnel,
    }
    write_atomic(output / SUMMARY, json.dumps(summary, ensure_ascii=False).encode("utf-8", "replace"))
