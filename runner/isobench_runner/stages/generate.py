"""generate: a test for the commit, from a folder of pre-generated ones, from what was accepted before, or from a model.

All code here is trusted and runs nothing that it was answered. The process holds model keys: it is not dumpable while it does. Every
attempt is on disk before the next is asked for.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isobench_runner.contract import GenerateRequest, Model, Reason, Request, StageError
from isobench_runner.dumpable import not_dumpable
from isobench_runner.llm.asking import Asker
from isobench_runner.llm.findings import Origin, fatal
from isobench_runner.llm.material import Material, from_inputs
from isobench_runner.llm.script_contract import inspect_script
from isobench_runner.llm.seeds import find_seed
from isobench_runner.llm.writing import Attempt, Fallen, Limits, failed, usage_of, write_test
from isobench_runner.outcome import read_outcome, write_outcome
from isobench_runner.prompts_folder import Prompt, read_prompt, release_prompt
from isobench_runner.store import Store, StoreError, dump_json, write_atomic


def accepted_name(request: GenerateRequest, *, base: str, prompt_digest: str, model: str, fallen: str | None) -> str:
    """The name under which the store keeps an accepted script, so that a rerun pays nothing.

    Args:
        model: `provider:model` of whoever wrote it.
        fallen: for a correction, the digest of the test that it corrects and why.
    """
    parts = ["accepted", request.repository, request.head, base, prompt_digest, model]
    return "/".join([*parts, fallen] if fallen else parts)


def fallen_key(request: GenerateRequest) -> str | None:
    """What tells one correction from another."""
    return f"{request.fallen.test}:{request.fallen.reason}" if request.fallen else None


def model_key(model: Model) -> str:
    """A model in the name of what it wrote: the same model behind another endpoint is another one."""
    return f"{model.provider}:{model.model}" + (f"@{model.base_url}" if model.base_url else "")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StageError(Reason.INPUT_INVALID, f"{path.name} cannot be read: {error}") from error


def _fallen(folder: Path) -> Fallen | None:
    path = folder / "fallen.json"
    if not path.exists():
        return None
    body = _read(path)
    try:
        return Fallen(test=body["test"], reason=Reason(body["reason"]), evidence=body["evidence"])
    except (KeyError, ValueError, TypeError) as error:
        raise StageError(Reason.INPUT_INVALID, f"fallen.json has no valid {error}") from error


class _Record:
    """attempts.json, rewritten after every attempt, and test.py."""

    def __init__(self, output: Path, request: GenerateRequest, prompt: Prompt, base: str) -> None:
        self._output = output
        self.body: dict[str, Any] = {
            "v": 1,
            "repository": request.repository,
            "head": request.head,
            "base": base,
            "prompt": {"id": prompt.id, "version": prompt.version, "digest": prompt.digest},
            "source": "asked",
            "origin": "generated",
            "model": None,
            "accepted_name": None,
            "regenerate": 0,
            "repair": 0,
            "left_out": [],
            "findings": [],
            "failure": None,
            "attempts": [],
        }
        self.write()

    def write(self, **fields: Any) -> None:
        self.body |= fields
        write_atomic(self._output / "attempts.json", dump_json(self.body))

    def keep(self, attempt: Attempt) -> None:
        self.body["attempts"].append(attempt.to_json())
        counts = {kind: sum(row["kind"] == kind for row in self.body["attempts"]) for kind in ("regenerate", "repair")}
        self.write(**counts)
        row = self.body["attempts"][-1]
        words = f": {row['words']}" if row["words"] else ""
        print(
            f"generate: answer {len(self.body['attempts'])} ({row['kind']}, {row['model']}): {row['verdict']}{words}",
            flush=True,
        )

    def accept(self, script: str, **fields: Any) -> None:
        write_atomic(self._output / "test.py", script.encode())
        self.write(**fields)


def _inspected(source: str, material: Material, *, where: str, origin: Origin) -> list[dict[str, Any]]:
    found = inspect_script(
        source, patch=material.patch, package=material.package, origin=origin, functions=material.functions
    )
    worst = fatal(found)
    if worst is not None:
        raise StageError(Reason.INPUT_INVALID, f"{where}: {worst.words}")
    return [{"reason": f.reason.value, "fatal": f.fatal, "words": f.words, "line": f.line} for f in found]


def _use_seed(input: Path, material: Material, record: _Record) -> bool:  # noqa: A002 - the stage's own word
    seed = find_seed(input / "seeds", material.head)
    if seed is None:
        return False
    try:
        source = seed.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise StageError(Reason.INPUT_INVALID, f"the pre-generated {seed.name} cannot be read: {error}") from error
    findings = _inspected(source, material, where=f"the pre-generated {seed.name}", origin="given")
    record.accept(source, source=f"seed {seed.name}", origin="given", findings=findings)
    return True


def _use_accepted(request: GenerateRequest, record: _Record, store: Store) -> bool:
    for model in request.models:
        name = accepted_name(
            request,
            base=record.body["base"],
            prompt_digest=record.body["prompt"]["digest"],
            model=model_key(model),
            fallen=fallen_key(request),
        )
        digest = store.use(name)
        try:
            source = None if digest is None else store.get(digest).decode()
        except (StoreError, ValueError):
            continue
        if source is not None:
            record.accept(source, source="reused", model=model.model, accepted_name=name)
            return True
    return False


def _ask(request: GenerateRequest, prompt: Prompt, material: Material, record: _Record, fallen: Fallen | None) -> None:
    limits = Limits(regenerate=request.regenerate, repair=request.repair)
    with not_dumpable():
        ask = Asker(request.models)
        written = write_test(ask, prompt, material, limits=limits, fallen=fallen, keep=record.keep)
    record.write(left_out=list(written.left_out))
    if written.source is None or written.model is None:
        raise failed(written)
    name = accepted_name(
        request,
        base=record.body["base"],
        prompt_digest=prompt.digest,
        model=model_key(written.model),
        fallen=fallen_key(request),
    )
    record.accept(written.source, model=written.model.model, accepted_name=name)


def run(request: Request, input: Path, output: Path, store: Store) -> None:  # noqa: A002 - the stage's own word
    """Write test.py, attempts.json and outcome.json.

    Does nothing where `fetch` failed: its outcome is the Job's.

    Raises:
        StageError: no test; attempts.json then has what was paid for, and `failure`.
    """
    if not isinstance(request, GenerateRequest):
        raise StageError(Reason.INTERNAL_ERROR, f"generate was started with a {type(request).__name__}")
    before = read_outcome(input)
    if before is not None and before.reason is not None:
        return
    packages = _read(input / "packages.json") if (input / "packages.json").exists() else None
    material = from_inputs(_read(input / "inputs.json"), package=request.package, packages=packages)
    mounted = input / "prompt.md"
    prompt = read_prompt(mounted) if mounted.exists() else release_prompt("generate")
    record = _Record(output, request, prompt, material.base or "")
    fallen = _fallen(input)
    try:
        done = fallen is None and _use_seed(input, material, record)
        done = done or (request.reuse and _use_accepted(request, record, store))
        if not done:
            _ask(request, prompt, material, record, fallen)
    except StageError as error:
        record.write(failure={"reason": error.reason.value, "words": str(error)})
        raise
    detail = {name: record.body[name] for name in ("source", "origin", "model", "regenerate", "repair")}
    write_outcome(output, "generate", None, detail={**detail, "usage": usage_of(record.body["attempts"])})
