"""What cannot run says so: within half a minute, in words that name the field or the thing that is missing, and nothing is started for it."""

from __future__ import annotations

import time

import pytest
import yaml

from support.kube import condition, is_true, told, until

from .helm import Helm
from .lab import BUDGET, IMAGE, Lab, helm_values
from .operator import Operator
from .servers import ModelServer
from .test_main_job import generate

SOON = 60.0
"""Half a minute is the promise for the condition; the rest is for scheduling the pod in the first place."""


def waits_as(lab: Lab, name: str, reason: str, words: str) -> None:
    def says(found: dict) -> bool:
        said = condition(found, "Succeeded")
        return said.get("status") == "Unknown" and said.get("reason") == reason and words in said["message"]

    lab.when(name, f"it says {reason}: {words}", says, seconds=SOON)


def test_a_namespace_that_is_not_prepared_is_named(lab: Lab) -> None:
    lab.kube.kubectl("create", "namespace", "elsewhere", check=False)
    lab.kube.apply(*lab.documents("stray"), namespace="elsewhere")
    body = until(
        "it is refused",
        lambda: (found := lab.kube.get("Commit", "stray", "elsewhere")) and is_true(found, "Finished") and found,
    )
    accepted = condition(body, "Accepted")
    assert (accepted["status"], accepted["reason"]) == ("False", "NamespaceNotPrepared")
    assert "elsewhere" in accepted["message"]
    assert not lab.kube.jobs_of("stray", "elsewhere")


def test_a_secret_that_is_missing_is_named(lab: Lab, model: ModelServer) -> None:
    test = generate(model, name="never-asked")
    test["generate"]["models"][0]["secretKeyRef"] = {"name": "never-made", "key": "key"}
    lab.commit("no-secret", script=None, test=test)
    body = lab.ended_as("no-secret", "MissingInput")
    assert "never-made" in condition(body, "Succeeded")["message"], told(body)


def test_an_image_that_does_not_exist_is_told_while_it_waits(lab: Lab) -> None:
    lab.commit(
        "no-image",
        environment={"image": "localhost/not-there:1", "inherit": "none", "package": "tinywork", "path": ["."]},
    )
    waits_as(lab, "no-image", "ImagePull", "localhost/not-there:1")
    lab.kube.kubectl("delete", "commit", "no-image", "-n", lab.namespace)


def test_too_few_gpus_are_told_while_it_waits(lab: Lab) -> None:
    lab.commit("greedy", pod={"resources": {"limits": {"nvidia.com/gpu": "64"}}})
    until("it comes to measuring", lambda: "base" in lab.roles_run("greedy"))
    waits_as(lab, "greedy", "Unschedulable", "nvidia.com/gpu")
    lab.kube.kubectl("delete", "commit", "greedy", "-n", lab.namespace)


@pytest.mark.everything
def test_a_node_without_user_namespaces_is_told_where_they_are_asked_for(
    lab: Lab, helm: Helm, operator: Operator
) -> None:
    """Which kernels and file systems have them differs: either the Commit ends well, or its condition says what the node cannot do."""
    jobs = yaml.safe_load(helm_values())["jobs"]
    helm.upgrade({"jobs": {**jobs, "hostUsers": False}})
    try:
        operator.ready()
        lab.commit("userns")
        body = lab.when(
            "userns",
            "it ends well, or says Sandbox",
            lambda found: is_true(found, "Succeeded") or condition(found, "Succeeded").get("reason") == "Sandbox",
        )
        assert condition(body, "Succeeded")["message"], told(body)
        lab.kube.kubectl("delete", "commit", "userns", "-n", lab.namespace)
    finally:
        helm.upgrade()
        operator.ready()


def test_a_quota_that_is_reached_is_told_and_waited_for(lab: Lab) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "tight"},
        "spec": {"hard": {"pods": "0"}},
    }
    lab.kube.apply(quota, namespace=lab.namespace)
    try:
        lab.commit("over-quota")
        waits_as(lab, "over-quota", "Quota", "exceeded quota")
    finally:
        lab.kube.kubectl("delete", "resourcequota", "tight", "-n", lab.namespace)
    lab.ended_as("over-quota", "Faster", seconds=500)


@pytest.mark.everything
def test_a_main_that_cannot_be_built_costs_only_itself(lab: Lab) -> None:
    install = ['case "$ISOBENCH_SHA" in MAIN*) exit 7;; esac'.replace("MAIN", lab.main[:10])]
    lab.commit(
        "broken-main",
        main="next",
        environment={"image": IMAGE, "inherit": "none", "package": "tinywork", "path": ["."], "install": install},
        measurement={"budgetSeconds": BUDGET, "minimumEffectPercent": "10"},
    )
    body = lab.ended_as("broken-main", "Faster", seconds=400)
    main = next(one for one in body["status"]["revisions"] if one["name"] == "main")
    assert main["reason"] == "InstallFailed", told(body)


def test_a_main_whose_build_is_killed_whole_costs_only_itself(lab: Lab) -> None:
    eat = 'case "$ISOBENCH_SHA" in MAIN*) python3 -c "x = [bytearray(1 << 20) for _ in range(1 << 16)]";; esac'
    environment = {
        "image": IMAGE, "inherit": "none", "package": "tinywork", "path": ["."],
        "install": [eat.replace("MAIN", lab.main[:10])], "resources": {"limits": {"memory": "512Mi"}},
    }  # fmt: skip
    lab.commit(
        "killed-main",
        main="next",
        environment=environment,
        measurement={"budgetSeconds": BUDGET, "minimumEffectPercent": "10"},
    )
    body = lab.ended_as("killed-main", "Faster", seconds=500)
    main = next(one for one in body["status"]["revisions"] if one["name"] == "main")
    assert main["reason"] in ("OutOfMemory", "InstallFailed"), told(body)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"head": "abc"}, "spec.head"),
        ({"test": {}}, "exactly one"),
        ({"measurement": {"budgetSeconds": -1}}, "spec.measurement.budgetSeconds"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_the_api_server_refuses_what_is_wrong_and_names_the_field(lab: Lab, change: dict, words: str) -> None:
    documents = lab.documents("invalid", **change)
    printed = lab.kube.apply(*documents, namespace=lab.namespace, check=False)
    assert words in printed, printed
    assert lab.get("invalid") is None


def test_a_spec_is_immutable_once_accepted(lab: Lab) -> None:
    lab.commit("fixed", suspend=True)
    lab.when("fixed", "Accepted", lambda body: is_true(body, "Accepted"))
    patch = '{"spec":{"measurement":{"budgetSeconds":7}}}'
    printed = lab.kube.kubectl(
        "patch", "commit", "fixed", "-n", lab.namespace, "--type=merge", "-p", patch, check=False
    )
    assert "immutable" in printed, printed
    lab.kube.kubectl("delete", "commit", "fixed", "-n", lab.namespace)


@pytest.mark.everything
def test_what_failed_is_tried_again_by_annotation(lab: Lab, model: ModelServer) -> None:
    test = generate(model, name="late-writer")
    test["generate"]["models"][0]["secretKeyRef"] = {"name": "late-key", "key": "key"}
    lab.commit("again", script=None, test=test)
    lab.ended_as("again", "MissingInput")
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late-key"}, "stringData": {"key": "sk-1"}}
    lab.kube.apply(secret, namespace=lab.namespace)
    lab.kube.kubectl("annotate", "commit", "again", "-n", lab.namespace, "isobench.dev/retry=1")
    started = time.monotonic()
    body = lab.when("again", "it succeeds after the retry", lambda found: is_true(found, "Succeeded"), seconds=400)
    assert time.monotonic() - started > 1
    assert body["status"]["observedRetry"] == "1"
