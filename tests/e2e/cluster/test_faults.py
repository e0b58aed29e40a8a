"""What dies is started again and does the same thing: nothing is lost, nothing is run twice, and no number is wrong."""

from __future__ import annotations

import contextlib

import pytest

from cluster import Cluster
from support.kube import condition, is_true, told, until

from .lab import BUDGET, Lab
from .operator import Operator
from .servers import ModelServer
from .test_main_job import generate


def assert_once_each(lab: Lab, name: str, *roles: str) -> None:
    counts = lab.roles_run(name)
    assert counts == dict.fromkeys(roles, 1), counts


def test_an_operator_killed_at_every_stage_loses_nothing_and_runs_nothing_twice(
    lab: Lab, operator: Operator, model: ModelServer
) -> None:
    lab.commit(
        "killed",
        script=None,
        test=generate(model, name="kill-writer"),
        measurement={"budgetSeconds": BUDGET, "minimumEffectPercent": "10"},
    )
    for role in ("prepare-head", "generate", "base", "head"):
        lab.running("killed", role, ended=True)  # what has room at once is over before what waits for room begins
        operator.kill()
    lab.ended_as("killed", "Faster", seconds=500)
    roles = ["prepare-base", "prepare-head", "generate", "base", "head"]
    assert_once_each(lab, "killed", *roles, *(role for role in lab.roles_run("killed") if role == "prepare-main"))


@pytest.mark.everything
def test_two_operators_at_once_do_the_work_of_one(lab: Lab, operator: Operator) -> None:
    with operator.scaled(2):
        lab.commit("twice")
        lab.ended_as("twice", "Faster")
        assert_once_each(lab, "twice", "prepare-base", "prepare-head", "base", "head")
        finished = [event for event in lab.kube.events_of("twice", lab.namespace) if event["reason"] == "Faster"]
        assert len(finished) == 1, finished
        assert finished[0].get("count", 1) <= 2


def test_a_pod_deleted_while_measuring_is_measured_again_from_the_start(lab: Lab) -> None:
    lab.commit("deleted")
    pod = lab.running("deleted", "head", container="measure")
    lab.kube.kubectl("delete", "pod", "-n", lab.namespace, pod["metadata"]["name"], "--grace-period=0", "--force")
    body = lab.ended_as("deleted", "Faster")
    assert_once_each(lab, "deleted", "prepare-base", "prepare-head", "base", "head")
    result = next(one for one in body["status"]["revisions"] if one["name"] == "head")
    assert int(result["samples"]) > 0


def test_a_deleted_commit_takes_its_jobs_with_it(lab: Lab) -> None:
    lab.commit("gone")
    lab.running("gone", "base")
    lab.kube.kubectl("delete", "commit", "gone", "-n", lab.namespace)
    until("no Job is left", lambda: not lab.kube.jobs_of("gone", lab.namespace))
    until("no pod is left", lambda: not lab.kube.pods_of("gone", lab.namespace))


@pytest.mark.everything
def test_a_suspended_commit_stands_still_and_goes_on(lab: Lab) -> None:
    lab.commit("paused")
    lab.running("paused", "base")
    lab.kube.kubectl(
        "patch", "commit", "paused", "-n", lab.namespace, "--type=merge", "-p", '{"spec":{"suspend":true}}'
    )
    lab.when("paused", "Suspended", lambda body: condition(body, "Succeeded").get("reason") == "Suspended")
    until(
        "its pods are gone",
        lambda: (
            not [
                pod
                for pod in lab.kube.pods_of("paused", lab.namespace, role="base")
                if pod["status"]["phase"] == "Running"
            ]
        ),
    )
    lab.kube.kubectl(
        "patch", "commit", "paused", "-n", lab.namespace, "--type=merge", "-p", '{"spec":{"suspend":false}}'
    )
    lab.ended_as("paused", "Faster")


@pytest.mark.everything
@pytest.mark.parametrize("component", ["apiserver", "etcd", "kubelet"])
def test_a_control_plane_that_restarts_loses_nothing(lab: Lab, node: Cluster, component: str) -> None:
    name = f"restart-{component}"
    lab.commit(name)
    lab.running(name, "base")
    node.restart(component)
    lab.ended_as(name, "Faster", seconds=400)
    assert_once_each(lab, name, "prepare-base", "prepare-head", "base", "head")


@pytest.mark.everything
def test_a_model_server_that_is_down_for_a_while_is_waited_for(lab: Lab, model: ModelServer) -> None:
    model.stop()
    try:
        lab.commit("llm-down", script=None, test=generate(model, name="down-writer"))
        lab.when(
            "llm-down",
            "an attempt has failed",
            lambda body: any(
                (job.get("status") or {}).get("failed") for job in lab.kube.jobs_of("llm-down", lab.namespace)
            ),
            seconds=300,
        )
    finally:
        model.start()
    lab.ended_as("llm-down", "Faster", seconds=500)


@pytest.mark.everything
def test_a_gpu_that_goes_sick_while_measuring_is_told_and_tried_again(lab: Lab, node: Cluster) -> None:
    lab.commit("sick")
    lab.running("sick", "base", container="measure")
    with contextlib.ExitStack() as stack:
        stack.callback(node.gpus, count=2, sick=0)
        node.gpus(count=2, sick=2)
        pod = lab.running("sick", "base")
        lab.kube.kubectl("delete", "pod", "-n", lab.namespace, pod["metadata"]["name"], "--grace-period=0", "--force")
        lab.when(
            "sick",
            "it waits for a GPU, in words",
            lambda body: condition(body, "Succeeded").get("reason") == "Unschedulable",
            seconds=60,
        )
    body = lab.ended_as("sick", "Faster", seconds=300)
    assert is_true(body, "Measured"), told(body)
