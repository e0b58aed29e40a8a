"""A small package whose head does a tenth of base's work, a test of it, and the manifests that run them; for whole runs in seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .repositories import Repository

UNITS = 40_000
"""Loop turns of base's work: some milliseconds, so that a round is short."""

SCRIPT = '''\
"""Times tinywork.work."""
import json

from tinywork import work


def setup(seed=0):
    return {"values": [seed + i for i in range(5)], "extra": EXTRA}


def experiment(data):
    return [work(value) for value in data["values"]]


def store_result(result, path):
    with open(path, "w") as file:
        json.dump(result, file)


def load_result(path):
    with open(path) as file:
        return json.load(file)


def check_equivalence(current_result, reference_result):
    assert current_result == reference_result, "other sums"


def run_test(eqcheck=False, reference=False, prefix=""):
    return 0.0
'''.replace("EXTRA", "None")


def source(units: int, *, body: str = "") -> str:
    """The package's only module: `units` turns of the same loop, whose result does not depend on them."""
    return f'''\
"""Work by the count."""


def work(value):
    total = 0
    for _ in range({units}):
        total += 1
{body}    return value * 3 + total - {units}
'''


@dataclass
class Tiny:
    """A folder with the repository and its manifests."""

    folder: Path
    repository: Repository
    base: str
    head: str
    documents: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def create(
        cls, folder: Path, *, base_units: int = UNITS, head_units: int = UNITS // 10, head_body: str = ""
    ) -> Tiny:
        """Two commits: base and head."""
        repository = Repository.create(folder / "repo")
        base = repository.commit({"tinywork/__init__.py": source(base_units), "README": "tiny"}, "Work")
        head = repository.commit({"tinywork/__init__.py": source(head_units, body=head_body)}, "Work less (#12)")
        return cls(folder, repository, base, head)

    def commit(self, name: str = "tiny", *, script: str | None = SCRIPT, **spec: Any) -> dict[str, Any]:
        """Add a Commit with short measuring; `spec` replaces its fields."""
        fields: dict[str, Any] = {
            "repository": {"url": "repo"},
            "head": self.head,
            "environment": {"package": "tinywork"},
            "measurement": {"budgetSeconds": 6, "minimumEffectPercent": "10"},
        }
        if script is not None:
            path = self.folder / f"{name}_test.py"
            path.write_text(script)
            fields["test"] = {"script": {"file": path.name}}
        document = {
            "apiVersion": "isobench.dev/v1alpha1",
            "kind": "Commit",
            "metadata": {"name": name},
            "spec": {**fields, **spec},
        }
        self.documents.append(document)
        return document

    @property
    def manifest(self) -> Path:
        """All documents, in one file."""
        path = self.folder / "commits.yaml"
        path.write_text(yaml.safe_dump_all(self.documents, sort_keys=False))
        return path

    def start(
        self, *arguments: str, out: str = "out", cache: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Begin `isobench run` as a process of its own group."""
        command = [
            sys.executable,
            "-m",
            "isobench_operator.cli",
            "run",
            str(self.manifest),
            "--out",
            str(self.folder / out),
            *arguments,
        ]
        variables = {**os.environ, "ISOBENCH_CACHE": str(cache), **(env or {})}
        return subprocess.Popen(
            command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )  # fmt: skip

    def run(
        self, *arguments: str, out: str = "out", cache: Path, env: Mapping[str, str] | None = None
    ) -> tuple[int, str]:
        """`isobench run` to its end; its exit code and everything that it printed."""
        process = self.start(*arguments, out=out, cache=cache, env=env)
        stdout, stderr = process.communicate(timeout=280)
        return process.returncode, stdout + stderr

    def status(self, name: str = "tiny", out: str = "out") -> dict[str, Any]:
        """A Commit's status."""
        document = yaml.safe_load((self.folder / out / "status" / f"commit-{name}.yaml").read_text())
        return dict(document.get("status") or {})

    def reason(self, name: str = "tiny", out: str = "out") -> str:
        """The reason of its Succeeded condition."""
        return next(
            (str(c["reason"]) for c in self.status(name, out).get("conditions", ()) if c["type"] == "Succeeded"), ""
        )

    def records(self, out: str = "out") -> list[dict[str, Any]]:
        """The rows of dataset.jsonl."""
        return [json.loads(line) for line in (self.folder / out / "dataset.jsonl").read_text().splitlines()]
