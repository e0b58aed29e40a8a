"""What a run keeps on disk, so that the next one continues: custom resources, Jobs with their pods, events, and the lock on the folder.

A file is either wholly there or not at all, and one that does not parse is not believed. No process may enter, and no Secret ever.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from isobench_operator.cluster.ports import ClusterError, Event, Key, Rejected
from isobench_operator.core.naming import file_stem

from .folders import remove_tree

Json = dict[str, Any]
STATE_VERSION = 1
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_REMEDIES = {
    errno.ENOSPC: "free some space and run again: what is finished is kept",
    errno.EDQUOT: "free some of your quota and run again: what is finished is kept",
    errno.EACCES: "make it writable or choose another folder",
    errno.EPERM: "make it writable or choose another folder",
    errno.ENOENT: "choose a folder that can be made",
    errno.EROFS: "choose a folder that is not on a read-only file system",
    errno.ENOTDIR: "a file stands where a folder is wanted; choose another folder",
    errno.EEXIST: "a file stands where a folder is wanted; choose another folder",
}


def trouble(path: Path, error: OSError) -> str:
    """An error of the file system in words: the place, the kernel's word, the remedy."""
    word = error.strerror or str(error)
    remedy = _REMEDIES.get(error.errno or 0, "see to it and run again")
    return f"{error.filename or path} cannot be written: {word}; {remedy}"


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn the file system's errors into a ClusterError that names the place and the remedy."""
    try:
        yield
    except OSError as error:
        raise ClusterError(trouble(path, error)) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file that is wholly there or not at all, whenever the machine stops. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise


@dataclass
class JobRecord:
    """A Job and its pods, in the API server's JSON.

    Attributes:
        attempts: pod folders that were begun and counted; the next one is `attempt-<attempts + 1>`.
        folder: where the Job's pods lie.
    """

    job: Json
    folder: Path
    pods: list[Json] = field(default_factory=list)
    attempts: int = 0

    @property
    def name(self) -> str:
        """The Job's name."""
        return str(self.job["metadata"]["name"])

    @property
    def failed(self) -> int:
        """Pods that count against the backoff limit."""
        return int((self.job.get("status") or {}).get("failed", 0))

    def save(self) -> None:
        """Write job.json. Raises OSError."""
        body = {"v": STATE_VERSION, "attempts": self.attempts, "job": self.job, "pods": self.pods}
        write_atomic(self.folder / "job.json", json.dumps(body, indent=1).encode())


def _parsed(path: Path) -> JobRecord | None:
    try:
        body = json.loads(path.read_bytes())
        if body["v"] != STATE_VERSION:
            raise ClusterError(f"{path} was written by another release; choose a new folder")
        job, pods = body["job"], body["pods"]
        if job["metadata"]["name"] != path.parent.name or not all(pod["status"]["phase"] for pod in pods):
            return None
        return JobRecord(job, path.parent, list(pods), int(body["attempts"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class Folder:
    """The output folder of one run, held by one process at a time."""

    def __init__(self, directory: Path) -> None:
        self.path = directory
        self.jobs = directory / "jobs"
        self.status = directory / "status"
        self.artifacts = directory / "artifacts"
        self._lock: int | None = None

    def open(self) -> None:
        """Make the folder and lock it.

        Raises:
            ClusterError: it cannot be written, or another process holds it (named by its pid).
        """
        with writing(self.path):
            for folder in (self.path, self.jobs, self.status, self.artifacts):
                folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            os.close(handle)
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise ClusterError(
                    f"{self.path} cannot be locked: {error.strerror}; choose a folder on a local disk"
                ) from error
            message = f"{self.path} is in use by process {holder}; wait until it ends, or choose another folder"
            raise ClusterError(message) from error
        self._lock = handle
        with writing(self.path):
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)

    def close(self) -> None:
        """Let go of the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def resource_path(self, key: Key) -> Path:
        """Where a custom resource lies.

        Raises:
            Rejected: its name cannot be a file's.
        """
        if not _NAME.fullmatch(key.name) or len(key.name) > 253:
            raise Rejected(
                f"{key.kind} name {key.name!r} is no DNS-1123 subdomain: lower case letters, digits, '-' and '.'"
            )
        return self.status / f"{key.kind.lower()}-{file_stem(key.name)}.yaml"

    def write_resource(self, key: Key, body: Mapping[str, Any]) -> None:
        """Write a custom resource with its status. Raises ClusterError."""
        path = self.resource_path(key)
        with writing(path):
            text = yaml.dump(dict(body), Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)
            write_atomic(path, text.encode())

    def resources(self) -> Iterator[Json]:
        """Every custom resource that was kept.

        Raises:
            ClusterError: a file is not one; it is named.
        """
        for path in sorted(self.status.glob("*.yaml")):
            try:
                body = yaml.load(path.read_text(), Loader=_LOADER)  # noqa: S506 - both loaders are safe ones
                Key(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])
                body["metadata"]["uid"]
            except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
                raise ClusterError(
                    f"{path} is no custom resource ({type(error).__name__}); remove it and run again"
                ) from error
            yield body

    def records(self) -> Iterator[JobRecord]:
        """Every Job that was kept whole; what is left of one that was not is removed, so that it is made anew."""
        for folder in sorted(self.jobs.iterdir()):
            if folder.is_symlink() or not folder.is_dir():
                continue
            record = _parsed(folder / "job.json")
            if record is None:
                remove_tree(folder)
            else:
                yield record

    def config_maps(self) -> Iterator[Json]:
        """ConfigMaps that were created, not given."""
        for path in sorted((self.path / "configmaps").glob("*.json")):
            with contextlib.suppress(OSError, ValueError):
                yield json.loads(path.read_bytes())

    def config_map_path(self, name: str) -> Path:
        """Where a created ConfigMap lies. Raises Rejected."""
        if not _NAME.fullmatch(name) or len(name) > 253:
            raise Rejected(f"ConfigMap name {name!r} is no DNS-1123 subdomain")
        return self.path / "configmaps" / f"{file_stem(name)}.json"

    def append_event(self, key: Key, event: Event, at: str) -> None:
        """Add a line to events.jsonl. Raises ClusterError."""
        line = {"at": at, "kind": key.kind, "namespace": key.namespace, "name": key.name}
        line |= {"type": event.type, "reason": event.reason, "message": event.message}
        path = self.path / "events.jsonl"
        with writing(path):
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.write(handle, json.dumps(line, ensure_ascii=False).encode() + b"\n")
            finally:
                os.close(handle)
