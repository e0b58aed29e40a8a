"""The chart as helm renders it: `render(values)` gives the objects, `refusal(values)` the words in which they are refused."""

from __future__ import annotations

import functools
import json
import os
import subprocess
from pathlib import Path
from typing import Any

import yaml

from .tools import tool

Json = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "isobench"
NAMESPACE = "isobench"
KUBERNETES = "1.33.0"
"""The oldest version that the chart supports."""


def helm(*arguments: str, kubeconfig: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run helm, away from the user's own clusters."""
    environment = {**os.environ, "KUBECONFIG": str(kubeconfig or os.devnull)}
    return subprocess.run(
        [tool("helm"), *arguments], check=False, capture_output=True, text=True, env=environment, timeout=120
    )


@functools.cache
def _template(values: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [tool("helm"), "template", "isobench", str(CHART), "--namespace", NAMESPACE, "--kube-version", KUBERNETES, "--values", "-"],
        check=False, input=values, capture_output=True, text=True, env={**os.environ, "KUBECONFIG": os.devnull}, timeout=120,
    )  # fmt: skip


def render(values: Json | None = None) -> list[Json]:
    """Every object of the chart, hooks included.

    Raises:
        AssertionError: helm refused the values; with its words.
    """
    done = _template(json.dumps(values or {}))
    assert done.returncode == 0, done.stderr
    return [one for one in yaml.safe_load_all(done.stdout) if one is not None]


def refusal(values: Json) -> str:
    """What helm says to values that must be refused.

    Raises:
        AssertionError: it took them.
    """
    done = _template(json.dumps(values))
    assert done.returncode != 0, f"helm took {values}"
    return done.stderr


def pick(objects: list[Json], kind: str, name: str, namespace: str | None = None) -> Json:
    """The one object of that kind and name.

    Raises:
        AssertionError: there is none, or more than one.
    """
    found = [
        one for one in objects
        if one["kind"] == kind and one["metadata"]["name"] == name
        and (namespace is None or one["metadata"].get("namespace") == namespace)
    ]  # fmt: skip
    assert len(found) == 1, f"{len(found)} of {kind}/{name}"
    return found[0]


def config(objects: list[Json]) -> Json:
    """The operator's configuration."""
    found: Json = yaml.safe_load(pick(objects, "ConfigMap", "isobench-operator")["data"]["config.yaml"])
    return found
