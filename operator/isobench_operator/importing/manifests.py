"""The Commits and the Dataset that an experiment becomes, as YAML documents beside the files that they name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from isobench_runner.contract import StageError
from isobench_runner.llm.seeds import find_seed
from isobench_runner.records.extraction import Extraction, is_extraction_name, parse_json, read_extraction
from isobench_runner.store import write_atomic

from .commands import Command, look_at
from .experiment import Experiment, ImportFailure, is_remote, read_experiment

IMPORT_LABEL = "isobench.dev/import"
MAX_NOTES = 2048
MAX_EXTRACTION_BYTES = 900_000
"""A ConfigMap holds 1 MiB with all its keys."""
_FULL_SHA = re.compile(r"[0-9a-f]{40}")
_PULL_REQUEST = re.compile(r"^(https?://[^/]+/[^/]+/[^/]+)/pull/\d+")
TOKEN = "HF_TOKEN"  # noqa: S105 - the name of a variable
_KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY"}


@dataclass(frozen=True)
class Item:
    """What became of one extraction.

    Attributes:
        source: its file's name.
        outcome: `skipped` for files that are no extractions.
        name: of the Commit.
        words: why it was refused, or what a person should know.
        test: what the test comes from.
    """

    source: str
    outcome: Literal["written", "refused", "skipped"]
    name: str | None = None
    words: str = ""
    test: Literal["full hash", "hash8", "model"] | None = None


@dataclass
class ImportReport:
    """What an import did.

    Attributes:
        commands: every setup and install line, those that a person should look at first in front.
        run_commands: whether they went into the manifests, to be run; else they stand in the records alone.
        notes: what of the experiment could not be carried over.
        dataset: the Dataset's manifest, None where no Commit was written.
    """

    items: list[Item] = field(default_factory=list)
    commands: tuple[Command, ...] = ()
    run_commands: bool = False
    notes: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    dataset: Path | None = None

    def count(self, outcome: str) -> int:
        """How many items ended so."""
        return sum(item.outcome == outcome for item in self.items)


def dns_name(text: str, *, limit: int = 63) -> str:
    """Words as a Kubernetes name."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:limit].strip("-") or "imported"


def _small(content: bytes, extraction: Extraction) -> bytes:
    """An extraction that fits into a ConfigMap: where it does not as it is, without the old files, which the repository gives back."""
    if len(content) <= MAX_EXTRACTION_BYTES:
        return content
    body = extraction.to_json()
    for file in body["files_changed"]:
        file.pop("old_content", None)
    body.pop("timeline_text", None)
    return json.dumps(body, ensure_ascii=False, indent=1).encode("utf-8", "replace")


class _Refused(Exception):  # noqa: N818 - caught where one item ends
    """This item cannot be imported."""


@dataclass
class _Import:
    experiment: Experiment
    out: Path
    tests: Path | None
    run_commands: bool
    resolve: Callable[[str], str | None] | None
    budget_seconds: int | None = None
    names: dict[str, str] = field(default_factory=dict)
    shas: dict[str, str] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """The Dataset's name, and the label of its Commits."""
        return dns_name(self.experiment.name)

    def _sha(self, extraction: Extraction, source: str) -> str:
        sha = extraction.commit_hash
        if not _FULL_SHA.fullmatch(sha):
            full = self.resolve(sha) if self.resolve else None
            if full is None:
                raise _Refused(
                    f"commit_hash {sha!r} is abbreviated and no repository at hand knows it; write all 40 digits"
                )
            sha = full
        if sha in self.shas:
            raise _Refused(f"the same commit as {self.shas[sha]}")
        self.shas[sha] = source
        return sha

    def _repository(self, extraction: Extraction) -> str:
        named = self.experiment.repository
        if named is not None and (is_remote(named) or Path(named).is_dir()):
            return named
        url = extraction.extra.get("pr_url")
        match = _PULL_REQUEST.match(url) if isinstance(url, str) else None
        if match:
            return f"{match[1]}.git"
        if named is not None:
            return named
        raise _Refused("nothing says which repository it is of; give --repository URL")

    def _name(self, repository: str, sha: str) -> str:
        folder = repository.rstrip("/").removesuffix(".git").replace(":", "/").rpartition("/")[2]
        stem = dns_name(folder, limit=40)
        name = next(name for digits in (8, 12, 40) if (name := f"{stem}-{sha[:digits]}") not in self.names)
        self.names[name] = sha
        return name

    def _test(self, sha: str) -> tuple[dict[str, Any], Literal["full hash", "hash8", "model"]]:
        seed = find_seed(self.tests, sha)
        if seed is not None:
            target = self.out / "tests" / f"{sha}_test_case_generator.py"
            write_atomic(target, seed.read_bytes())
            return {"script": {"file": f"tests/{target.name}"}}, "full hash" if seed.name.startswith(sha) else "hash8"
        provider, model = self.experiment.provider, self.experiment.model
        if provider not in _KEYS or model is None:
            where = (
                f"{self.tests} has no script of {sha} or {sha[:8]}" if self.tests else "no folder of scripts was given"
            )
            raise _Refused(f"{where}, and no model to write one (llm_provider, llm_model); give --tests DIR")
        endpoint: dict[str, Any] = {"provider": provider, "model": model, "env": _KEYS[provider]}
        generate: dict[str, Any] = {"models": [endpoint]}
        generate |= {"temperature": self.experiment.temperature} if self.experiment.temperature else {}
        generate |= {"maxTokens": self.experiment.max_tokens} if self.experiment.max_tokens else {}
        return {"generate": generate}, "model"

    def _environment(self) -> dict[str, Any]:
        one = self.experiment
        result: dict[str, Any] = {"image": one.image} if one.image else {}
        if self.run_commands and (one.setup or one.install):
            result |= {"setup": list(one.setup)} if one.setup else {}
            result |= {"install": list(one.install)} if one.install else {}
        if "install" not in result:
            result |= {} if one.image else {"inherit": "interpreter"}
            result["path"] = ["."]
        return result

    def _record(self) -> dict[str, Any]:
        one = self.experiment
        notes = [one.notes] if one.notes else []
        if not self.run_commands:
            notes += [f"setup, not run: {line}" for line in one.setup] + [
                f"install, not run: {line}" for line in one.install
            ]
        text = "\n".join(notes)
        record = {"api": one.api[:256]} if one.api else {}
        return record | ({"notes": text if len(text) <= MAX_NOTES else f"{text[: MAX_NOTES - 1]}…"} if text else {})

    def commit(self, path: Path) -> Item:
        """Write one Commit.

        Raises:
            StageError: the file is no extraction.
        """
        content = path.read_bytes()
        extraction = read_extraction(parse_json(content, path.name), path.name)
        try:
            sha = self._sha(extraction, path.name)
            repository = self._repository(extraction)
            test, origin = self._test(sha)
        except _Refused as refused:
            return Item(path.name, "refused", words=str(refused))
        name = self._name(repository, sha)
        category = re.sub(r"[^A-Za-z0-9 ._/-]+", " ", extraction.category).strip(" ._/-")[:63]
        spec: dict[str, Any] = {"repository": {"url": repository}, "head": sha}
        spec |= {"category": category} if category else {}
        spec |= {"extraction": {"file": f"extractions/{sha}.json"}, "test": test, "environment": self._environment()}
        spec |= {"measurement": {"budgetSeconds": self.budget_seconds}} if self.budget_seconds else {}
        spec |= {"record": record} if (record := self._record()) else {}
        write_atomic(self.out / "extractions" / f"{sha}.json", _small(content, extraction))
        self.write(f"{name}.yaml", "Commit", {"name": name, "labels": {IMPORT_LABEL: self.label}}, spec)
        local = not is_remote(repository)
        words = f"{repository} is not there yet: clone it" if local and not Path(repository).is_dir() else ""
        return Item(path.name, "written", name, words, origin)

    def dataset(self) -> Path:
        """Write the Dataset over all imported Commits."""
        spec: dict[str, Any] = {"source": {"commits": {"selector": {"matchLabels": {IMPORT_LABEL: self.label}}}}}
        if self.experiment.publish:
            spec["publish"] = {"repository": self.experiment.publish, "env": TOKEN}
        return self.write("dataset.yaml", "Dataset", {"name": self.label}, spec)

    def write(self, file: str, kind: str, metadata: dict[str, Any], spec: dict[str, Any]) -> Path:
        """Write a document."""
        body = {"apiVersion": "isobench.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}
        text = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)
        write_atomic(self.out / file, text.encode())
        return self.out / file


def _items(job: _Import) -> Iterator[Item]:
    for path in sorted(job.experiment.extractions.iterdir()):
        if not path.is_file() or path.name.startswith("."):
            continue
        if not is_extraction_name(path.name):
            yield Item(path.name, "skipped", words="no extraction")
            continue
        try:
            yield job.commit(path)
        except StageError as error:
            yield Item(path.name, "refused", words=str(error).removeprefix(f"extraction {path.name}: "))
        except OSError as error:
            yield Item(path.name, "refused", words=f"{error.strerror}: {error.filename}")


def import_experiments(
    source: Path,
    out: Path,
    *,
    run_commands: bool,
    tests: Path | None,
    repository: str | None = None,
    resolve: Callable[[str], str | None] | None = None,
    budget_seconds: int | None = None,
) -> ImportReport:
    """Write the Commits and the Dataset of an experiments.yaml, or of a folder of extractions, into `out`.

    Args:
        run_commands: whether setup and install lines are to be run; else they are noted in the records alone.
        tests: a folder of pre-generated scripts, by full hash first, then by its first eight digits.
        repository: a URL or path, instead of the one in the file.
        resolve: gives the full sha of an abbreviated one, or None.
        budget_seconds: measuring time of every Job, instead of the default.

    Raises:
        ImportFailure: nothing can be read at all, or `out` cannot be written.
    """
    experiment = read_experiment(source, repository=repository)
    report = ImportReport(commands=look_at(experiment.setup, experiment.install), run_commands=run_commands)
    if tests is not None and not tests.is_dir():
        raise ImportFailure(f"--tests {tests} is no folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImportFailure(f"--out {out}: {error.strerror}") from error
    job = _Import(experiment, out.resolve(), tests, run_commands, resolve, budget_seconds)
    report.items.extend(_items(job))
    report.written = [out / f"{item.name}.yaml" for item in report.items if item.name]
    if report.written:
        job.dataset()
        report.dataset = out / "dataset.yaml"
        report.written.append(report.dataset)
    if experiment.ignored:
        report.notes.append(f"keys that mean nothing here: {', '.join(experiment.ignored)}")
    if experiment.publish:
        words = f"the Dataset is published to {experiment.publish} with the token of {TOKEN}, here by `isobench run --publish` alone"
        report.notes.append(f"push_to_hf: {words}")
    return report
