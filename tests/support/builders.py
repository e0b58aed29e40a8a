"""Custom resources and reports as tests need them: complete where nothing is said, and one keyword away from the odd case."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

from isobench_operator.core.settings import PodSettings, Settings

HEAD, BASE, MAIN = "a" * 40, "b" * 40, "c" * 40
SHAS = {"head": HEAD, "base": BASE, "main": MAIN}
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
SETTINGS = Settings(secret="a secret of the tests", settle_seconds=0.0)
EMBEDDED = Settings(secret="a secret of the tests", pods=PodSettings(runtime="embedded", isolation="none", node="here"))


def digest(text: str) -> str:
    """A digest as the store would give it."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """Objects merged, anything else replaced."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def commit(name: str = "speedup-1", *, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A Commit with a given script, as the API server holds it."""
    body = {
        "repository": {"url": "https://example.org/acme/rocket.git"},
        "head": HEAD,
        "test": {"script": {"configMapKeyRef": {"name": "tests", "key": "rocket.py"}}},
        "environment": {"install": ["pip install -e ."], "package": "rocket"},
    }
    return {
        "apiVersion": "isobench.dev/v1alpha1",
        "kind": "Commit",
        "metadata": {"name": name, "namespace": "bench", "uid": f"uid-of-{name}", "generation": 1, **metadata},
        "spec": merge(body, spec or {}),
    }


def generated(name: str = "speedup-1", *, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A Commit whose test a model writes."""
    key = {"name": "keys", "key": "openai"}
    models = [{"provider": "openai", "model": "gpt-test", "secretKeyRef": key}]
    body = commit(name, spec=spec, **metadata)
    body["spec"]["test"] = merge({"generate": {"models": models}}, (spec or {}).get("test", {}))
    return body


def dataset(name: str = "all", *, spec: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:
    """A Dataset over every Commit of the namespace."""
    return {
        "apiVersion": "isobench.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": name, "namespace": "bench", "uid": f"uid-of-{name}", "generation": 1, **metadata},
        "spec": merge({"source": {"commits": {}}}, spec or {}),
    }


def prepared(revision: str, *, sha: str | None = None, script: bool = True, **data: Any) -> dict[str, Any]:
    """What a prepare Job reports."""
    found = {
        "sha": sha or SHAS[revision],
        "environment": digest(f"environment of {revision}"),
        "key": hashlib.sha256(revision.encode()).hexdigest()[:32],
        "distributions": digest("distributions"),
        "python": "3.11.7",
        "asOf": "2026-01-01T00:00:00Z",
    }
    if revision == "head":
        found |= {"inputs": digest("inputs"), "base": BASE}
        if script:
            found["test"] = digest("given test")
    return {**found, **data}


def written(number: int = 1, **data: Any) -> dict[str, Any]:
    """What a generate Job reports."""
    usage = {"promptTokens": 1000, "completionTokens": 200, "usd": "0.0125"}
    found = {
        "test": digest(f"generated test {number}"),
        "generation": digest(f"attempts {number}"),
        "model": "gpt-test",
    }
    return {**found, "origin": "generated", "regenerate": "0", "repair": "0", "usage": usage, **data}


def measured(role: str, **data: Any) -> dict[str, Any]:
    """What a measuring Job reports."""
    found: dict[str, Any] = {
        "result": digest(f"result of {role}"),
        "verdict": "no_change" if role == "base" else "faster",
        "speedup": "1.001" if role == "base" else "1.840",
        "ci95": ["0.9950", "1.006"] if role == "base" else ["1.790", "1.900"],
        "humanPerformance": "1.860",
        "equivalent": True,
        "coldSpeedup": "1.900",
        "cpuSpeedup": "1.830",
        "flags": [],
        "samples": 96,
        "medianMs": "6.310",
        "baseMedianMs": "11.60",
        "node": "node-1",
    }
    if role == "base":
        found |= {"noiseFloorPercent": "0.9000", "changedShare": "0.7100"}
    return {**found, **data}
