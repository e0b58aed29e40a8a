"""A folder of extractions in, a folder of test scripts out: what `isobench generate` does, without a cluster or a repository.

One item's failure is that item's alone. What is there already is not asked for again. Scripts are checked by reading them, never run.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from isobench_runner.contract import Reason, StageError
from isobench_runner.prompts_folder import Prompt
from isobench_runner.records.extraction import is_extraction_name, parse_json
from isobench_runner.store import dump_json, write_atomic

from .answers import Ask
from .findings import fatal
from .material import Material, from_extraction
from .prices import total
from .script_contract import inspect_script
from .seeds import find_seed, script_name
from .writing import Attempt, Limits, failed, write_test

INDEX_FIELDS = ("commit_hash", "script_path", "category", "message")
Status = Literal["written", "seed", "there", "failed"]


@dataclass(frozen=True, kw_only=True)
class BatchItem:
    """What became of one extraction.

    Attributes:
        status: written (asked for), seed (a pre-generated script was taken), there (an earlier run's), failed.
        script_path: relative to the output folder; None where it failed.
        reason, words: why it failed.
        usd: None where the price is not known.
    """

    extraction: str
    status: Status
    commit_hash: str | None = None
    script_path: str | None = None
    category: str | None = None
    message: str | None = None
    reason: str | None = None
    words: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: str | None = "0"


@dataclass(frozen=True, kw_only=True)
class BatchReport:
    """All items, in the order of their files."""

    items: tuple[BatchItem, ...]

    @property
    def failures(self) -> tuple[BatchItem, ...]:
        return tuple(item for item in self.items if item.status == "failed")

    @property
    def usd(self) -> str | None:
        """The sum, None as soon as one price is not known."""
        return total(None if item.usd is None else Decimal(item.usd) for item in self.items)


def extraction_files(source: Path) -> list[Path]:
    """The extraction files of a folder, by name, or the one file.

    Raises:
        StageError: MissingInput, where there is none.
    """
    if source.is_file():
        return [source]
    found = sorted(path for path in source.rglob("*.json") if is_extraction_name(path.name)) if source.is_dir() else []
    if not found:
        raise StageError(
            Reason.MISSING_INPUT, f"{source}: no extraction (*.json) there; name a folder of them, or one file"
        )
    return found


def _read(path: Path) -> Material:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StageError(Reason.INPUT_INVALID, f"{path.name} cannot be read: {error.strerror}") from error
    return from_extraction(parse_json(content, path.name), path.name)


@dataclass(frozen=True, kw_only=True)
class _Batch:
    out: Path
    ask: Ask
    prompt: Prompt
    limits: Limits
    seeds: Path | None
    regenerate: bool
    package: str | None

    def one(self, path: Path, material: Material) -> BatchItem:
        script = self.out / script_name(material.head)
        known = BatchItem(
            extraction=path.name,
            status="there",
            commit_hash=material.head,
            script_path=script.name,
            category=material.category,
            message=material.message,
        )
        if script.is_file() and not self.regenerate:
            return known
        seed = find_seed(self.seeds, material.head)
        if seed is not None:
            return self._take_seed(seed, script, known, material)
        return self._write(script, known, material)

    def _take_seed(self, seed: Path, script: Path, known: BatchItem, material: Material) -> BatchItem:
        content = seed.read_bytes()
        worst = fatal(inspect_script(content.decode(), patch=material.patch, package=self.package, origin="given"))
        if worst is not None:
            raise StageError(Reason.INPUT_INVALID, f"the pre-generated {seed.name}: {worst.words}")
        write_atomic(script, content)
        return BatchItem(**(asdict(known) | {"status": "seed"}))

    def _write(self, script: Path, known: BatchItem, material: Material) -> BatchItem:
        attempts: list[dict[str, Any]] = []
        journal = self.out / "attempts" / f"{material.head}.json"

        def keep(attempt: Attempt) -> None:
            attempts.append(attempt.to_json())
            write_atomic(
                journal, dump_json({"v": 1, "head": material.head, "prompt": self.prompt.digest, "attempts": attempts})
            )

        problem: StageError | None = None
        try:
            written = write_test(self.ask, self.prompt, material, limits=self.limits, keep=keep)
            problem = failed(written) if written.source is None else None
            if written.source is not None:
                write_atomic(script, written.source.encode())
        except StageError as error:
            problem = error
        usages = [attempt["usage"] for attempt in attempts]
        fields: dict[str, Any] = {
            "status": "written",
            "prompt_tokens": sum(usage["promptTokens"] for usage in usages),
            "completion_tokens": sum(usage["completionTokens"] for usage in usages),
            "usd": total(None if usage["usd"] is None else Decimal(usage["usd"]) for usage in usages),
        }
        if problem is not None:
            fields |= {"status": "failed", "script_path": None, "reason": problem.reason.value, "words": str(problem)}
        return BatchItem(**(asdict(known) | fields))


def _selected(files: list[Path], only_hash: str | None) -> Iterator[tuple[Path, Material | StageError]]:
    for path in files:
        try:
            material = _read(path)
        except StageError as error:
            if only_hash is None or path.stem.startswith(only_hash[:8]):
                yield path, error
            continue
        if only_hash is None or material.head.startswith(only_hash) or only_hash.startswith(material.head):
            yield path, material


def generate_batch(
    source: Path,
    out: Path,
    *,
    ask: Ask,
    prompt: Prompt,
    limits: Limits | None = None,
    only_hash: str | None = None,
    limit: int | None = None,
    seeds: Path | None = None,
    regenerate: bool = False,
    package: str | None = None,
    progress: Callable[[BatchItem, int, int], None] = lambda _item, _done, _all: None,
) -> BatchReport:
    """Write a script per extraction, `index.json`, `index.csv`, `errors.json` and every attempt into `out`.

    Args:
        source: a folder of extraction files, or one file.
        ask: see `asking.Asker`; whoever makes it sees to `dumpable.not_dumpable`.
        only_hash: a commit, in full or its beginning.
        limit: how many extractions at most; those that are there already do not count.
        seeds: folder of pre-generated scripts that win over any request.
        regenerate: ask again for what is there.
        progress: called after each item with how many are done and how many there are.

    Raises:
        StageError: MissingInput, where there is no extraction, or none of the commit asked for.
    """
    files = extraction_files(source)
    chosen = list(_selected(files, only_hash))
    if only_hash is not None and not chosen:
        raise StageError(Reason.MISSING_INPUT, f"--only-hash {only_hash}: no extraction in {source} is of that commit")
    batch = _Batch(
        out=out, ask=ask, prompt=prompt, limits=limits or Limits(), seeds=seeds, regenerate=regenerate, package=package
    )
    items: list[BatchItem] = []
    worked = 0
    for path, material in chosen:
        if limit is not None and worked >= limit:
            break
        item = _guarded(batch, path, material)
        worked += item.status != "there"
        items.append(item)
        _write_index(out, items)
        progress(item, len(items), len(chosen))
    _write_index(out, items)
    return BatchReport(items=tuple(items))


def _guarded(batch: _Batch, path: Path, material: Material | StageError) -> BatchItem:
    head = None if isinstance(material, StageError) else material.head
    try:
        if isinstance(material, StageError):
            raise material
        return batch.one(path, material)
    except StageError as error:
        return BatchItem(
            extraction=path.name, status="failed", commit_hash=head, reason=error.reason.value, words=str(error)
        )
    except (ValueError, RecursionError) as error:
        reason = Reason.INPUT_INVALID.value
        return BatchItem(
            extraction=path.name,
            status="failed",
            commit_hash=head,
            reason=reason,
            words=f"{type(error).__name__}: {error}",
        )


def _earlier(out: Path) -> list[dict[str, Any]]:
    """Rows of an index written by an earlier run, whose scripts are still there."""
    try:
        rows = json.loads((out / "index.json").read_text(encoding="utf-8"))
        return [row for row in rows if (out / str(row["script_path"])).is_file()]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _write_index(out: Path, items: list[BatchItem]) -> None:
    rows = {row["commit_hash"]: row for row in _earlier(out)}
    for item in items:
        if item.script_path is not None and item.commit_hash is not None:
            rows[item.commit_hash] = {name: getattr(item, name) for name in INDEX_FIELDS}
    ordered = [rows[head] for head in sorted(rows)]
    write_atomic(out / "index.json", (json.dumps(ordered, ensure_ascii=False, indent=2) + "\n").encode())
    text = io.StringIO()
    table = csv.DictWriter(text, INDEX_FIELDS, extrasaction="ignore", lineterminator="\n")
    table.writeheader()
    table.writerows(ordered)
    write_atomic(out / "index.csv", text.getvalue().encode())
    wrong = [
        {"extraction": i.extraction, "commit_hash": i.commit_hash, "reason": i.reason, "words": i.words}
        for i in items
        if i.status == "failed"
    ]
    write_atomic(out / "errors.json", (json.dumps(wrong, ensure_ascii=False, indent=2) + "\n").encode())
