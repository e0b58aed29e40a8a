"""The chart on a real API server: taken whole, kept over upgrades, and its rights as the server grants them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from support.apiserver import ApiServer
from support.helm import CHART, helm, render

pytestmark = [pytest.mark.chart, pytest.mark.apiserver, pytest.mark.slow, pytest.mark.xdist_group("apiserver")]
Json = dict[str, Any]
PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def upgrade(server: ApiServer, namespace: str, values: Json, *more: str) -> str:
    """`helm upgrade --install` without hooks, for there is no kubelet here; the definitions, kept from test to test, change hands."""
    path = server.kubeconfig.with_name(f"{namespace}.json")
    path.write_text(json.dumps(values), encoding="utf-8")
    done = helm(
        "upgrade", "--install", "isobench", str(CHART), "--namespace", namespace, "--no-hooks", "--take-ownership", "--values", str(path), *more,
        kubeconfig=server.kubeconfig,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="defaults"),
        pytest.param(
            {
                "scope": "cluster",
                "workNamespaces": ["made-a", "made-b"],
                "createWorkNamespaces": True,
                "commonLabels": {"team": "bench"},
                "priorityClasses": {"create": True},
                "caBundle": {"pem": PEM},
                "operator": {"podDisruptionBudget": {"enabled": True}, "nodeSelector": {"disk": "fast"}, "tolerations": [{"operator": "Exists"}]},
                "jobs": {"hostUsers": False},
                "metrics": {"dashboard": {"enabled": True}},
            },
            id="everything",
        ),
        pytest.param({"artifacts": {"url": "s3://bucket/a"}, "networkPolicy": {"clusterRanges": ["203.0.113.0/24", "2001:db8::/32"]}}, id="object store"),
        pytest.param({"artifacts": {"accessMode": "ReadWriteOnce", "storageClass": "fast"}, "crds": {"keep": False}}, id="one host"),
    ],
)  # fmt: skip
def test_the_server_takes_every_object(server: ApiServer, values: Json, request: pytest.FixtureRequest) -> None:
    namespace = server.namespace(f"takes-{request.node.callspec.id.replace(' ', '-')}")
    upgrade(server, namespace, values)
    hooks = [one for one in render(values) if "helm.sh/hook" in one["metadata"].get("annotations", {})]
    for one in hooks:
        place = one["metadata"]["namespace"]
        one["metadata"]["namespace"] = namespace if place == "isobench" else place
    done = server.kubectl("apply", "-f", "-", stdin=hooks)
    assert done.returncode == 0, done.stderr
    assert "would violate PodSecurity" not in done.stderr
    uninstalled = helm("uninstall", "isobench", "--namespace", namespace, "--no-hooks", kubeconfig=server.kubeconfig)
    assert uninstalled.returncode == 0, uninstalled.stderr


def test_pods_of_the_chart_are_no_violation_of_restricted(server: ApiServer) -> None:
    namespace = server.namespace("warns")
    objects = [one for one in render() if one["kind"] in {"Deployment", "Job"}]
    for one in objects:
        one["metadata"]["namespace"] = namespace
    done = server.kubectl("apply", "--dry-run=server", "-f", "-", stdin=objects)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_uninstalling_keeps_data_and_the_key_and_installing_again_finds_them(server: ApiServer) -> None:
    namespace = server.namespace("keeps")

    def key() -> bytes:
        return base64.b64decode(server.get("secret", "isobench-nonce", "-n", namespace)["data"]["key"])

    upgrade(server, namespace, {})
    first = key()
    assert len(first) >= 32
    upgrade(server, namespace, {"jobs": {"gpus": 2}})
    assert key() == first
    done = helm("uninstall", "isobench", "--namespace", namespace, "--no-hooks", kubeconfig=server.kubeconfig)
    assert done.returncode == 0, done.stderr
    assert server.get("pvc", "isobench-store", "-n", namespace)
    assert server.get("crd", "commits.isobench.dev")["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert server.kubectl("get", "deployment", "isobench-operator", "-n", namespace).returncode != 0
    assert key() == first
    upgrade(server, namespace, {})
    assert key() == first


def test_notes_say_what_to_do_next_and_what_the_store_means(server: ApiServer) -> None:
    namespace = server.namespace("notes")
    said = upgrade(server, namespace, {})
    assert f"kubectl get commits -n {namespace} -w" in said
    assert f"helm test isobench -n {namespace}" in said
    assert "ReadWriteMany: pods go to any node" in said
    assert f"kubectl label namespace {namespace} pod-security.kubernetes.io/enforce=restricted" in said
    one_host = {"artifacts": {"accessMode": "ReadWriteOnce"}, "networkPolicy": {"enabled": False}}
    said = upgrade(server, namespace, one_host, "--dry-run=server")
    assert "all pods of a namespace are held to one" in said
    assert "networkPolicy.enabled is false" in said


@pytest.fixture(scope="module")
def installed(server: ApiServer) -> str:
    """A release that works in a namespace of its own beside the release's."""
    namespace = server.namespace("release")
    server.namespace("work")
    server.namespace("elsewhere")
    upgrade(server, namespace, {"workNamespaces": ["work"]})
    return namespace


@pytest.mark.parametrize(
    ("account", "asked", "answer"),
    [
        ("operator", "create jobs -n work", "yes"),
        ("operator", "patch commits --subresource=status -n work", "yes"),
        ("operator", "patch commits -n work", "no"),
        ("operator", "create pods -n work", "no"),
        ("operator", "delete pods -n work", "no"),
        ("operator", "get pods --subresource=log -n work", "no"),
        ("operator", "get secrets -n work", "no"),
        ("operator", "get secrets", "no"),
        ("operator", "create jobs -n elsewhere", "no"),
        ("operator", "list commits -n elsewhere", "no"),
        ("operator", "create rolebindings -n work", "no"),
        ("run", "get commits -n work", "no"),
        ("run", "list pods -n work", "no"),
        ("collect", "list commits -n work", "yes"),
        ("collect", "patch commits --subresource=status -n work", "no"),
        ("collect", "list commits -n elsewhere", "no"),
        ("collect", "list datasets -n work", "no"),
    ],
)
def test_the_server_grants_what_the_roles_say(
    server: ApiServer, installed: str, account: str, asked: str, answer: str
) -> None:
    place = installed if account == "operator" else "work"
    who = f"system:serviceaccount:{place}:isobench-{account}"
    namespace = [] if " -n " in asked else ["-n", installed]
    assert server.kubectl("auth", "can-i", *asked.split(), *namespace, "--as", who).stdout.strip() == answer


def run_script(
    server: ApiServer, folder: Path, script: str, token: str, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A script of a hook pod, with the token that the pod would have."""
    (folder / "token").write_text(token, encoding="utf-8")
    (folder / "ca.crt").write_bytes(server.ca.read_bytes())
    text = (CHART / "files" / script).read_text(encoding="utf-8")
    text = text.replace("/var/run/secrets/kubernetes.io/serviceaccount", str(folder))
    address = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(server.port)}
    return subprocess.run(
        [sys.executable, "-c", text], check=False, capture_output=True, text=True, timeout=60, env={**os.environ, **address, **environment}
    )  # fmt: skip


def test_the_default_dataset_is_made_once_and_never_changed(server: ApiServer, tmp_path: Path) -> None:
    namespace = server.namespace("default-dataset")
    upgrade(server, namespace, {})
    server.ok("apply", "-f", "-", stdin=[
        {**one, "metadata": {**one["metadata"], "namespace": namespace}, **({"subjects": [{**one["subjects"][0], "namespace": namespace}]} if "subjects" in one else {})}
        for one in render() if one["metadata"]["name"] == "isobench-default-dataset" and one["kind"] != "Job"
    ])  # fmt: skip
    token = server.ok("create", "token", "isobench-default-dataset", "-n", namespace)
    job = next(one for one in render() if one["kind"] == "Job")
    env = {one["name"]: one["value"] for one in job["spec"]["template"]["spec"]["containers"][0]["env"]}
    env["NAMESPACES"] = namespace
    done = run_script(server, tmp_path, "default_dataset.py", token, **env)
    assert (done.returncode, done.stdout) == (0, f"made {namespace}/all\n"), done.stderr
    made = server.get("dataset", "all", "-n", namespace)
    assert made["spec"]["source"] == {"commits": {}}
    done = run_script(server, tmp_path, "default_dataset.py", token, **env)
    assert (done.returncode, done.stdout) == (0, f"{namespace}/all is there already\n"), done.stderr
    assert (
        server.get("dataset", "all", "-n", namespace)["metadata"]["resourceVersion"]
        == made["metadata"]["resourceVersion"]
    )
    wrong = json.dumps({**json.loads(env["DATASET"]), "metadata": {"name": "other"}, "spec": {"formats": ["csv"]}})
    done = run_script(server, tmp_path, "default_dataset.py", token, **{**env, "DATASET": wrong})
    assert done.returncode == 1
    assert "defaultDataset.spec is refused" in done.stderr


class FakeOperator(BaseHTTPRequestHandler):
    """Answers as the operator does on both of its ports."""

    def do_GET(self) -> None:
        body = {"/healthz": b"{}", "/metrics": b'isobench_build_info{version="0.1.0"} 1.0\n'}.get(self.path)
        self.send_response(404 if body is None else 200)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *arguments: object) -> None:
        """Silent."""


def test_helm_test_sees_whether_everything_answers(server: ApiServer, tmp_path: Path) -> None:
    namespace = server.namespace("serving")
    upgrade(server, namespace, {})
    server.ok("create", "serviceaccount", "isobench-test", "-n", namespace)
    token = server.ok("create", "token", "isobench-test", "-n", namespace)
    with ThreadingHTTPServer(("127.0.0.1", 0), FakeOperator) as operator:
        threading.Thread(target=operator.serve_forever, daemon=True).start()
        port = str(operator.server_address[1])
        service = {"ISOBENCH_OPERATOR_SERVICE_HOST": "127.0.0.1", "METRICS_PORT": "9090"}
        ports = {"ISOBENCH_OPERATOR_SERVICE_PORT_HEALTH": port, "ISOBENCH_OPERATOR_SERVICE_PORT_METRICS": port}
        done = run_script(server, tmp_path, "serving.py", token, **service, **ports)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == [
            "the API server serves commits, datasets", "the operator is healthy", 'isobench_build_info{version="0.1.0"} 1.0',
        ]  # fmt: skip
        operator.shutdown()
    done = run_script(server, tmp_path, "serving.py", token, **service, **ports)
    assert done.returncode == 1
    assert done.stderr.startswith(f"http://127.0.0.1:{port}/healthz did not answer")
    assert "Traceback" not in done.stderr
