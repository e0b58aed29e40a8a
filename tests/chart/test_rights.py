"""The operator itself, on a real API server, with the configuration and the rights that the chart gives it and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.apiserver import ApiServer, free_ports
from support.builders import commit, dataset
from support.helm import CHART, helm
from support.kube import until

pytestmark = [pytest.mark.chart, pytest.mark.apiserver, pytest.mark.slow, pytest.mark.xdist_group("apiserver")]
Json = dict[str, Any]


@contextmanager
def operator(server: ApiServer, folder: Path, namespace: str) -> Iterator[str]:
    """The operator under its service account; gives the address of /metrics."""
    metrics, health = free_ports(2)
    config = yaml.safe_load(server.get("configmap", "isobench-operator", "-n", namespace)["data"]["config.yaml"])
    key = folder / "key"
    key.write_text("k" * 48, encoding="utf-8")
    config |= {"nonceKeyFile": str(key), "metrics": {"port": metrics}, "health": {"port": health}}
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    token = server.ok("create", "token", "isobench-operator", "-n", namespace).strip()
    login = yaml.safe_load(server.kubeconfig.read_text(encoding="utf-8"))
    login["users"] = [{"name": "admin", "user": {"token": token}}]
    (folder / "kubeconfig").write_text(yaml.safe_dump(login), encoding="utf-8")
    command = [sys.executable, "-m", "isobench_operator", "--config", str(folder / "config.yaml"), "--kubeconfig", str(folder / "kubeconfig")]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        try:
            yield f"http://127.0.0.1:{metrics}/metrics"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(timeout=30)


def condition(body: Json, kind: str) -> tuple[str, str]:
    """Status and reason of a condition."""
    found = [
        (one["status"], one["reason"]) for one in body.get("status", {}).get("conditions", ()) if one["type"] == kind
    ]
    return found[0] if found else ("", "")


def apply(server: ApiServer, body: Json, namespace: str) -> None:
    metadata = {"name": body["metadata"]["name"], "namespace": namespace}
    server.ok("apply", "-f", "-", stdin={**body, "metadata": metadata})


@pytest.mark.parametrize("scope", ["namespaced", "cluster"])
def test_the_rights_of_the_chart_are_all_that_the_operator_asks_for(
    server: ApiServer, tmp_path: Path, scope: str
) -> None:
    release, work, elsewhere = (server.namespace(f"{scope}-{name}") for name in ("release", "work", "elsewhere"))
    done = helm(
        "upgrade", "--install", "isobench", str(CHART), "--namespace", release, "--no-hooks", "--take-ownership",
        "--set", f"scope={scope},workNamespaces={{{work}}}", kubeconfig=server.kubeconfig,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    apply(server, dataset(), work)
    with operator(server, tmp_path, release) as metrics:
        apply(server, commit(), work)
        apply(server, commit(), elsewhere)

        def jobs() -> list[Json]:
            return [
                job
                for job in server.get("jobs", "-n", work)["items"]
                if job["metadata"]["labels"]["isobench.dev/role"].startswith("prepare")
            ]

        until("the three first Jobs", lambda: len(jobs()) == 3, seconds=60)
        accepted = until(
            "Accepted", lambda: condition(server.get("commit", "speedup-1", "-n", work), "Accepted")[0], seconds=60
        )
        assert accepted == "True"
        if scope == "cluster":
            refused = until(
                "an answer elsewhere",
                lambda: condition(server.get("commit", "speedup-1", "-n", elsewhere), "Accepted")[1],
                seconds=60,
            )
            assert refused == "NamespaceNotPrepared"
        server.ok("patch", "commit", "speedup-1", "-n", work, "--type=merge", "-p", '{"spec": {"suspend": true}}')
        until("suspended Jobs", lambda: all(job["spec"].get("suspend") for job in jobs()), seconds=60)
        with urllib.request.urlopen(metrics, timeout=10) as answer:
            told = answer.read().decode()
        requests = [line for line in told.splitlines() if line.startswith("isobench_api_requests_total{")]
        assert any('resource="commits/status"' in line for line in requests)
        assert [line for line in requests if 'code="403"' in line] == []
        assert [line for line in told.splitlines() if line.startswith("isobench_reconcile_errors_total{")] == []
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert "forbidden" not in log.lower()
    assert "Traceback" not in log
