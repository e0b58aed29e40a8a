"""fetch for a generate Job: head and base, never main; and for a correction the test that fell, with evidence from base alone."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from isobench_runner.contract import GenerateRequest, Reason, Repair, StageError
from isobench_runner.git import Access, Mirrors, resolve_base
from isobench_runner.store import Store, write_atomic

from .inputs import assemble, given_extraction
from .mounted import from_store, json_from_store, read_mounted, write_json


def _seeds(folder: Path, target: Path) -> None:
    """Copy the pre-generated scripts; a mounted ConfigMap is a folder of links."""
    if not folder.is_dir():
        raise StageError(
            Reason.MISSING_INPUT,
            f"spec.test.generate.seeds: {folder.name} is not there; create the ConfigMap, or the folder",
        )
    target.mkdir(exist_ok=True)
    for path in sorted(folder.glob("*.py")):
        if path.is_file():
            write_atomic(target / path.name, path.read_bytes())


def evidence_text(content: bytes) -> str:
    """The evidence of a fall as text: of a stored JSON body its tail and what the checks said, else the bytes themselves."""
    text = content.decode("utf-8", "replace")
    try:
        body = json.loads(text)
    except ValueError:
        return text
    if isinstance(body, str):
        return body
    if not isinstance(body, dict):
        return text
    checks = body.get("checks")
    said = [
        f"{name}: {check.get('words')}"
        for name, check in (checks.items() if isinstance(checks, dict) else ())
        if isinstance(check, dict) and check.get("ok") is False and check.get("words")
    ]
    return "\n".join([str(body.get("tail") or ""), *said]).strip()


def _fallen(store: Store, repair: Repair) -> dict[str, Any]:
    return {
        "test": from_store(store, repair.test, "the test that fell").decode("utf-8", "replace"),
        "reason": repair.reason,
        "evidence": evidence_text(from_store(store, repair.evidence, "what it fell by")),
    }


def _packages(store: Store, digest: str) -> list[dict[str, str]]:
    body = json_from_store(store, digest, "the list of what is installed")
    items = body.get("distributions", []) if isinstance(body, dict) else body
    return [{"name": str(item["name"]), "version": str(item["version"])} for item in items]


def run(request: GenerateRequest, output: Path, store: Store) -> None:
    """Write what generate reads into `output`.

    Raises:
        StageError: as its parts.
    """
    mirrors = Mirrors(Path(os.environ["ISOBENCH_MIRRORS"]))
    with Access(request.repository_url, Path(request.credentials) if request.credentials else None) as access:
        mirror = mirrors.of(request.repository_url, access)
        head = mirror.commit(request.head, field="spec.head")
        inputs = assemble(
            mirror,
            repository=request.repository,
            head=head,
            base=resolve_base(mirror, head, request.base),
            given=given_extraction(request.extraction, head),
            script=None,
        )
    write_json(output / "inputs.json", inputs)
    if request.prompt is not None:
        write_atomic(output / "prompt.md", read_mounted(request.prompt, "spec.test.generate.prompt"))
    if request.seeds is not None:
        _seeds(Path(request.seeds), output / "seeds")
    if request.fallen is not None:
        write_json(output / "fallen.json", _fallen(store, request.fallen))
    if request.packages is not None:
        write_json(output / "packages.json", _packages(store, request.packages))
