"""What `gc` and `logs` ask of a real API server, whose rights are those of whoever types."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from isobench_operator.cli import cli
from isobench_operator.core.naming import child_name
from isobench_operator.local.collecting import known_in_cluster
from isobench_operator.local.visitor import connect
from isobench_runner.garbage import Roots
from isobench_runner.transcript import log_name
from support.apiserver import ApiServer, running

pytestmark = [pytest.mark.apiserver, pytest.mark.slow, pytest.mark.xdist_group("apiserver")]
CRDS = Path(__file__).parents[3] / "crds"
SPEC = {
    "repository": {"url": "https://example.org/a/b.git"},
    "head": "1" * 40,
    "test": {"generate": {"models": [{"provider": "openai", "model": "m"}]}},
}


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server with our kinds, and a Commit in each of two namespaces."""
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        found.ok("apply", "--server-side", "-f", str(CRDS))
        end = time.monotonic() + 30
        while found.kubectl("get", "commits,datasets").returncode != 0:
            assert time.monotonic() < end, "the kinds are not served"
            time.sleep(0.2)
        for namespace, letter in (("bench", "a"), ("other", "b")):
            found.namespace(namespace)
            body = {
                "apiVersion": "isobench.dev/v1alpha1",
                "kind": "Commit",
                "metadata": {"name": "c", "namespace": namespace},
                "spec": SPEC,
            }
            found.ok("create", "-f", "-", stdin=body)
            status = {
                "artifacts": {"inputs": digest(letter)},
                "stages": [{"name": "prepare-head", "attempt": 2, "state": "Failed"}],
            }
            found.ok(
                "patch",
                "commit",
                "c",
                "-n",
                namespace,
                "--subresource=status",
                "--type=merge",
                "-p",
                json.dumps({"status": status}),
            )
        role = [
            "role",
            "reader",
            "-n",
            "bench",
            "--verb=get,list,create",
            "--resource=commits.isobench.dev,datasets.isobench.dev,pods",
        ]
        found.ok("create", *role)
        found.ok("create", "rolebinding", "reader", "-n", "bench", "--role=reader", "--user=nobody")
        yield found


def isobench(server: ApiServer, user: str, *arguments: Any) -> Result:
    where = ["-n", "bench", "--kubeconfig", str(server.kubeconfig_of(user))]
    return CliRunner().invoke(cli, [*(str(argument) for argument in arguments), *where])


def known(server: ApiServer) -> Roots:
    async def ask() -> Roots:
        async with connect(server.kubeconfig, None, "bench") as visitor:
            return await known_in_cluster(visitor, grace_seconds=86400.0)

    return asyncio.run(ask())


def test_what_every_namespace_refers_to_is_known(server: ApiServer) -> None:
    found = known(server)
    assert found.digests == {digest("a"), digest("b")}
    uids = [server.get("commit", "c", "-n", namespace)["metadata"]["uid"] for namespace in ("bench", "other")]
    logs = {
        log_name(child_name(owner="c", uid=uid, role="prepare-head", attempt=number))
        for uid in uids
        for number in (1, 2)
    }
    assert logs <= found.names


def test_rights_in_one_namespace_are_not_enough_to_delete_and_no_pod_is_made(server: ApiServer) -> None:
    done = isobench(server, "nobody", "gc", "--delete")
    words = "`gc` needs the right to list Commits and Datasets in all namespaces"
    assert (done.exit_code, words in done.stderr) == (2, True), done.output
    assert server.get("pods", "-n", "bench")["items"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none", "base"), "there is no Commit none in namespace bench"),
        (
            ("c", "build"),
            "it has prepare-base (Pending), prepare-head (Failed), prepare-main (Pending), generate (Pending)",
        ),
        (("c", "prepare-base"), "prepare-base of commit/c has not started; there are logs of prepare-head"),
    ],
)
def test_a_stage_that_has_no_log_is_said(server: ApiServer, arguments: tuple[str, ...], words: str) -> None:
    done = isobench(server, "nobody", "logs", *arguments)
    assert (done.exit_code, words in done.stderr) == (2, True), done.output


def test_a_pod_that_has_not_begun_has_no_log_yet(server: ApiServer) -> None:
    uid = server.get("commit", "c", "-n", "bench")["metadata"]["uid"]
    container = {
        "name": "report", "image": "i",
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }  # fmt: skip
    labels = {"batch.kubernetes.io/job-name": child_name(owner="c", uid=uid, role="base", attempt=1)}
    server.ok("create", "serviceaccount", "default", "-n", "bench")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "bench", "labels": labels},
        "spec": {"containers": [container]},
    }
    server.ok("create", "-f", "-", stdin=pod)
    try:
        done = isobench(server, "nobody", "logs", "c", "base")
        assert (done.exit_code, "base of commit/c has not started" in done.stderr) == (2, True), done.output
    finally:
        server.ok("delete", "pod", "p", "-n", "bench", "--force")
