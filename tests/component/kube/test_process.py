"""`python -m isobench_operator` on a real API server: alone, two at once, killed, and while the server is away."""

from __future__ import annotations

import json
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from isobench_operator.cluster.kube import Api
from isobench_operator.core.statuses import condition
from isobench_runner.contract import Reason
from support.apiserver import ApiServer
from support.builders import commit, dataset
from support.fake_cluster import FakeCluster, Killed, Said
from support.operators import OURS, Kubelet, Process, kubelet, until
from support.stories import Story

Json = dict[str, Any]


class World:
    """What a test asks of its namespace."""

    def __init__(self, admin: Api, namespace: str) -> None:
        self.admin, self.namespace = admin, namespace

    async def apply(self, found: Json) -> Json:
        """Create a custom resource."""
        body = {**found, "metadata": {"name": found["metadata"]["name"], "namespace": self.namespace}}
        return await self.admin.post(f"{OURS}/namespaces/{self.namespace}/{found['kind'].lower()}s", body)

    async def read(self, name: str, kind: str = "commits") -> Json:
        """A custom resource."""
        return await self.admin.get(f"{OURS}/namespaces/{self.namespace}/{kind}/{name}")

    async def all(self, kind: str) -> list[Json]:
        """Jobs, or events, of the namespace."""
        prefix = "/apis/batch/v1" if kind == "jobs" else "/api/v1"
        found: list[Json] = (await self.admin.get(f"{prefix}/namespaces/{self.namespace}/{kind}"))["items"]
        return found

    async def ended(self, name: str, kind: str = "commits", *, seconds: float = 60) -> Json:
        """A custom resource once it has finished."""

        async def read() -> Json | None:
            found = await self.read(name, kind)
            return found if condition(found.get("status") or {}, "Finished").get("status") == "True" else None

        found: Json = await until(f"{name} has finished", read, seconds=seconds)
        return found


@pytest.fixture
def world(admin: Api, namespace: str) -> World:
    return World(admin, namespace)


def succeeded(owner: Json) -> tuple[str, str]:
    found = condition(owner["status"], "Succeeded")
    return str(found["status"]), str(found["reason"])


async def answers(process: Process) -> None:
    async def healthy() -> bool:
        assert process.running, process.words()
        return process.page("/healthz") == "ok\n"

    await until("the operator is up", healthy)


async def test_a_commit_and_its_dataset_from_first_sight_to_the_end(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    story = Story()
    async with kubelet(world.admin, world.namespace, story):
        with Process(server, tmp_path, namespaces=[world.namespace]) as process:
            await answers(process)
            await world.apply(dataset("all"))
            await world.apply(commit("c"))
            found = await world.ended("c")
            collected = await world.ended("all", "datasets")
            assert succeeded(found) == ("True", "Faster")
            assert succeeded(collected) == ("True", "Collected")
            roles = Counter(one["metadata"]["labels"]["isobench.dev/role"] for one in await world.all("jobs"))
            assert sorted(role for role in roles if not role.startswith("collect-")) == [
                "base", "head", "main", "prepare-base", "prepare-head", "prepare-main",
            ]  # fmt: skip
            assert len(roles) == 7
            assert set(roles.values()) == {1}
            # Kopf leaves no trace on what it watches.
            assert found["metadata"].keys().isdisjoint({"annotations", "finalizers"})
            events = [one for one in await world.all("events") if one["involvedObject"]["kind"] == "Commit"]
            assert [(one["reason"], one["reportingComponent"]) for one in events] == [("Faster", "isobench-operator")]
            page = process.page("/metrics")
            assert process.stop() == 0
    figures = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    writes = {key: float(value) for key, value in figures.items() if key.startswith("isobench_api_requests_total") and 'verb="GET"' not in key}  # fmt: skip
    # Six Jobs, seven statuses at most and an event for the Commit; a Job, two or three statuses and an event for the Dataset.
    assert sum(writes.values()) <= 19, writes
    assert figures[f'isobench_commits{{namespace="{world.namespace}",reason="Faster",status="True"}}'] == "1.0"
    assert figures['isobench_verdicts_total{verdict="faster"}'] == "1.0"
    assert figures['isobench_stage_attempts_total{reason="Succeeded",stage="prepare"}'] == "3.0"
    assert figures["isobench_job_end_lag_seconds_count"] == "7.0"
    assert figures["isobench_speedup_ratio_count"] == "1.0"
    assert "Traceback" not in process.words()
    lines = [json.loads(line) for line in process.words().splitlines()]
    about = [line for line in lines if line.get("name") == "c" and line["level"] == "info"]
    assert any("created prepare-base 1, prepare-head 1, prepare-main 1" in line["message"] for line in about)
    assert any("head 1 succeeded" in line["message"] for line in about)
    assert sum("Succeeded (Faster): faster: 1.840x" in line["message"] for line in about) == 1
    assert {line["namespace"] for line in about} == {world.namespace}


async def test_a_failure_is_told_with_its_reason_and_a_retry_starts_it_again(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    story = Story(head=[Killed(container="measure", reason="OOMKilled", exit_code=137)])
    async with kubelet(world.admin, world.namespace, story):
        with Process(server, tmp_path, namespaces=[world.namespace]) as process:
            await world.apply(commit("c"))
            failed = await world.ended("c")
            assert succeeded(failed) == ("False", "OutOfMemory")
            path = f"{OURS}/namespaces/{world.namespace}/commits/c"
            await world.admin.merge(path, {"metadata": {"annotations": {"isobench.dev/retry": "1"}}})

            async def again() -> bool:
                return succeeded(await world.read("c")) == ("True", "Faster")

            await until("the retry has succeeded", again)
            assert process.stop() == 0
    assert '"level": "warning"' in process.words()


async def test_an_operator_that_is_killed_at_every_stage_loses_nothing_and_does_nothing_twice(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    story = Story()
    hands = Kubelet(world.admin, world.namespace, story)
    await world.apply(commit("c"))
    for number in range(12):
        with Process(server, tmp_path / str(number), namespaces=[world.namespace]) as process:
            made = len(hands.seen)

            async def waits(made: int = made) -> bool:
                found = await world.read("c")
                ended = condition(found.get("status") or {}, "Finished").get("status") == "True"
                return ended or len(await world.all("jobs")) > made

            await until("the next Jobs are made, or it has finished", waits)
            process.stop(signal.SIGKILL)
        await hands.once()
        # Killed between its Jobs and its first status, it has left none.
        if condition((await world.read("c")).get("status") or {}, "Finished").get("status") == "True":
            break
    assert succeeded(await world.read("c")) == ("True", "Faster")
    assert len(await world.all("jobs")) == 6


async def test_two_operators_at_once_do_no_harm(server: ApiServer, world: World, tmp_path: Path) -> None:
    async with kubelet(world.admin, world.namespace, Story()):
        with (
            Process(server, tmp_path / "one", namespaces=[world.namespace]) as one,
            Process(server, tmp_path / "two", namespaces=[world.namespace]) as two,
        ):
            await answers(one)
            await answers(two)
            for number in range(4):
                await world.apply(commit(f"c{number}"))
            found = [await world.ended(f"c{number}") for number in range(4)]
            assert [succeeded(owner) for owner in found] == [("True", "Faster")] * 4
            made = sorted((one["metadata"]["labels"]["isobench.dev/name"], one["metadata"]["labels"]["isobench.dev/role"]) for one in await world.all("jobs"))  # fmt: skip
            roles = ("base", "head", "main", "prepare-base", "prepare-head", "prepare-main")
            assert made == [(f"c{number}", role) for number in range(4) for role in roles]
            assert len([one for one in await world.all("events") if one["involvedObject"]["kind"] == "Commit"]) == 4
            assert (one.stop(), two.stop()) == (0, 0)


async def test_an_api_server_that_is_away_is_waited_for_at_the_start_and_in_the_middle(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    await world.apply(commit("c"))
    server.stop()
    with Process(server, tmp_path, namespaces=[world.namespace]) as process:
        try:
            await answers(process)
            await until("it says what it waits for", _says(process, "waiting for the cluster"))
        finally:
            server.start()
        held = Story()
        async with kubelet(world.admin, world.namespace, lambda request, job: None):

            async def made() -> bool:
                return len(await world.all("jobs")) == 3

            await until("the first Jobs are made", made)
            server.stop()
            server.start()
        async with kubelet(world.admin, world.namespace, held):
            assert succeeded(await world.ended("c")) == ("True", "Faster")
        assert process.stop() == 0
    assert "Traceback" not in process.words()


def _says(process: Process, words: str) -> Any:
    async def read() -> bool:
        return words in process.words()

    return read


async def test_a_commit_that_is_deleted_on_its_way_is_forgotten_without_a_word_of_error(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    with Process(server, tmp_path, namespaces=[world.namespace]) as process:
        await world.apply(commit("c"))

        async def made() -> bool:
            return len(await world.all("jobs")) == 3

        await until("the first Jobs are made", made)
        await world.admin.delete(f"{OURS}/namespaces/{world.namespace}/commits/c")
        await until("it says so", _says(process, "is gone"))
        assert process.stop() == 0
    assert '"level": "error"' not in process.words()


async def test_a_commit_in_an_unprepared_namespace_and_a_broken_report_are_told_as_what_they_are(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    story = Story(prepare_base=[Said(reason=Reason.COMMIT_NOT_FOUND, tail="no such commit")])
    async with kubelet(world.admin, world.namespace, story):
        with Process(server, tmp_path, namespaces=[world.namespace]) as process:
            await world.apply(commit("c"))
            assert succeeded(await world.ended("c")) == ("False", "CommitNotFound")
            assert process.stop() == 0


async def _prepared(world: World, status: str) -> Json:
    """The condition Prepared, once its reason is that."""

    async def read() -> Json | None:
        found = condition((await world.read("c")).get("status") or {}, "Prepared")
        return dict(found) if found.get("reason") == status else None

    # The bound that users are promised.
    found: Json = await until(f"Prepared says {status}", read, seconds=30)
    return found


async def test_pods_that_cannot_start_are_told_within_half_a_minute_and_until_they_do(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    with Process(server, tmp_path, namespaces=[world.namespace]) as process:
        await world.apply(commit("c"))

        async def made() -> list[Json]:
            jobs = await world.all("jobs")
            return jobs if len(jobs) == 3 else []

        jobs = await until("the first Jobs are made", made)
        job = next(one for one in jobs if one["metadata"]["labels"]["isobench.dev/role"] == "prepare-base")
        # A quota, as the Job controller meets it: it makes no pod and says so in an event alone.
        about = {"apiVersion": "batch/v1", "kind": "Job", "namespace": world.namespace, "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}  # fmt: skip
        words = 'Error creating: pods "x-abcde" is forbidden: exceeded quota: few, requested: pods=1, used: pods=0, limited: pods=0'
        await world.admin.post(
            f"/api/v1/namespaces/{world.namespace}/events",
            {"metadata": {"name": "e"}, "involvedObject": about, "type": "Warning", "reason": "FailedCreate", "message": words},
        )  # fmt: skip
        found = await _prepared(world, "Quota")
        assert "exceeded quota: few" in found["message"]
        assert found["message"].startswith("prepare-base")
        # Then a pod that fits no node, told by the pod's own condition.
        pods = f"/api/v1/namespaces/{world.namespace}/pods"
        owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}  # fmt: skip
        labels = job["spec"]["template"]["metadata"]["labels"]
        body = {"metadata": {"name": "p", "labels": labels, "ownerReferences": [owner]}, "spec": job["spec"]["template"]["spec"]}  # fmt: skip
        await world.admin.post(pods, body)
        no_node = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."}  # fmt: skip
        await world.admin.merge(f"{pods}/p/status", {"status": {"phase": "Pending", "conditions": [no_node]}})
        found = await _prepared(world, "Unschedulable")
        assert "Insufficient nvidia.com/gpu" in found["message"]
        assert 'isobench_waiting_pods{reason="Unschedulable"} 1.0' in process.page("/metrics")
        # Then an image that does not come, and at last it does.
        name = job["spec"]["template"]["spec"]["initContainers"][0]["name"]

        def state(now: Json) -> Json:
            one = {"name": name, "image": "i", "imageID": "", "ready": False, "restartCount": 0, "state": now}
            placed = {"type": "PodScheduled", "status": "True"}
            return {"status": {"phase": "Pending", "conditions": [placed], "initContainerStatuses": [one]}}

        waiting = {"waiting": {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "i"'}}
        await world.admin.merge(f"{pods}/p/status", state(waiting))
        await _prepared(world, "ImagePull")
        await world.admin.merge(f"{pods}/p/status", state({"running": {"startedAt": "2026-01-02T03:04:05Z"}}))
        await _prepared(world, "Preparing")
        assert process.stop() == 0


async def test_a_pod_that_fails_for_good_is_the_last_of_its_job(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    with Process(server, tmp_path, namespaces=[world.namespace]) as process:
        await world.apply(commit("c"))

        async def made() -> Json | None:
            found = [one for one in await world.all("jobs") if one["metadata"]["labels"]["isobench.dev/role"] == "prepare-base"]  # fmt: skip
            return found[0] if found else None

        job = await until("the Job is made", made)
        assert job["spec"]["backoffLimit"] > 0
        hands = FakeCluster()
        hands.jobs[job["metadata"]["name"]] = job
        hands.end(job, Killed(container="build"))
        (pod,) = hands.pods.values()
        await Kubelet(world.admin, world.namespace, Story())._pod(job, pod)

        async def stopped() -> bool:
            found = await made()
            return found is not None and found["spec"]["backoffLimit"] == 0

        await until("the Job is to have no other pod", stopped, seconds=20)
        assert process.stop() == 0


async def test_a_quota_of_jobs_is_a_condition_until_there_is_room(
    server: ApiServer, world: World, tmp_path: Path
) -> None:
    path = f"/api/v1/namespaces/{world.namespace}/resourcequotas"
    await world.admin.post(path, {"metadata": {"name": "few"}, "spec": {"hard": {"count/jobs.batch": "0"}}})
    none = {"status": {"hard": {"count/jobs.batch": "0"}, "used": {"count/jobs.batch": "0"}}}
    await world.admin.merge(f"{path}/few/status", none)
    with Process(server, tmp_path, namespaces=[world.namespace]) as process:
        await world.apply(commit("c"))
        found = await _prepared(world, "Quota")
        assert "exceeded quota: few" in found["message"]
        await world.admin.delete(f"{path}/few")
        await _prepared(world, "Preparing")
        assert len(await world.all("jobs")) == 3
        assert process.stop() == 0
