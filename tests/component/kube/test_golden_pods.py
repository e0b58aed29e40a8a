"""A real API server takes every Job that we make, and every pod of it in a namespace under Pod Security `restricted`."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from isobench_operator.cluster.kube import Api, KubeCluster
from support import golden

Json = dict[str, Any]
FILES = golden.files()


@pytest.fixture
async def restricted(admin: Api, namespace: str) -> str:
    levels = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
    await admin.merge(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": levels}})
    return namespace


@pytest.fixture
async def priorities(admin: Api) -> None:
    for name in ("low", "isobench-jobs"):
        path = f"/apis/scheduling.k8s.io/v1/priorityclasses/{name}"
        await admin.apply(path, {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": 1})  # fmt: skip
    path = "/apis/node.k8s.io/v1/runtimeclasses/nvidia"
    await admin.apply(path, {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "nvidia"}, "handler": "nvidia"})  # fmt: skip


async def test_every_job_and_every_pod_of_one_is_taken(admin: Api, restricted: str, priorities: None) -> None:
    for name, text in FILES.items():
        job = yaml.safe_load(text)
        case = name.partition("/")[0]
        labels = job["metadata"]["labels"]
        job["metadata"] = {"name": f"{case}-{job['metadata']['name']}"[:63], "namespace": restricted, "labels": labels}
        made = await admin.post(f"/apis/batch/v1/namespaces/{restricted}/jobs", job)
        assert made["spec"]["podFailurePolicy"], name
        template = job["spec"]["template"]
        metadata = {**template["metadata"], "name": job["metadata"]["name"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        made = await admin.post(f"/api/v1/namespaces/{restricted}/pods", pod)
        assert made["status"]["qosClass"] == "Guaranteed", name
        assert all("serviceaccount" not in str(one.get("volumeMounts")) for one in made["spec"]["initContainers"]), name


async def test_a_job_gets_no_further_pod_after_it_was_stopped(admin: Api, cluster: KubeCluster, namespace: str) -> None:
    job = yaml.safe_load(FILES["plain/head.yaml"])
    job["metadata"] = {"name": "head", "namespace": namespace, "labels": job["metadata"]["labels"]}
    await cluster.create(job)
    await cluster.stop(namespace, "head")
    made = await admin.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/head")
    assert made["spec"]["backoffLimit"] == 0
    await cluster.stop(namespace, "never-made")
