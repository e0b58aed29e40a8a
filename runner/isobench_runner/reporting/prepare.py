"""What a prepare Job left: the environment's manifest checked field by field, the folder's digest computed here, both kept in the store.

Nothing of the environment is imported or run, and no link in it is followed. The build's own word is taken for what only it could
see (versions, where the package lies) and for nothing that can be read off the files.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import stat
import tempfile
from pathlib import Path
from typing import Any

from isobench_runner.contract import PrepareRequest, Reason, Report, StageError
from isobench_runner.outcome import Outcome, read_outcome, read_untrusted
from isobench_runner.stages.fetching.prepare import ARCHIVE, environment_name
from isobench_runner.store import Store, StoreError, dump_json

MAX_MANIFEST_BYTES = 4 << 20
MAX_LOG_BYTES = 32 << 20
MAX_ARCHIVE_BYTES = 60 << 30
MAX_DISTRIBUTIONS = 5000
MAX_TEXT = 4096
_AS_OF = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?")


def tree_digest(folder: Path) -> str:
    """A digest of a folder: every entry's relative path, type, mode, and content or target; times and owners are left out.

    The build's own manifest, environment.json at the top, is left out too: it is checked by itself.

    Raises:
        StageError: ResultInvalid, where a part of the folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise StageError(Reason.RESULT_INVALID, f"the environment cannot be read: {error}")

    digest = hashlib.sha256()
    root = os.fsencode(folder)
    for base, folders, names in os.walk(root, onerror=refuse, followlinks=False):
        folders.sort()
        for name in sorted([*folders, *names]):
            path = os.path.join(base, name)  # noqa: PTH118 - names are bytes: they need not be text
            inside = os.path.relpath(path, root)
            if inside == b"environment.json":
                continue
            info = os.lstat(path)
            digest.update(b"%d %s\0%o\0" % (len(inside), inside, info.st_mode))
            if stat.S_ISLNK(info.st_mode):
                target = os.readlink(path)  # noqa: PTH115
                digest.update(b"%d %s\0" % (len(target), target))
            elif stat.S_ISREG(info.st_mode):
                digest.update(b"%d %s\0" % (info.st_size, _content_digest(path)))
    return f"sha256:{digest.hexdigest()}"


def _content_digest(path: bytes) -> bytes:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest().encode()


def _wrong(field: str, value: object, wanted: str) -> StageError:
    return StageError(Reason.RESULT_INVALID, f"environment.json: {field} is {str(value)[:80]!r}, not {wanted}")


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > MAX_TEXT:
        raise _wrong(name, value, f"a text of 1 to {MAX_TEXT} characters")
    return value


def _count(body: dict[str, Any], name: str) -> int:
    value = body.get(name)
    if type(value) is not int or value < 0:
        raise _wrong(name, value, "a count")
    return value


def _texts(value: object, field: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) and len(item) <= MAX_TEXT for item in value):
        raise _wrong(field, value, "a list of texts")
    return value


def _object(value: object, field: str, keys: set[str]) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != keys:
        raise _wrong(field, value, f"an object of {', '.join(sorted(keys))}")
    return value


_MANIFEST = {
    "v", "key", "sha", "python", "platform", "as_of", "inherit", "distributions", "package", "path", "setup", "install",
}  # fmt: skip
_PACKAGE = {"name", "origin", "kind", "blobs_matching", "blobs", "extensions"}


def _package(value: object, env_dir: Path) -> dict[str, Any] | None:
    if value is None:
        return None
    body = _object(value, "package", _PACKAGE)
    origin, kind = _text(body, "origin"), _text(body, "kind")
    if kind not in {"tree", "installed"}:
        raise _wrong("package.kind", kind, "tree or installed")
    place = env_dir / ("tree" if kind == "tree" else "env")
    if not Path(origin).resolve().is_relative_to(place.resolve()):
        raise _wrong("package.origin", origin, f"a path below {place}")
    matching, blobs = _count(body, "blobs_matching"), _count(body, "blobs")
    if matching > blobs:
        raise _wrong("package.blobs_matching", matching, f"at most {blobs}")
    return {
        "name": _text(body, "name"),
        "origin": origin,
        "kind": kind,
        "blobs_matching": matching,
        "blobs": blobs,
        "extensions": _texts(body.get("extensions"), "package.extensions"),
    }


def read_manifest(plan: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Read and check the environment.json that the build left in a folder.

    Raises:
        StageError: ResultInvalid, naming the field, its value and what it should be.
    """
    env_dir = Path(plan["env_dir"])
    content = read_untrusted(folder / "environment.json", MAX_MANIFEST_BYTES)
    if content is None:
        raise StageError(
            Reason.RESULT_INVALID, "environment.json is missing, although the build says that it ended well"
        )
    try:
        raw = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StageError(Reason.RESULT_INVALID, f"environment.json is no JSON: {error}") from error
    body = _object(raw, "the document", _MANIFEST)
    for name in ("key", "sha", "inherit", "setup", "install"):
        if body[name] != plan[name]:
            raise _wrong(name, body[name], f"{plan[name]!r}, as planned")
    if body["v"] != 1 or not _AS_OF.fullmatch(_text(body, "as_of")):
        raise _wrong("as_of", body["as_of"], "a date or a time in UTC, of version 1")
    python = _object(body["python"], "python", {"version", "executable", "implementation"})
    distributions = body["distributions"]
    if not isinstance(distributions, list) or len(distributions) > MAX_DISTRIBUTIONS:
        raise _wrong("distributions", type(distributions).__name__, f"a list of at most {MAX_DISTRIBUTIONS}")
    return {
        "v": 1,
        "key": body["key"],
        "sha": body["sha"],
        "python": {name: _text(python, name) for name in sorted(python)},
        "platform": _text(body, "platform"),
        "as_of": body["as_of"],
        "inherit": body["inherit"],
        "distributions": [
            {name: _text(_object(item, "distributions", {"name", "version"}), name) for name in ("name", "version")}
            for item in distributions
        ],
        "package": _package(body["package"], env_dir),
        "path": _texts(body["path"], "path"),
        "setup": body["setup"],
        "install": body["install"],
    }


def _ready(env_dir: Path) -> Path:
    return env_dir.parent / f"{env_dir.name}.ready.json"


def claim(env_dir: Path, *, environment: str, distributions: str) -> str:
    """Say that an environment may be used, create-only; returns the digest that was said first."""
    path = _ready(env_dir)
    body = {"v": 1, "key": env_dir.name, "environment": environment, "distributions": distributions}
    with tempfile.NamedTemporaryFile("wb", dir=path.parent, prefix=".ready.", delete=False) as file:
        file.write(dump_json(body))
    try:
        os.link(file.name, path)
    except FileExistsError:
        with contextlib.suppress(ValueError, KeyError, TypeError):
            return str(json.loads(path.read_bytes())["environment"])
        return ""
    finally:
        os.unlink(file.name)  # noqa: PTH108 - a temporary name is a string
    return environment


def forget(env_dir: Path) -> None:
    """Have the next prepare build this environment anew."""
    _ready(env_dir).unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        (env_dir / "environment.json").unlink(missing_ok=True)


def _keep_log(out: Path, outcome: Outcome, store: Store) -> str | None:
    """Put the build's log into the store beside the reason; returns the digest of both, or None where there is no log."""
    try:
        log = read_untrusted(out / "build.log", MAX_LOG_BYTES)
    except StageError:
        log = None
    reason = outcome.reason.value if outcome.reason else None
    body = {"v": 1, "stage": "build", "reason": reason, "tail": outcome.tail, "log": store.put(log) if log else None}
    return store.put_json(body)


def _collected(root: Path, store: Store) -> dict[str, Any]:
    """What head's fetch collected for everything after it: trusted, written by trusted code."""
    path = root / "in" / "inputs.json"
    if not path.exists():
        return {}
    inputs = json.loads(path.read_bytes())
    found = {"inputs": store.put_json(inputs), "base": inputs["base"]}
    if inputs.get("script") is not None:
        found["test"] = store.put(inputs["script"].encode())
    return found


def _kept_here(plan: dict[str, Any], store: Store) -> tuple[str, dict[str, Any]]:
    """Digest and manifest of an environment that stays at its place on this machine.

    Raises:
        StageError: ResultInvalid, where its files are not those that were built; then it is forgotten.
    """
    env_dir = Path(plan["env_dir"])
    manifest = read_manifest(plan, env_dir) | {"tree_digest": tree_digest(env_dir)}
    environment, distributions = store.put_json(manifest), store.put_json(manifest["distributions"])
    if claim(env_dir, environment=environment, distributions=distributions) != environment:
        forget(env_dir)
        words = f"the files in {env_dir} are not those that were built; they are built anew on the next try"
        raise StageError(Reason.RESULT_INVALID, words)
    return environment, manifest


def _kept_in_store(plan: dict[str, Any], out: Path, store: Store) -> tuple[str, dict[str, Any]]:
    """Digest and manifest of an environment whose archive the store has, or takes now; of two builds the first one counts.

    Raises:
        StageError: ResultInvalid, where what was left cannot be kept, or an environment of the store is not what it was.
    """
    name = environment_name(plan["key"])
    manifest = read_manifest(plan, out)
    stored = store.use(name)
    if plan["hit"]:
        known = store.get_json(stored) if stored is not None else {}
        if stored is None or known.get("distributions") != manifest["distributions"]:
            store.unlink(name)
            raise StageError(
                Reason.RESULT_INVALID, "the stored environment is not what was built; it is built anew on the next try"
            )
        return stored, known
    if stored is None:
        try:
            archive = store.put_file(out / ARCHIVE, limit=MAX_ARCHIVE_BYTES)
        except StoreError as error:
            raise StageError(Reason.RESULT_INVALID, str(error)) from error
        stored = store.link(name, store.put_json(manifest | {"archive": archive}))
    return stored, store.get_json(stored)


def conclude(request: PrepareRequest, root: Path, store: Store) -> Report:
    """The report of a prepare Job.

    Raises:
        StageError: ContainerFailed without an outcome; ResultInvalid where the environment is not what its manifest says, or not
            what it was when it was built: then it is forgotten, and built anew by the next attempt.
    """
    plan = json.loads((root / "in" / "plan.json").read_bytes())
    embedded = os.environ.get("ISOBENCH_RUNTIME") == "embedded"
    outcome = read_outcome(root / "out")
    if outcome is None:
        raise StageError(Reason.CONTAINER_FAILED, f"building {request.role} left no outcome")
    data = {"sha": plan["sha"], "key": plan["key"], **_collected(root, store)}
    if outcome.reason is not None:
        if outcome.detail.get("damaged") is True:
            if embedded:
                forget(Path(plan["env_dir"]))
            else:
                store.unlink(environment_name(plan["key"]))
        return Report(
            reason=outcome.reason,
            data={**data, "evidence": _keep_log(root / "out", outcome, store)},
            tail=outcome.tail,
        )
    environment, manifest = _kept_here(plan, store) if embedded else _kept_in_store(plan, root / "out", store)
    distributions = store.put_json(manifest["distributions"])
    found = {
        "environment": environment,
        "distributions": distributions,
        "python": manifest["python"]["version"],
        "asOf": manifest["as_of"],
    }
    return Report(data=data | found)
