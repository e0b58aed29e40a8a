"""Output folders as `isobench run` leaves them: status documents and artifacts in their real formats, with samples from a seeded generator.

The numbers are computed by the product's own statistics from those samples, so that nothing here has to be kept true by hand.
"""

from __future__ import annotations

import hashlib
import json
import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from isobench_runner.contract import Reason
from isobench_runner.stats.numbers import numbers
from isobench_runner.stats.rounds import parse_rounds
from isobench_runner.stats.summary import Rule, Summary, summarise
from isobench_runner.store import Store

SCRIPT = '''"""Times the version comparison that the commit rewrites."""

import json
import random


def setup(seed=0):
    rng = random.Random(seed)
    return [f"{rng.randrange(9)}.{rng.randrange(20)}.{rng.randrange(99)}" for _ in range(4_000)]


def experiment(data):
    from packaging.version import Version

    return [str(item) for item in sorted(Version(text) for text in data)]


def store_result(result, path):
    with open(path, "w") as file:
        json.dump(result, file)


def load_result(path):
    with open(path) as file:
        return json.load(file)


def check_equivalence(reference, result):
    assert reference == result


def run_test(eqcheck=False, reference=False, prefix=""):
    import timeit

    data = setup()
    return timeit.timeit(lambda: experiment(data), number=1)
'''

PATCH = """diff --git a/src/packaging/version.py b/src/packaging/version.py
index 21f44ca0..95a2f1d1 100644
--- a/src/packaging/version.py
+++ b/src/packaging/version.py
@@ -198,12 +198,15 @@ class Version(_BaseVersion):
         # Store the parsed out pieces of the version
-        self._version = _Version(
-            epoch=int(match.group("epoch")) if match.group("epoch") else 0,
-            release=tuple(int(i) for i in match.group("release").split(".")),
-        )
+        epoch, release = match.group("epoch", "release")
+        self._version = _Version(int(epoch) if epoch else 0, tuple(map(int, release.split("."))))
+        self._key_cache = None
\x20
-        # Generate a key which will be used for sorting
-        self._key = _cmpkey(self._version.epoch, self._version.release)
+    @property
+    def _key(self) -> CmpKey:
+        if self._key_cache is None:
+            self._key_cache = _cmpkey(self._version.epoch, self._version.release)
+        return self._key_cache
\x20
     def __repr__(self) -> str:
         return f"<Version('{self}')>"
"""

TEST_PATCH = """diff --git a/tests/test_version.py b/tests/test_version.py
--- a/tests/test_version.py
+++ b/tests/test_version.py
@@ -1,3 +1,6 @@
 from packaging.version import Version
+
+def test_key_is_lazy():
+    assert Version("1")._key_cache is None
"""

TRACEBACK = """Collecting setuptools<41
  error: subprocess-exited-with-error
  x Building wheel for cffi (pyproject.toml) did not run successfully.
  │ exit code: 1
  ╰─> c/_cffi_backend.c:15:10: fatal error: ffi.h: No such file or directory
      compilation terminated."""


PROMPT = f"sha256:{'5e' * 32}"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One Commit of a folder.

    Attributes:
        speedup: the true ratio that the samples are drawn around.
        noise: standard deviation of one sample's logarithm.
        reason: what it failed with; None for one that Succeeded.
        main: `measured`, `same` (as head), `left out`, or the reason that main alone failed with.
    """

    name: str
    subject: str
    speedup: float = 1.0
    noise: float = 0.02
    rounds: int = 16
    reason: Reason | None = None
    tail: str = ""
    main: str = "measured"
    flags: tuple[str, ...] = ()
    isolation: str = "bubblewrap"
    generated: bool = False
    script: str = SCRIPT
    patch: str = PATCH
    repository: str = "pypa/packaging"
    labels: dict[str, str] = field(default_factory=dict)
    finished: str = "2026-11-20T10:00:00Z"
    head: str | None = None
    base_ms: float = 41.7
    samples: int = 5
    gpu: str | None = None


CASES = (
    Case(name="packaging-lazy-key", subject="Compute the comparison key of a Version lazily (#1082)", speedup=1.84, flags=("heavy_tail",), main="same"),
    Case(name="packaging-specifier-cache", subject="Cache canonical specifiers", speedup=1.12, generated=True, base_ms=6.31),
    Case(name="vllm-block-copy", subject="Implement block copy kernel to optimize beam search (#32)", speedup=6.4, repository="vllm-project/vllm", gpu="NVIDIA H200", base_ms=2.4, main=Reason.PACKAGE_NOT_FOUND.value),
    Case(name="markupsafe-release", subject="Release version 3.0.3", speedup=0.81, repository="pallets/markupsafe", main="left out"),
    Case(name="more-itertools-docs", subject="Fix a typo in the documentation of chunked (#901)", speedup=1.0, noise=0.006, rounds=32, repository="more-itertools/more-itertools"),
    Case(name="attrs-slots", subject="Skip one lookup when slots are used", speedup=1.013, noise=0.004, rounds=32, repository="python-attrs/attrs"),
    Case(name="tomli-noisy", subject="Inline the skip of white space", speedup=1.01, noise=0.3, rounds=8, repository="hukkin/tomli", isolation="none", flags=("short_sample",), base_ms=0.4),
    Case(name="cryptography-build", subject="Pass bytes without a copy", reason=Reason.INSTALL_FAILED, tail=TRACEBACK, repository="pyca/cryptography"),
    Case(name="idna-behaviour", subject="Drop the compatibility mapping", reason=Reason.BEHAVIOUR_CHANGED, tail="AttributeError: module 'idna' has no attribute 'compat'", repository="kjd/idna", generated=True),
)  # fmt: skip
"""Every outcome once: faster (clear, small, on a GPU), slower, no_change, negligible, inconclusive, failed, behaviour changed, main failed, unisolated."""


def _sha(text: str, size: int = 40) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:size]


def _rounds(case: Case, other: str, speedup: float, rng: random.Random) -> list[dict[str, Any]]:
    def samples(scale: float, drift: float) -> list[dict[str, int]]:
        taken = []
        for _ in range(case.samples):
            ns = int(
                case.base_ms
                * 1e6
                * scale
                * math.exp(drift + rng.gauss(0, case.noise) + max(0.0, rng.gauss(-0.1, 0.05)))
            )
            taken.append({"wall_ns": ns, "parent_ns": ns + 21_000, "cpu_ns": int(ns * 0.99)})
        return taken

    rounds = []
    for number in range(case.rounds):
        drift = rng.gauss(0, 0.05)
        rounds.append({
            "round": number, "discarded": None,
            "samples": {"base": samples(1, drift), other: samples(1 / speedup, drift + rng.gauss(0, case.noise / 2))},
            "cold": {"base": {"wall_ns": int(case.base_ms * 1.4e6), "cpu_ns": int(case.base_ms * 1.4e6)}, other: {"wall_ns": int(case.base_ms * 1.4e6 / speedup), "cpu_ns": int(case.base_ms * 1.4e6 / speedup)}},
        })  # fmt: skip
    return rounds


def _decimal(value: float | None) -> str | None:
    return None if value is None else f"{value:.4g}"


@dataclass
class _Commit:
    case: Case
    store: Store

    def __post_init__(self) -> None:
        self.rng = random.Random(self.case.name)
        self.head = self.case.head or _sha(f"{self.case.repository} {self.case.subject}")
        self.base, self.main = _sha(f"base of {self.head}"), _sha(f"main of {self.case.repository}")

    def environment(self, sha: str) -> str:
        return self.store.put_json({
            "v": 1, "key": _sha(sha, 32), "sha": sha, "python": {"version": "3.11.7", "executable": "/usr/bin/python3.11", "implementation": "cpython"},
            "platform": "linux-x86_64", "as_of": "2025-04-20", "inherit": "none",
            "distributions": [{"name": "numpy", "version": "2.2.4"}, {"name": "packaging", "version": "25.0"}, {"name": "pip", "version": "25.0.1"}],
            "package": {"name": "packaging", "origin": f"{sha}/src", "kind": "tree", "blobs_matching": 17, "blobs": 17, "extensions": []},
            "tree_digest": f"sha256:{_sha(sha, 64)}", "path": [], "setup": [], "install": ["pip install -e ."],
        })  # fmt: skip

    def inputs(self) -> str:
        pr = self.case.subject.rpartition("(#")[2].rstrip(")") if self.case.subject.endswith(")") else None
        return self.store.put_json({
            "v": 1, "repo": self.case.repository, "head": self.head, "base": self.base, "subject": self.case.subject,
            "message": f"{self.case.subject}\n\nSorting many versions spent most of its time on keys nobody asked for.",
            "author_date": "2025-04-19T09:30:00+02:00", "commit_date": "2025-04-19T14:02:11+02:00", "pr": int(pr) if pr else None,
            "files": [{"path": "src/packaging/version.py", "old_path": None, "change_type": "modified", "binary": False, "is_test": False, "lfs": False}],
            "patch": self.case.patch, "test_patch": TEST_PATCH, "patch_functions": ["packaging.version.Version.__init__"], "test_functions": ["test_key_is_lazy"],
            "extraction": {}, "script": None if self.case.generated else self.case.script,
            "changed": [{"path": "src/packaging/version.py", "side": "head", "qualname": "Version.__init__", "start": 190, "end": 214, "lines": [199, 200]}], "notes": [],
        })  # fmt: skip

    def result(self, other: str, speedup: float) -> tuple[str, dict[str, Any], Summary]:
        raw = _rounds(self.case, other, speedup, self.rng)
        rounds, _ = parse_rounds("\n".join(map(json.dumps, raw)).encode(), base="base", other=other)
        summary = summarise(rounds, loops=1, rule=Rule(delta=0.02))
        assert summary is not None
        judgement = summary.judgement
        self.flags = sorted({*self.case.flags, *(name for name, raised in summary.flags.items() if raised)})
        fingerprint = {
            "cpu": {"model": "AMD EPYC 9474F 48-Core Processor", "count": 2, "governor": "performance"}, "machine": "x86_64", "kernel": "6.1.0-28-amd64", "affinity": [0, 1],
            "pythons": {"base": {"python": "3.11.7", "implementation": "cpython"}, other: {"python": "3.11.7", "implementation": "cpython"}}, "libraries_differ": [], "gpu": {"name": self.case.gpu, "driver": "570.86"} if self.case.gpu else None, "isolation": self.case.isolation,
        }  # fmt: skip
        digest = self.store.put_json({
            "v": 1, "role": other, "revisions": [{"name": "base", "sha": self.base}, {"name": other, "sha": self.head}], "verdict": judgement.verdict, "flags": self.flags,
            "statistics": {**numbers(summary, rounds), "minimum_effect_percent": "2", "distinct_inputs": True},
            "noise_floor_percent": 0.9, "equivalent": True, "granularity": "function",
            "samples_ms": {"base": summary.base_ms, other: summary.other_ms}, "rounds": raw,
            "checks": {} if other == "main" else {"equivalence": {"ok": True, "words": "head's results pass the test's own check."}} if other == "head" else {"determinism": {"ok": True, "words": "Two runs on base agree."}, "mutated_reference": {"ok": True, "words": "A changed reference is refused."}},
            "fingerprint": fingerprint, "plan": {"seed": 7, "warmups": 2, "k": self.case.samples, "loops": 1, "budget_seconds": 60}, "changed_share": 0.71 if other == "base2" else None,
            "words": ["The test ran without isolation (isolation: none)."] if self.case.isolation == "none" else [],
        })  # fmt: skip
        data = {
            "verdict": judgement.verdict, "speedup": _decimal(judgement.speedup),
            "ci95": [_decimal(end) for end in judgement.interval] if judgement.interval else None,
            "humanPerformance": _decimal(summary.human_performance), "noiseFloorPercent": "0.9", "equivalent": True,
            "coldSpeedup": _decimal(summary.cold and summary.cold.speedup), "cpuSpeedup": _decimal(summary.cpu and summary.cpu.speedup), "changedShare": "0.71", "flags": self.flags,
        }  # fmt: skip
        return digest, data, summary

    def generation(self) -> str | None:
        if not self.case.generated:
            return None
        messages = [{"role": "user", "content": "Write a performance test for this commit."}]

        def attempt(
            number: int, kind: str, answer: str, verdict: str, words: str, *, sent: int, received: int, seconds: float
        ) -> dict[str, Any]:
            usage = {"promptTokens": sent, "completionTokens": received, "estimated": False, "usd": "0.015"}
            return {
                "number": number,
                "kind": kind,
                "provider": "openai",
                "model": "gpt-4.1",
                "messages": messages,
                "answer": answer,
                "verdict": verdict,
                "words": words,
                "findings": [],
                "usage": usage,
                "latency_seconds": seconds,
            }

        return self.store.put_json({
            "v": 1, "repository": self.case.repository, "head": self.head, "base": self.base, "prompt": {"id": "focused", "version": "1", "digest": PROMPT}, "source": "asked", "origin": "generated", "model": "gpt-4.1",
            "attempts": [
                attempt(1, "first", "I would time the sort.", Reason.NO_CODE.value, "the answer holds no Python code", sent=5210, received=12, seconds=1.4),
                attempt(2, "regenerate", f"```python\n{self.case.script}```", "accepted", "", sent=5263, received=801, seconds=11.9),
            ],
        })  # fmt: skip

    def _revisions(self, result: tuple[str, dict[str, Any], Summary] | None) -> list[dict[str, Any]]:
        case = self.case
        revisions: list[dict[str, Any]] = [
            {"name": "base", "sha": self.base, "environment": self.environment(self.base), "attempts": 1},
            {"name": "head", "sha": self.head, "environment": self.environment(self.head), "attempts": 1},
        ]
        if result is not None:
            revisions[0] |= {
                "result": self.result("base2", 1.0)[0],
                "medianMs": _decimal(result[2].base_median_ms),
                "samples": len(result[2].base_ms),
            }
            revisions[1] |= {
                "result": result[0],
                "medianMs": _decimal(result[2].other_median_ms),
                "samples": len(result[2].other_ms),
                "node": "gpu-7",
                "gpu": case.gpu,
            }
        if case.main == "same":
            revisions.append({"name": "main", "sha": self.head, "reason": Reason.SAME_AS_HEAD.value})
        elif case.main == "measured":
            revision = {"name": "main", "sha": self.main, "environment": self.environment(self.main), "attempts": 1}
            if result is not None:
                digest, _, summary = self.result("main", case.speedup * 1.05)
                revision |= {
                    "result": digest,
                    "medianMs": _decimal(summary.other_median_ms),
                    "samples": len(summary.other_ms),
                }
            revisions.append(revision)
        elif case.main != "left out":
            revisions.append({"name": "main", "sha": self.main, "reason": case.main})
        return revisions

    def document(self) -> dict[str, Any]:
        case = self.case
        result = self.result("head", case.speedup) if case.reason is None else None
        generation = self.generation()
        measured = case.reason is None
        ready = measured or case.reason is Reason.BEHAVIOUR_CHANGED

        def condition(kind: str, *, holds: bool, why: str, message: str = "") -> dict[str, Any]:
            return {
                "type": kind,
                "status": "True" if holds else "False",
                "reason": why,
                "message": message,
                "lastTransitionTime": case.finished,
                "observedGeneration": 1,
            }

        why = case.reason.value if case.reason else (result[1]["verdict"].title().replace("_", "") if result else "")
        status: dict[str, Any] = {
            "observedGeneration": 1,
            "conditions": [
                condition("Accepted", holds=True, why="Valid"), condition("Prepared", holds=ready, why="Built" if ready else why, message="" if ready else case.tail),
                condition("TestReady", holds=ready, why="Given"), condition("Measured", holds=measured, why=why, message=case.tail),
                condition("Succeeded", holds=measured, why=why, message=case.tail), condition("Finished", holds=True, why="Succeeded" if measured else "Failed"),
            ],
            "revisions": self._revisions(result),
            "artifacts": {"inputs": self.inputs()} | ({"generation": generation} if generation else {}),
            "test": {"digest": self.store.put(case.script.encode()), "origin": "generated" if case.generated else "given", "attempts": 2 if case.generated else 1} | ({"model": "gpt-4.1"} if case.generated else {}),
            "usage": {"promptTokens": 10473 if case.generated else 0, "completionTokens": 813 if case.generated else 0, "usd": "0.03" if case.generated else "0.00", "gpuSeconds": "0"},
        }  # fmt: skip
        if result is not None:
            status["result"] = result[1]
        return {
            "apiVersion": "isobench.dev/v1alpha1", "kind": "Commit",
            "metadata": {"name": case.name, "namespace": "default", "uid": _sha(case.name, 32), "generation": 1, "labels": case.labels},
            "spec": {
                "repository": {"url": f"https://github.com/{case.repository}.git", "name": case.repository}, "head": self.head, "category": "kernel-based",
                "environment": {"install": ["pip install -e ."], "setup": [], "package": "packaging", "packagesAsOf": "head"},
                "measurement": {"budgetSeconds": 60, "minimumEffectPercent": "2"}, "record": {"api": "packaging.version.Version", "notes": None},
            },
            "status": status,
        }  # fmt: skip


def commit_document(case: Case, store: Store) -> dict[str, Any]:
    """The custom resource of one case; its artifacts are put into the store."""
    return _Commit(case, store).document()


def write_run_folder(directory: Path, cases: tuple[Case, ...] = CASES, *, dataset: bool = True) -> Path:
    """Write `directory` as `isobench run` leaves it; returns it."""
    store = Store(directory / "artifacts")
    (directory / "status").mkdir(parents=True, exist_ok=True)
    for case in cases:
        document = commit_document(case, store)
        (directory / "status" / f"commit-{case.name}.yaml").write_text(
            yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
        )
    if dataset:
        done = {
            "type": "Succeeded",
            "status": "True",
            "reason": "Collected",
            "message": "",
            "lastTransitionTime": "2026-11-20T10:05:00Z",
        }
        body = {
            "apiVersion": "isobench.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "dataset", "namespace": "default", "uid": _sha("dataset", 32)}, "spec": {"format": "commits"},
            "status": {"conditions": [done, {**done, "type": "Finished"}], "digest": f"sha256:{_sha('dataset', 64)}", "records": sum(case.reason is None for case in cases)},
        }  # fmt: skip
        (directory / "status" / "dataset-dataset.yaml").write_text(yaml.safe_dump(body, sort_keys=False))
    return directory
