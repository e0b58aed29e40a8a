"""The API server refuses with our words what cannot be run, and keeps an accepted spec as it is."""

from __future__ import annotations

from typing import Any

import pytest

from isobench_operator.cluster.kube import Api, KubeCluster
from isobench_operator.cluster.ports import ClusterError, key_of
from support.builders import commit, dataset, generated
from support.operators import OURS

Json = dict[str, Any]


async def post(admin: Api, namespace: str, found: Json) -> Json:
    found = {**found, "metadata": {"name": found["metadata"]["name"], "namespace": namespace}}
    return await admin.post(f"{OURS}/namespaces/{namespace}/{found['kind'].lower()}s", found)


async def test_complete_manifests_are_taken(admin: Api, namespace: str) -> None:
    for found in (commit("a"), generated("b"), dataset("c")):
        made = await post(admin, namespace, found)
        assert made["spec"].items() >= {}.items()
        assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"head": "HEAD"}, "spec.head"),
        ({"test": {"generate": {"models": [{"provider": "openai", "model": "m"}]}}}, "exactly one of"),
        ({"measurement": {"budgetSeconds": -1}}, "spec.measurement.budgetSeconds"),
        ({"pod": {"resources": {"limits": {"cpu": "3500m"}}}}, "whole CPUs"),
        ({"pod": {"resources": {"requests": {"cpu": "0.5"}}}}, "whole CPUs"),
        ({"pod": {"resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "2Gi"}}}}, "Guaranteed"),
        (
            {"environment": {"requires": {"gpuComputeCapability": "9"}}},
            "spec.environment.requires.gpuComputeCapability",
        ),
        ({"environment": {"requires": {"gpuMemoryGiB": 0}}}, "spec.environment.requires.gpuMemoryGiB"),
    ],
)
async def test_a_spec_that_cannot_be_run_is_refused(admin: Api, namespace: str, spec: Json, words: str) -> None:
    with pytest.raises(ClusterError) as caught:
        await post(admin, namespace, commit("a", spec=spec))
    assert words in str(caught.value)


async def test_whole_cpus_and_what_is_required_of_a_gpu_are_taken(admin: Api, namespace: str) -> None:
    amounts = {"cpu": 4, "memory": "2Gi", "nvidia.com/gpu": "1"}
    resources = {"limits": amounts, "requests": {**amounts, "cpu": "4"}}
    requires = {"gpuComputeCapability": "9.0", "gpuMemoryGiB": 40}
    spec = {"pod": {"resources": resources}, "environment": {"requires": requires}}
    made = await post(admin, namespace, commit("a", spec=spec))
    assert made["spec"]["environment"]["requires"] == requires


async def test_an_accepted_spec_cannot_change_but_for_what_may(
    admin: Api, cluster: KubeCluster, namespace: str
) -> None:
    owner = await post(admin, namespace, commit("a"))
    path = f"{OURS}/namespaces/{namespace}/commits/a"
    changed = await admin.merge(path, {"spec": {"head": "d" * 40}})
    accepted = {"type": "Accepted", "status": "True", "reason": "Accepted", "lastTransitionTime": "2026-01-02T03:04:05Z"}  # fmt: skip
    await cluster.apply_status(changed, {"conditions": [accepted]})
    with pytest.raises(ClusterError, match="once the Commit is accepted"):
        await admin.merge(path, {"spec": {"head": "e" * 40}})
    await admin.merge(path, {"spec": {"suspend": True}})
    found = await cluster.get(key_of(owner))
    assert found is not None
    assert (found["spec"]["head"], found["spec"]["suspend"]) == ("d" * 40, True)
