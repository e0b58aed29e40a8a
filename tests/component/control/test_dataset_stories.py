"""A Dataset waits for its Commits, collects each content once, and starts again when they change."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from isobench_operator.api.dataset import DatasetStatus
from isobench_operator.cluster.ports import Key
from isobench_operator.control.reconciler import Pass, Reconciler
from isobench_runner.contract import Reason
from support.builders import NOW, SETTINGS, commit, dataset, digest
from support.fake_cluster import FakeCluster, Said, request_of
from support.stories import Story

ALL = Key("Dataset", "bench", "all")


def ended(name: str, *, speedup: str = "1.5", **metadata: Any) -> dict[str, Any]:
    """A Commit that has finished."""
    conditions = [
        {"type": "Succeeded", "status": "True", "reason": "Faster", "lastTransitionTime": "2026-01-02T03:04:00Z"},
        {"type": "Finished", "status": "True", "reason": "Faster", "lastTransitionTime": "2026-01-02T03:04:00Z"},
    ]
    return {**commit(name, **metadata), "status": {"conditions": conditions, "result": {"speedup": speedup}}}


async def once(cluster: FakeCluster, *, settings: Any = SETTINGS, later: float = 0.0) -> Pass:
    clock = NOW + timedelta(seconds=later)
    return await Reconciler(cluster, settings, clock=lambda: clock).reconcile(ALL)


async def test_all_finished_commits_are_collected_once() -> None:
    cluster = FakeCluster(dataset(), ended("one"), ended("two"), answers=Story())
    for _ in range(5):
        await once(cluster)
    assert len(cluster.created) == 1
    assert cluster.condition(ALL, "Succeeded") == ("True", "Collected")
    status = cluster.status(ALL)
    assert (status["digest"], status["records"], status["commits"]) == (digest("dataset"), 1, 1)
    assert DatasetStatus.model_validate(status).to_json().keys() == status.keys()
    assert len(cluster.events) == 1
    assert cluster.calls["apply_status"] == 2


async def test_it_waits_for_every_commit_that_it_selects_and_for_no_other() -> None:
    one = ended("one", labels={"suite": "x"})
    selector = {"source": {"commits": {"selector": {"matchLabels": {"suite": "x"}}}}}
    cluster = FakeCluster(dataset(spec=selector), one, commit("two"), answers=Story())
    cluster.put(commit("three", labels={"suite": "x"}))
    await once(cluster)
    assert cluster.created == []
    assert cluster.condition(ALL, "Finished") == ("Unknown", "Waiting")
    cluster.put(ended("three", labels={"suite": "x"}))
    await once(cluster)
    assert len(cluster.created) == 1
    request: Any = request_of(next(iter(cluster.jobs.values())))
    assert request.match_labels == (("suite", "x"),)


async def test_it_waits_where_there_is_nothing() -> None:
    cluster = FakeCluster(dataset(), answers=Story())
    await once(cluster)
    assert cluster.condition(ALL, "Succeeded") == ("Unknown", "NoCommits")


async def test_it_lets_the_commits_settle_first() -> None:
    cluster = FakeCluster(dataset(), ended("one"), answers=Story())
    settings = replace(SETTINGS, settle_seconds=20.0)
    done = await once(cluster, settings=settings)
    assert done.plan.requeue_after == 15.0
    assert cluster.created == []
    await once(cluster, settings=settings, later=15.0)
    assert len(cluster.created) == 1


async def test_new_results_are_a_new_collection() -> None:
    cluster = FakeCluster(dataset(), ended("one"), answers=Story())
    for _ in range(3):
        await once(cluster)
    cluster.put(ended("one", speedup="1.7"))
    for _ in range(3):
        await once(cluster)
    assert len(set(cluster.jobs)) == 2
    assert cluster.condition(ALL, "Succeeded") == ("True", "Collected")


async def test_a_collection_of_older_results_is_stopped() -> None:
    cluster = FakeCluster(dataset(), ended("one"))
    await once(cluster)
    cluster.put(ended("one", speedup="1.7"))
    await once(cluster)
    assert len(cluster.deleted) == 1
    assert len(cluster.jobs) == 1


async def test_a_failed_collection_is_tried_again_when_asked() -> None:
    answers = iter(
        [
            Said(reason=Reason.DISK_FULL, tail="no space"),
            Said(data={"dataset": digest("d"), "records": 0, "commits": 1}),
        ]
    )
    cluster = FakeCluster(dataset(), ended("one"), answers=lambda _request, _job: next(answers))
    for _ in range(4):
        await once(cluster)
    assert cluster.condition(ALL, "Succeeded") == ("False", "DiskFull")
    assert len(cluster.created) == 1
    cluster.objects[ALL]["metadata"]["annotations"] = {"isobench.dev/retry": "1"}
    for _ in range(4):
        await once(cluster)
    assert cluster.condition(ALL, "Succeeded") == ("True", "Collected")
    assert len(cluster.created) == 2


@pytest.mark.parametrize("suspended", [True, False])
async def test_suspend_holds_a_collection_back(suspended: bool) -> None:
    cluster = FakeCluster(dataset(spec={"suspend": suspended}), ended("one"))
    await once(cluster)
    assert bool(cluster.created) != suspended
