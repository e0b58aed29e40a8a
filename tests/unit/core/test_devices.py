"""Measuring pods go where the GPU is enough and nobody shares it, whatever else the Commit asks of nodes."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from isobench_operator.api.commit import Requires
from isobench_operator.core import devices
from isobench_operator.core.plan import Observed, decide
from support.builders import NOW, SETTINGS, commit
from support.jobs import jobs_of

Json = dict[str, Any]
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def holds(expression: Json, labels: Json) -> bool:
    """As the scheduler reads a requirement."""
    key, values = expression["key"], expression["values"]
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Gt":
            return key in labels and int(labels[key]) > int(values[0])
    raise AssertionError(expression)


def fits(affinity: Json, labels: Json) -> bool:
    terms = affinity["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    return any(all(holds(one, labels) for one in term["matchExpressions"]) for term in terms)


def node(capability: str, memory: int, **more: str) -> Json:
    major, minor = capability.split(".")
    return {
        "nvidia.com/gpu.compute.major": major,
        "nvidia.com/gpu.compute.minor": minor,
        "nvidia.com/gpu.memory": str(memory),
        **more,
    }


@pytest.mark.parametrize(
    ("requires", "labels", "enough"),
    [
        ({}, {}, True),
        ({}, {"nvidia.com/gpu.sharing-strategy": "none"}, True),
        ({}, {"nvidia.com/gpu.sharing-strategy": "mps"}, False),
        ({}, {"nvidia.com/gpu.sharing-strategy": "time-slicing"}, False),
        ({"gpuMemoryGiB": 40}, node("8.0", 40 * 1024), True),
        ({"gpuMemoryGiB": 40}, node("8.0", 40 * 1024 - 1), False),
        ({"gpuMemoryGiB": 40}, {}, False),
        ({"gpuMemoryGiB": 40}, node("9.0", 81559, **{"nvidia.com/gpu.sharing-strategy": "mps"}), False),
    ],
)
def test_which_nodes_are_enough(requires: Json, labels: Json, enough: bool) -> None:
    assert fits(devices.with_devices({}, Requires.model_validate(requires)), labels) == enough


VERSIONS = ("7.5", "8.0", "8.6", "8.9", "9.0", "10.0", "12.1")


@pytest.mark.parametrize(("asked", "there"), list(itertools.product(VERSIONS, VERSIONS)))
def test_a_capability_is_enough_from_itself_on(asked: str, there: str) -> None:
    affinity = devices.with_devices({}, Requires(gpu_compute_capability=asked))
    enough = tuple(map(int, there.split("."))) >= tuple(map(int, asked.split(".")))
    assert fits(affinity, node(there, 80000)) == enough


def test_the_commits_own_affinity_holds_as_well() -> None:
    zones = [{"matchExpressions": [{"key": "zone", "operator": "In", "values": [zone]}]} for zone in "ab"]
    own = {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": zones}}, "podAntiAffinity": {"x": 1}}
    affinity = devices.with_devices(own, Requires(gpu_compute_capability="8.6"))
    assert affinity["podAntiAffinity"] == {"x": 1}
    assert fits(affinity, node("8.9", 1, zone="a"))
    assert fits(affinity, node("9.0", 1, zone="b"))
    assert not fits(affinity, node("9.0", 1, zone="c"))
    assert not fits(affinity, node("8.0", 1, zone="a"))


@pytest.mark.parametrize(
    ("limits", "there"), [({}, True), ({"nvidia.com/gpu": 0}, False), ({"nvidia.com/mig-1g.10gb": 1}, True)]
)
def test_a_measuring_pod_keeps_off_shared_gpus_where_it_has_one(limits: Json, there: bool) -> None:
    jobs = jobs_of(commit(spec={"pod": {"resources": {"limits": limits}}}))
    affinity = jobs["head"]["spec"]["template"]["spec"].get("affinity") or {}
    assert ("nodeAffinity" in affinity) == there
    assert "nodeAffinity" not in jobs["prepare-head"]["spec"]["template"]["spec"]["affinity"]


def test_requirements_without_a_gpu_are_refused() -> None:
    spec = {
        "environment": {"requires": {"gpuMemoryGiB": 40}},
        "pod": {"resources": {"limits": {"nvidia.com/gpu": 0}}},
    }
    plan = decide(Observed(owner=commit(spec=spec)), NOW, SETTINGS)
    assert plan.status is not None
    accepted = plan.status["conditions"][0]
    assert (accepted["status"], accepted["reason"]) == ("False", "SpecInvalid")
    assert "spec.environment.requires: 40 GiB of memory" in accepted["message"]
