"""What a generate Job gave: the test and every attempt into the store, the accepted script under its name, tokens and price into status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isobench_runner.contract import GenerateRequest, Reason, Report, StageError
from isobench_runner.llm.writing import usage_of
from isobench_runner.outcome import read_outcome
from isobench_runner.store import Store


def _attempts(folder: Path) -> dict[str, Any] | None:
    path = folder / "attempts.json"
    try:
        body: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise StageError(Reason.RESULT_INVALID, f"attempts.json cannot be read: {error}") from error
    return body


def _kept(attempts: dict[str, Any] | None, store: Store) -> dict[str, Any]:
    """What status has of the attempts, whatever came of them: what was paid is paid."""
    if attempts is None:
        return {}
    return {
        "generation": store.put_json(attempts),
        "model": attempts["model"],
        "origin": attempts["origin"],
        "regenerate": str(attempts["regenerate"]),
        "repair": str(attempts["repair"]),
        "usage": usage_of(attempts["attempts"]),
    }


def conclude(request: GenerateRequest, root: Path, store: Store) -> Report:
    """The report of a generate Job, from `root/out`.

    Raises:
        StageError: the stage left nothing that can be read.
    """
    out = root / "out"
    outcome = read_outcome(out)
    if outcome is None:
        raise StageError(Reason.CONTAINER_FAILED, "generate ended without outcome.json")
    attempts = _attempts(out)
    data = _kept(attempts, store)
    if outcome.reason is not None:
        return Report(reason=outcome.reason, data=data, tail=outcome.tail)
    if attempts is None:
        raise StageError(Reason.RESULT_INVALID, "generate left no attempts.json")
    digest = store.put((out / "test.py").read_bytes())
    name = attempts["accepted_name"]
    if name is not None:
        if not request.reuse:
            store.unlink(name)
        store.link(name, digest)
    return Report(data={"test": digest, **data})
