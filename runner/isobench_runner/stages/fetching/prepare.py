"""fetch for a prepare Job: the revision's tree, how to build it, and on head's the inputs of everything that follows.

The environment's key is known here, before anything is built; where an environment stands under it already, no tree is packed and the
build only proves it again.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobench_runner import interpreters
from isobench_runner.contract import Environment, PrepareRequest, environment_key
from isobench_runner.git import Access, Mirror, Mirrors, archive_tree, check_out, read_commit, resolve_base
from isobench_runner.git.checkout import python_blobs
from isobench_runner.git.diff import shown
from isobench_runner.store import Store, StoreError, write_atomic

from .binds import Known, embedded, prefixes, read_known, write_binds, write_known
from .index import seed_wheel, user_index
from .inputs import assemble, given_extraction
from .mounted import read_mounted, read_script, write_json

TREE = "tree.tar"
ARCHIVE = "environment.tar"
"""What a build leaves of an environment that does not stay where it is, and what it is given of one that was built before."""


@dataclass(frozen=True)
class Python:
    """The interpreter as the key and the build need it.

    Attributes:
        identity: what goes into the key.
        interpreter: None inside an image, where the build finds it.
        inherited: `name==version` of what its site packages hold, where they are inherited.
    """

    identity: str
    interpreter: interpreters.Interpreter | None = None
    inherited: tuple[str, ...] = ()


def resolve_python(environment: Environment) -> Python:
    """Find the interpreter that this machine would build with.

    Raises:
        StageError: InterpreterNotFound.
    """
    if not embedded():
        return Python(environment.python or "image")
    inherit = environment.inherit == "interpreter"
    found = interpreters.find(environment.python, inherit=inherit)
    return Python(found.identity, found, interpreters.distributions(found) if inherit else ())


def resolve_as_of(packages_as_of: str, head_date: str, today: dt.date) -> str:
    """The date that goes into the key: head's committer date, today's, or the one that the spec names."""
    return {"head": head_date, "today": today.isoformat()}.get(packages_as_of, packages_as_of)


def resolve_sha(request: PrepareRequest, mirror: Mirror) -> str:
    """The commit of the request's revision.

    Raises:
        StageError: CommitNotFound, NoParent, RepositoryUnreachable, AuthenticationFailed.
    """
    if request.role == "main":
        return mirror.main(request.main)
    head = mirror.commit(request.head, field="spec.head")
    return head if request.role == "head" else resolve_base(mirror, head, request.base)


def _tree(mirror: Mirror, mirrors: Mirrors, sha: str, archive: Path) -> tuple[dict[str, str], list[str]]:
    folder = Path(tempfile.mkdtemp(prefix="tree-"))
    try:
        checkout = check_out(mirror, mirrors, sha, folder / "tree")
        archive_tree(checkout.folder, archive)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {shown(path): blob for path, blob in checkout.blobs.items()}, checkout.notes


def _inputs(request: PrepareRequest, mirror: Mirror, head: str) -> dict[str, Any]:
    script = None
    if request.script is not None:
        script = read_script(read_mounted(request.script, "spec.test.script"), Path(request.script).name)
    return assemble(
        mirror,
        repository=request.repository,
        head=head,
        base=resolve_base(mirror, head, request.base),
        given=given_extraction(request.extraction, head),
        script=script,
    )


def environment_name(key: str) -> str:
    """The name under which the store has an environment's manifest; the first build that takes it wins."""
    return f"environment/{key}"


def _stored(store: Store, key: str, archive: Path) -> bool:
    """Bring the environment of a key out of the store; returns whether there was one."""
    manifest = store.use(environment_name(key))
    if manifest is None:
        return False
    try:
        store.take_file(store.get_json(manifest)["archive"], archive)
    except (StoreError, ValueError, KeyError, TypeError) as error:
        print(f"fetch: the stored environment {key} cannot be used and is built anew: {error}", flush=True)
        store.unlink(environment_name(key))
        return False
    return True


def _hit(envs: Path, key: str) -> bool:
    try:
        ready = json.loads((envs / f"{key}.ready.json").read_text())
    except (OSError, ValueError):
        return False
    return isinstance(ready, dict) and ready.get("key") == key and (envs / key).is_dir()


def _pip_cache(repository: str) -> Path:
    """The repository's own folder of pip's files: what one repository's build wrote is never installed into another's."""
    folder = Path(os.environ["ISOBENCH_PIP"]) / hashlib.sha256(repository.encode()).hexdigest()[:16]
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    return folder


def run(request: PrepareRequest, output: Path, store: Store) -> None:
    """Write what build reads into `output`.

    Raises:
        StageError: as its parts.
    """
    envs = Path(os.environ["ISOBENCH_ENVS"])
    mirrors = Mirrors(Path(os.environ["ISOBENCH_MIRRORS"]))
    environment = request.environment
    python = resolve_python(environment)
    with Access(request.repository_url, Path(request.credentials) if request.credentials else None) as access:
        mirror = mirrors.of(request.repository_url, access)
        sha = resolve_sha(request, mirror)
        dated = sha if request.role == "main" else mirror.commit(request.head, field="spec.head")
        head_date = read_commit(mirror, dated).commit_date
        inputs = _inputs(request, mirror, sha) if request.role == "head" else None
        as_of = resolve_as_of(environment.packages_as_of, head_date, dt.datetime.now(dt.UTC).date())
        key = environment_key(
            request.repository, sha, environment, python=python.identity, as_of=as_of, inherited=python.inherited
        )
        if embedded():
            known = read_known(envs, key)
            hit = known is not None and _hit(envs, key)
        else:
            known, hit = None, _stored(store, key, output / ARCHIVE)
            if hit:
                known = Known((), python_blobs(mirror, sha))
        if known is None or not hit:
            blobs, notes = _tree(mirror, mirrors, sha, output / TREE)
            known = Known(prefixes(python.interpreter), blobs or python_blobs(mirror, sha), tuple(notes))
    index = user_index()
    plan: dict[str, Any] = {
        "v": 1,
        "kind": "build",
        "revision": request.role,
        "sha": sha,
        "head_date": head_date,
        "tree_archive": TREE,
        "env_dir": str(envs / key),
        "key": key,
        "interpreter": python.interpreter.executable if python.interpreter else None,
        "python": environment.python,
        "inherit": environment.inherit,
        "setup": list(environment.setup),
        "install": list(environment.install),
        "test_requirements": list(environment.test_requirements),
        "path": list(environment.path),
        "package": environment.package,
        "packages_as_of": environment.packages_as_of,
        "index_url": index.url,
        "ca_bundle": index.ca_bundle,
        "timeout_seconds": environment.timeout_seconds,
        "seed_wheels": [],
        "blobs": known.blobs,
        "hit": hit,
        "pack": not embedded(),
    }
    if not hit:
        wheel = seed_wheel(mirrors.root, index)
        write_atomic(output / wheel.name, wheel.read_bytes())
        plan["seed_wheels"] = [wheel.name]
    if inputs is not None:
        inputs["notes"] = list(dict.fromkeys([*inputs["notes"], *known.notes]))
        write_json(output / "inputs.json", inputs)
    if embedded():
        place = envs / key
        place.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_known(envs, key, known)
        cache = _pip_cache(request.repository)
        plan["pip_cache"] = str(cache)
        writable = [] if hit else [str(place), str(cache)]
        write_binds(output, read_only=[*known.prefixes, *([str(place)] if hit else [])], writable=writable)
    write_json(output / "plan.json", plan)
