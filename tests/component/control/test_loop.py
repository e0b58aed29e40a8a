"""The loop over many keys at once: wake-ups, the sweep, errors, stopping."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from isobench_operator.cluster.ports import ClusterError, Json, Key
from isobench_operator.control.loop import Loop
from isobench_operator.control.queue import WorkQueue
from isobench_operator.control.reconciler import Pass, Reconciler
from isobench_runner.contract import Reason, Request
from support.builders import SETTINGS, commit, dataset
from support.fake_cluster import Answer, FakeCluster, Said
from support.stories import Story


def fast() -> WorkQueue[Key]:
    """A queue whose backoff suits a test."""
    return WorkQueue(first_backoff=0.001, most_backoff=0.01)


async def run(cluster: FakeCluster, *, until: Any = None, seconds: float = 20.0, **options: Any) -> list[Pass]:
    """The loop until every object has finished, or until the condition that is named holds."""
    stop = asyncio.Event()
    passes: list[Pass] = []

    def done() -> bool:
        if until is not None:
            return bool(until())
        return all(cluster.status(key) and cluster.condition(key, "Finished")[0] == "True" for key in cluster.objects)

    def observe(one: Pass) -> None:
        passes.append(one)
        if done():
            stop.set()

    loop = Loop(cluster, Reconciler(cluster, SETTINGS), queue=fast(), observer=observe, **options)
    cluster.on_change = loop.enqueue
    await asyncio.wait_for(loop.run(stop), seconds)
    return passes


def names(count: int) -> list[str]:
    return [f"commit-{number}" for number in range(count)]


async def test_commits_run_beside_each_other_and_their_dataset_follows() -> None:
    cluster = FakeCluster(dataset(), *(commit(name) for name in names(20)), answers=Story())
    await run(cluster, workers=4)
    assert len(cluster.created) == 20 * 6 + 1
    assert cluster.created[-1].startswith("collect-")
    keys = [key for key in cluster.objects if key.kind == "Commit"]
    assert {cluster.condition(key, "Succeeded") for key in keys} == {("True", "Faster")}
    assert len(cluster.events) == 21


async def test_one_commits_failure_is_not_anothers() -> None:
    def answers(request: Request, job: Json) -> Answer | None:
        if request.commit == "commit-1":
            return Said(reason=Reason.COMMIT_NOT_FOUND, tail="no such commit")
        return story(request, job)

    story = Story()
    cluster = FakeCluster(*(commit(name) for name in names(3)), answers=answers)
    await run(cluster)
    found = {key.name: cluster.condition(key, "Succeeded")[1] for key in cluster.objects}
    assert found == {"commit-0": "Faster", "commit-1": "CommitNotFound", "commit-2": "Faster"}


@pytest.mark.parametrize("method", ["get", "children", "create", "apply_status", "emit", "pages"])
async def test_errors_of_the_cluster_are_tried_again_and_nothing_is_done_twice(method: str) -> None:
    cluster = FakeCluster(dataset(), *(commit(name) for name in names(3)), answers=Story())
    cluster.failures[method] = [ClusterError("busy") for _ in range(3)]
    await run(cluster, sweep_seconds=0.05)
    assert len(cluster.created) == 3 * 6 + 1
    assert len(cluster.created) == len(cluster.jobs)


async def test_a_bug_over_one_key_does_not_end_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    cluster = FakeCluster(*(commit(name) for name in names(2)), answers=Story())
    broken = Key("Commit", "bench", "commit-0")
    del cluster.objects[broken]["metadata"]["uid"]
    other = Key("Commit", "bench", "commit-1")
    await run(cluster, until=lambda: cluster.status(other) and cluster.condition(other, "Finished")[0] == "True")
    assert cluster.condition(other, "Succeeded") == ("True", "Faster")
    assert "commit-0: a bug" in caplog.text


async def test_the_sweep_finds_what_no_event_told_of() -> None:
    cluster = FakeCluster(commit(), answers=Story())
    stop = asyncio.Event()
    key = Key("Commit", "bench", "speedup-1")

    def observe(one: Pass) -> None:
        if one.plan.finished:
            stop.set()

    loop = Loop(cluster, Reconciler(cluster, SETTINGS), sweep_seconds=0.01, observer=observe)
    await asyncio.wait_for(loop.run(stop), 20)
    assert cluster.condition(key, "Succeeded") == ("True", "Faster")


async def test_the_sweep_keeps_to_its_namespaces() -> None:
    elsewhere = commit("other")
    elsewhere["metadata"]["namespace"] = "elsewhere"
    cluster = FakeCluster(commit(), elsewhere, answers=Story())
    key = Key("Commit", "bench", "speedup-1")
    await run(
        cluster,
        namespaces=("bench",),
        until=lambda: cluster.status(key) and cluster.condition(key, "Finished")[0] == "True",
    )
    assert cluster.status(Key("Commit", "elsewhere", "other")) == {}


async def test_stopping_finishes_the_pass_that_was_begun() -> None:
    class SlowCluster(FakeCluster):
        async def apply_status(self, owner: Json, status: Json) -> None:
            stop.set()
            await asyncio.sleep(0.05)
            await super().apply_status(owner, status)

    stop = asyncio.Event()
    cluster = SlowCluster(commit(), answers=Story())
    await asyncio.wait_for(Loop(cluster, Reconciler(cluster, SETTINGS)).run(stop), 20)
    assert cluster.status(Key("Commit", "bench", "speedup-1"))["conditions"]


async def test_an_operator_that_is_replaced_half_way_finishes_the_work() -> None:
    cluster = FakeCluster(*(commit(name) for name in names(5)), answers=Story())
    await run(cluster, until=lambda: len(cluster.created) >= 12)
    await run(cluster)
    assert len(cluster.created) == len(cluster.jobs) == 5 * 6
    assert len(cluster.events) == 5


async def test_a_commit_that_is_opened_again_makes_its_dataset_wait_and_collect_again() -> None:
    story = Story(head=Said(reason=Reason.OUT_OF_MEMORY, tail="killed"))
    cluster = FakeCluster(dataset(), commit(), answers=story)
    await run(cluster)
    whole, one = Key("Dataset", "bench", "all"), Key("Commit", "bench", "speedup-1")
    assert cluster.condition(one, "Succeeded") == ("False", "OutOfMemory")
    before = cluster.status(whole)["inputs"]
    cluster.objects[one]["metadata"]["annotations"] = {"isobench.dev/retry": "1"}
    waited: list[str] = []

    def collected_anew() -> bool:
        waited.append(cluster.condition(whole, "Finished")[1])
        return cluster.status(whole).get("inputs") != before and cluster.condition(whole, "Finished")[0] == "True"

    await run(cluster, until=collected_anew)
    assert "Waiting" in waited
    assert sum(role.startswith("collect-") for role in cluster.created) == 2
