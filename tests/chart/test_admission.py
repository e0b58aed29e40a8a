"""The admission policy on a real API server: it takes every pod that the operator makes, and none that breaks the contract."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from isobench_operator.core.plan import Observed, decide
from isobench_operator.core.visits import visit
from support.apiserver import ApiServer
from support.builders import NOW, SETTINGS, dataset, digest, generated, merge, prepared
from support.helm import CHART, helm
from support.kube import until

pytestmark = [pytest.mark.chart, pytest.mark.apiserver, pytest.mark.slow, pytest.mark.xdist_group("apiserver")]
Json = dict[str, Any]
WORK = "guarded"
VOLUMES = {"pod": {"volumes": [{"name": "weights", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "weights"}}], "shmSize": "8Gi"}}  # fmt: skip


def jobs() -> dict[str, Json]:
    """Every Job of a Commit with a generated test, and of a Dataset, by role."""
    roles = ("prepare-base", "prepare-head", "prepare-main", "generate", "base")
    measuring = {
        "stages": [{"name": name, "attempt": 1, "state": "Succeeded"} for name in roles],
        "revisions": [{"name": name, **{key: prepared(name)[key] for key in ("sha", "environment", "key")}} for name in ("base", "head", "main")],
        "artifacts": {"inputs": digest("inputs")},
        "test": {"digest": digest("test"), "origin": "generated"},
    }  # fmt: skip
    validating = merge(measuring, {"stages": measuring["stages"][:-1]})
    owner = generated(spec={**VOLUMES, "repository": {"credentialsSecretRef": {"name": "git"}}})
    done = {
        **owner,
        "status": {
            **measuring,
            "conditions": [{"type": "Finished", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    }
    plans = [
        *(decide(Observed(owner={**owner, "status": status}), NOW, SETTINGS) for status in ({}, validating, measuring)),
        decide(Observed(owner=dataset(), commits=(done,)), NOW, SETTINGS),
    ]
    return {job["metadata"]["labels"]["isobench.dev/role"]: job for plan in plans for job in plan.create}


JOBS = jobs()


def pod(role: str) -> Json:
    """The pod that the Job controller would make."""
    template = copy.deepcopy(JOBS[role]["spec"]["template"])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {**template["metadata"], "name": role, "namespace": WORK},
        "spec": template["spec"],
    }


def install(server: ApiServer, namespace: str, setting: str) -> None:
    done = helm(
        "upgrade", "--install", "isobench", str(CHART), "--namespace", namespace, "--no-hooks", "--take-ownership",
        "--set", setting, kubeconfig=server.kubeconfig,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def refused(server: ApiServer, body: Json, words: str) -> None:
    """A pod that the policy refuses, in these words; a policy that is new takes a second to hold.

    Raises:
        AssertionError: it was taken, or refused in other words.
    """
    found = until(
        f"a pod that is refused: {words}",
        lambda: server.kubectl("create", "--dry-run=server", "-f", "-", stdin=body).stderr,
        seconds=15,
    )
    assert words in found


@pytest.fixture(scope="module")
def guarded(server: ApiServer) -> ApiServer:
    server.namespace(WORK)
    server.namespace("guard")
    install(server, "guard", f"workNamespaces={{{WORK}}}")
    body = pod("head")
    body["spec"]["shareProcessNamespace"] = True
    refused(server, body, "share no process namespace")
    return server


def test_the_jobs_are_all_there() -> None:
    measuring = {"base", "head", "main"}
    assert set(JOBS) > {"prepare-base", "prepare-head", "prepare-main", "generate", *measuring}
    assert any(role.startswith("collect") for role in JOBS)


@pytest.mark.parametrize("role", sorted(JOBS))
def test_every_pod_of_the_operator_is_taken(guarded: ApiServer, role: str) -> None:
    guarded.ok("create", "--dry-run=server", "-f", "-", stdin=pod(role))


@pytest.mark.parametrize("write", [False, True])
def test_the_pod_by_which_people_look_into_the_store_is_taken(guarded: ApiServer, *, write: bool) -> None:
    guarded.ok(
        "create",
        "--dry-run=server",
        "-f",
        "-",
        stdin=visit(SETTINGS.pods, namespace=WORK, name="v", seconds=60, write=write),
    )


def measure(body: Json) -> Json:
    found: Json = next(one for one in body["spec"]["initContainers"] if one["name"] == "measure")
    return found


def mount(name: str, *, read_only: bool = True) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        measure(body)["volumeMounts"].append({"name": name, "mountPath": "/x", "readOnly": read_only})

    return change


def volume(**source: Any) -> Callable[[Json], None]:
    def change(body: Json) -> None:
        body["spec"]["volumes"].append({"name": "more", **source})
        mount("more")(body)

    return change


def unnamed(body: Json) -> None:
    """An untrusted container that the annotation does not name."""
    del body["metadata"]["annotations"]["isobench.dev/untrusted"]
    measure(body)["env"].append({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "openai"}}})


TOKEN = {"projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}
BREAKS: dict[str, tuple[Callable[[Json], object], str]] = {
    "the token of its account": (lambda body: body["spec"].update(automountServiceAccountToken=True), "has no service account token"),
    "a token by a volume": (volume(**TOKEN), "has no service account token"),
    "another account": (lambda body: body["spec"].update(serviceAccountName="isobench-collect"), "runs as isobench-run"),
    "a key as a variable": (
        lambda body: measure(body)["env"].append({"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "openai"}}}),
        "has no variable from a Secret",
    ),
    "a Secret as variables": (lambda body: measure(body).update(envFrom=[{"secretRef": {"name": "keys"}}]), "has no variable from a Secret"),
    "a Secret as files": (volume(secret={"secretName": "keys"}), "mounts no Secret"),
    "a Secret projected": (volume(projected={"sources": [{"secret": {"name": "keys"}}]}), "mounts no Secret"),
    "the store": (mount("store"), "does not mount the artifact store"),
    "the store under another name": (volume(persistentVolumeClaim={"claimName": "isobench-store"}), "does not mount the artifact store"),
    "a claim to write": (lambda body: measure(body)["volumeMounts"].append({"name": "user-weights", "mountPath": "/w"}), "mounts claims read-only"),
    "a place beside report": (
        lambda body: body["spec"]["containers"].append({**measure(body), "name": "late"}), "runs in init containers alone",
    ),
    "a writable root": (lambda body: measure(body)["securityContext"].update(readOnlyRootFilesystem=False), "has a read-only root"),
    "the uid of trusted containers": (lambda body: measure(body)["securityContext"].update(runAsUser=10002), "run as 10001"),
    "trusted code under its own uid": (
        lambda body: body["spec"]["containers"][0]["securityContext"].update(runAsUser=10001), "run as 10001",
    ),
    "memory without end": (lambda body: measure(body).pop("resources"), "has a memory limit"),
    "the network of generation": (
        lambda body: body["metadata"]["labels"].update({"isobench.dev/network": "generate"}),
        "under the network policy of builds or of measurements",
    ),
    "the processes of others": (lambda body: body["spec"].update(shareProcessNamespace=True), "share no process namespace"),
    "a key though it is not named": (unnamed, "has no variable from a Secret"),
}  # fmt: skip


@pytest.mark.parametrize("wanted", sorted(BREAKS))
def test_an_untrusted_container_does_not_get(guarded: ApiServer, wanted: str) -> None:
    change, words = BREAKS[wanted]
    body = pod("head")
    change(body)
    refused(guarded, body, words)


def test_a_pod_under_our_account_is_ours_without_a_label(guarded: ApiServer) -> None:
    body = pod("head")
    body["metadata"] = {"name": "bare", "namespace": WORK}
    body["spec"]["automountServiceAccountToken"] = True
    refused(guarded, body, "has no service account token")


def test_pods_of_others_are_none_of_its_business(guarded: ApiServer) -> None:
    guarded.ok("create", "serviceaccount", "theirs", "-n", WORK)
    body = pod("head")
    body["metadata"] = {"name": "theirs", "namespace": WORK}
    body["spec"]["serviceAccountName"] = "theirs"
    body["spec"]["shareProcessNamespace"] = True
    guarded.ok("create", "--dry-run=server", "-f", "-", stdin=body)


def test_a_user_namespace_is_demanded_where_the_values_ask_for_it(guarded: ApiServer) -> None:
    guarded.namespace("own-users")
    install(guarded, "own-users", "jobs.hostUsers=false")
    body = pod("head")
    body["metadata"]["namespace"] = "own-users"
    refused(guarded, body, "have a user namespace of their own")
    body["spec"]["hostUsers"] = False
    guarded.ok("create", "--dry-run=server", "-f", "-", stdin=body)
