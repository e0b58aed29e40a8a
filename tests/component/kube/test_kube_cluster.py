"""The Cluster protocol on a real API server: each effect, and each refusal as what it is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from isobench_operator.cluster.kube import Api, KubeCluster, Login
from isobench_operator.cluster.kube import cluster as module
from isobench_operator.cluster.ports import ClusterError, Event, HeldBack, Key, Outdated, Rejected, key_of
from isobench_operator.control.reconciler import Reconciler
from support.apiserver import ApiServer
from support.builders import SETTINGS, commit
from support.operators import OURS

Json = dict[str, Any]


def body(name: str, namespace: str, **spec: Any) -> Json:
    """A Commit as a user writes it."""
    found = commit(name, spec=spec)
    return {**found, "metadata": {"name": name, "namespace": namespace}}


async def applied(admin: Api, namespace: str, name: str = "c", **spec: Any) -> Json:
    """A Commit that the API server holds."""
    return await admin.post(f"{OURS}/namespaces/{namespace}/commits", body(name, namespace, **spec))


def job(namespace: str, name: str = "j", **labels: str) -> Json:
    """A small Job."""
    pod = {"restartPolicy": "Never", "containers": [{"name": "report", "image": "i"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": namespace, "labels": {"isobench.dev/commit-uid": "u", **labels}},
        "spec": {"template": {"spec": pod}},
    }


async def test_a_custom_resource_is_read_and_one_that_is_gone_is_none(
    admin: Api, cluster: KubeCluster, namespace: str
) -> None:
    owner = await applied(admin, namespace)
    found = await cluster.get(key_of(owner))
    assert found is not None
    assert (found["kind"], found["spec"]["head"]) == ("Commit", "a" * 40)
    assert "managedFields" not in found["metadata"]
    assert await cluster.get(Key("Commit", namespace, "other")) is None
    assert await cluster.get(Key("Dataset", namespace, "c")) is None


async def test_lists_come_in_pages_and_hold_each_object_once(
    admin: Api, cluster: KubeCluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        await applied(admin, namespace, f"c{number}")
    monkeypatch.setattr(module, "PAGE", 2)
    pages = [page async for page in cluster.pages("Commit", namespace)]
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one["metadata"]["name"] for page in pages for one in page] == [f"c{number}" for number in range(5)]
    assert {one["kind"] for page in pages for one in page} == {"Commit"}


async def test_creating_twice_is_creating_once_and_children_are_found_by_label(
    cluster: KubeCluster, namespace: str
) -> None:
    for _ in range(2):
        await cluster.create(job(namespace))
    await cluster.create(job(namespace, "other", **{"isobench.dev/commit-uid": "v"}))
    children = await cluster.children({"metadata": {"uid": "u", "namespace": namespace}})
    assert [one["metadata"]["name"] for one in children.jobs] == ["j"]
    assert children.pods == ()


async def test_jobs_are_suspended_resumed_and_deleted_with_their_pods_and_gone_ones_are_left_alone(
    admin: Api, cluster: KubeCluster, namespace: str
) -> None:
    path = f"/apis/batch/v1/namespaces/{namespace}/jobs/j"
    await cluster.create(job(namespace))
    for suspend in (True, False):
        await cluster.suspend(job(namespace), suspend=suspend)
        assert (await admin.get(path))["spec"]["suspend"] is suspend
    for _ in range(2):
        await cluster.delete("Job", namespace, "j")
    assert (await cluster.children({"metadata": {"uid": "u", "namespace": namespace}})).jobs == ()
    await cluster.suspend(job(namespace), suspend=True)


async def test_a_status_is_written_whole(admin: Api, cluster: KubeCluster, namespace: str) -> None:
    owner = await applied(admin, namespace)
    condition = {"type": "Accepted", "status": "True", "reason": "Accepted", "message": "", "lastTransitionTime": "2026-01-02T03:04:05Z"}  # fmt: skip
    await cluster.apply_status(owner, {"observedGeneration": 1, "conditions": [condition]})
    found = await cluster.get(key_of(owner))
    assert found is not None
    assert found["status"] == {"observedGeneration": 1, "conditions": [condition]}
    await cluster.apply_status(found, {"observedGeneration": 2})
    again = await cluster.get(key_of(owner))
    assert again is not None
    assert again["status"] == {"observedGeneration": 2}
    assert again["spec"] == owner["spec"]


async def test_a_status_reaches_only_the_object_that_it_was_decided_for(
    admin: Api, cluster: KubeCluster, namespace: str
) -> None:
    path = f"{OURS}/namespaces/{namespace}/commits/c"
    owner = await applied(admin, namespace)
    await admin.merge(path, {"metadata": {"labels": {"a": "b"}}})
    with pytest.raises(ClusterError, match="the object has been modified"):
        await cluster.apply_status(owner, {"observedGeneration": 1})
    await admin.delete(path)
    await cluster.apply_status(owner, {"observedGeneration": 1})
    another = await applied(admin, namespace)
    with pytest.raises(ClusterError):
        await cluster.apply_status(owner, {"observedGeneration": 1})
    found = await cluster.get(key_of(another))
    assert found is not None
    assert "status" not in found


async def test_an_event_is_written_once_per_end(admin: Api, cluster: KubeCluster, namespace: str) -> None:
    owner = await applied(admin, namespace)
    event = Event("Warning", "OutOfMemory", "words " * 1000)
    for attempt in ("1", "1", "2"):
        await cluster.emit({**owner, "status": {"observedRetry": attempt}}, event)
    found = (await admin.get(f"/api/v1/namespaces/{namespace}/events"))["items"]
    assert len(found) == 2
    assert {one["involvedObject"]["uid"] for one in found} == {owner["metadata"]["uid"]}
    assert {(one["type"], one["reason"], one["count"]) for one in found} == {("Warning", "OutOfMemory", 1)}
    assert all(len(one["message"].encode()) <= 1024 for one in found)


async def test_events_about_a_job_are_found_by_its_uid(admin: Api, cluster: KubeCluster, namespace: str) -> None:
    await cluster.create(job(namespace))
    (made,) = (await cluster.children({"metadata": {"uid": "u", "namespace": namespace}})).jobs
    for number, uid in enumerate((made["metadata"]["uid"], "another")):
        about = {"kind": "Job", "name": "j", "namespace": namespace, "uid": uid}
        await admin.post(
            f"/api/v1/namespaces/{namespace}/events",
            {"metadata": {"name": f"e{number}"}, "involvedObject": about, "reason": "FailedCreate", "type": "Warning"},
        )
    found = await cluster.events_about([made])
    assert [one["metadata"]["name"] for one in found] == ["e0"]


async def test_what_no_patience_cures_is_rejected_with_the_servers_words(cluster: KubeCluster, namespace: str) -> None:
    wrong = job(namespace)
    wrong["spec"]["template"]["spec"]["restartPolicy"] = "Always"
    with pytest.raises(Rejected, match="restartPolicy"):
        await cluster.create(wrong)


async def test_an_admission_policy_that_refuses_is_a_rejection(
    admin: Api, cluster: KubeCluster, namespace: str
) -> None:
    policies = "/apis/admissionregistration.k8s.io/v1"
    meta = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": namespace}}
    rule = {"apiGroups": ["batch"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["jobs"]}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "no Jobs here", "reason": "Forbidden"}],
    }
    await admin.post(f"{policies}/validatingadmissionpolicies", {**meta, "kind": "ValidatingAdmissionPolicy", "spec": spec})  # fmt: skip
    within = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    bound = {"policyName": namespace, "validationActions": ["Deny"], "matchResources": within}
    await admin.post(f"{policies}/validatingadmissionpolicybindings", {**meta, "kind": "ValidatingAdmissionPolicyBinding", "spec": bound})  # fmt: skip
    words = ""
    for number in range(100):
        try:
            await cluster.create(job(namespace, f"j{number}"))
        except Rejected as error:
            words = str(error)
            break
        await asyncio.sleep(0.1)  # policies take effect a moment after they are made
    assert "no Jobs here" in words


async def test_a_quota_holds_a_job_back_until_there_is_room(admin: Api, cluster: KubeCluster, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    await admin.post(path, {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}})
    # No controller counts here.
    none = {"status": {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}}}
    await admin.merge(f"{path}/few/status", none)
    with pytest.raises(HeldBack, match="exceeded quota: few"):
        await cluster.create(job(namespace))
    await admin.delete(f"{path}/few")
    for _ in range(100):
        try:
            await cluster.create(job(namespace))
        except HeldBack:
            await asyncio.sleep(0.1)
        else:
            return
    pytest.fail("the Job is still held back")


async def test_a_right_that_is_missing_is_waited_for_and_named(server: ApiServer, namespace: str) -> None:
    nobody = KubeCluster(Api(Login(server.kubeconfig_of("nobody"))))
    try:
        with pytest.raises(HeldBack, match='User "nobody" cannot create resource "jobs"'):
            await nobody.create(job(namespace))
        with pytest.raises(ClusterError, match='cannot list resource "commits"'):
            await nobody.ready([namespace])
    finally:
        await nobody.close()


async def test_a_namespace_that_goes_away_is_no_verdict_on_the_job(
    admin: Api, cluster: KubeCluster, namespace: str
) -> None:
    await admin.delete(f"/api/v1/namespaces/{namespace}")
    with pytest.raises(ClusterError, match="being terminated") as caught:
        await cluster.create(job(namespace))
    assert type(caught.value) is ClusterError


async def test_a_server_that_is_away_is_said_in_words(tmp_path: Any, server: ApiServer) -> None:
    away = tmp_path / "kubeconfig"
    away.write_text(server.kubeconfig.read_text().replace(str(server.port), "1"))
    cluster = KubeCluster(Api(Login(away), seconds=2))
    with pytest.raises(ClusterError, match=r"the API server did not answer GET .*Cannot connect"):
        await cluster.get(Key("Commit", "n", "c"))
    await cluster.close()


async def test_a_pass_makes_jobs_that_the_api_server_accepts_and_a_second_one_finds_nothing_to_do(
    admin: Api, cluster: KubeCluster, namespace: str
) -> None:
    owner = await applied(admin, namespace)
    reconciler = Reconciler(cluster, SETTINGS)
    first = await reconciler.reconcile(key_of(owner))
    second = await reconciler.reconcile(key_of(owner))
    assert len(first.plan.create) == 3
    assert (second.plan.create, second.plan.status) == ((), None)
    found = await cluster.get(key_of(owner))
    assert found is not None
    assert found["status"] == first.plan.status
    (made, *_), names = first.plan.create, {one["metadata"]["name"] for one in first.plan.create}
    children = await cluster.children(owner)
    assert {one["metadata"]["name"] for one in children.jobs} == names
    assert made["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]


async def test_an_owner_is_removed_as_it_was_read_or_not_at_all(
    admin: Api, cluster: KubeCluster, namespace: str
) -> None:
    path = f"{OURS}/namespaces/{namespace}/commits/c"
    owner = await applied(admin, namespace)
    changed = await admin.merge(path, {"metadata": {"annotations": {"isobench.dev/retry": "1"}}})
    with pytest.raises(Outdated):
        await cluster.remove(owner)
    assert await cluster.get(key_of(owner)) is not None
    for _ in range(2):
        await cluster.remove(changed)
    assert await cluster.get(key_of(owner)) is None
