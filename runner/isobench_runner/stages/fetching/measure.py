"""fetch for a measuring Job: everything from the store by digest, so that base and head cannot meet two tests."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from isobench_runner.contract import MeasureRequest, Reason, Revision, StageError
from isobench_runner.store import Store, StoreError, write_atomic

from .binds import embedded, read_known, write_binds
from .mounted import from_store, json_from_store, write_json


def _revision(revision: Revision, envs: Path, store: Store, output: Path) -> dict[str, Any]:
    manifest = json_from_store(store, revision.environment, f"the environment of {revision.name}")
    if not isinstance(manifest, dict) or manifest.get("sha") != revision.sha or manifest.get("key") != revision.key:
        raise StageError(
            Reason.STORE_UNAVAILABLE,
            f"the environment of {revision.name} in the store is not of {revision.sha} under the key {revision.key}; retry prepares it anew",
        )
    folder = envs / revision.key
    if embedded() and not folder.is_dir():
        raise StageError(
            Reason.STORE_UNAVAILABLE,
            f"the environment of {revision.name}, {folder}, is gone; a retry with prepare builds it again",
        )
    archive = output / f"{revision.key}.tar"
    if not embedded() and not archive.exists():
        print(f"fetch: the environment of {revision.name}", flush=True)
        try:
            store.take_file(str(manifest.get("archive")), archive)
        except StoreError as error:
            words = f"the environment of {revision.name}: {error}; a retry with prepare builds it again"
            raise StageError(Reason.STORE_UNAVAILABLE, words) from error
    return {
        "name": revision.name,
        "sha": revision.sha,
        "key": revision.key,
        "env_dir": str(folder),
        "python": str(folder / "env" / "bin" / "python"),
        "tree": str(folder / "tree"),
    }


def run(request: MeasureRequest, output: Path, store: Store) -> None:
    """Write what measure reads into `output`.

    Raises:
        StageError: StoreUnavailable.
    """
    envs = Path(os.environ["ISOBENCH_ENVS"])
    inputs = json_from_store(store, request.inputs, "what head's prepare collected")
    revisions = [_revision(revision, envs, store, output) for revision in request.revisions]
    write_atomic(output / "test.py", from_store(store, request.test, "the test"))
    plan = {
        "v": 1,
        "kind": "measure",
        "role": request.role,
        "revisions": revisions,
        "origin": request.origin,
        "package": request.package,
        "path": list(request.path),
        "changed": inputs["changed"],
        "budget_seconds": request.budget_seconds,
        "minimum_effect_percent": request.minimum_effect_percent,
        "precision_percent": request.precision_percent,
        "floor_percent": request.floor_percent,
        "timeout_seconds": request.timeout_seconds,
        "ask_better": request.ask_better,
        "seed": request.seed,
        "interpreter": getattr(sys, "_base_executable", sys.executable) if embedded() else None,
    }
    if embedded():
        known = [read_known(envs, revision.key) for revision in request.revisions]
        shown = [folder for item in known if item is not None for folder in item.prefixes]
        write_binds(output, read_only=[*shown, *(str(item["env_dir"]) for item in revisions)])
    write_json(output / "plan.json", plan)
