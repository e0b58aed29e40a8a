"""A Dataset waits for its Commits, collects each content once, and starts again when they change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from isobench_operator.api.dataset import DatasetStatus
from isobench_operator.cluster.ports import HeldBack, Key
from isobench_operator.control.reconciler import Pass, Reconciler
from isobench_operator.core.policies.collecting import has_collected
from isobench_runner.contract import Reason
from support.builders import NOW, SETTINGS, commit, dataset, digest
from support.fake_cluster import FakeCluster, Said, request_of
from support.stories import Story

ALL = Key("Dataset", "bench", "all")


def ended(
    name: str, *, speedup: str = "1.5", at: datetime = datetime(2026, 1, 2, 3, 4, tzinfo=UTC), **metadata: Any
) -> dict[str, Any]:
    """A Commit that has finished."""
    time = at.strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [
        {"type": type_, "status": "True", "reason": "Faster", "lastTransitionTime": time}
        for type_ in ("Succeeded", "Finished")
    ]
    return {**commit(name, **metadata), "status": {"conditions": conditions, "result": {"speedup": speedup}}}


def collected(request: Any, _job: Any) -> Said:
    """A collection that went well, as `report` tells it."""
    published = {"repository": "acme/all", "revision": "f" * 40, "records": 1, "added": 1, "replaced": 0, "kept": 0}
    data = {"dataset": digest("d"), "records": 1, "commits": request.finished, "finished": request.finished}
    data |= {"through": request.through, "files": [{"name": ".jsonl", "digest": digest("d"), "size": 1}]}
    return Said(data={**data, "published": published} if request.publish else data, tail="1 record")


async def once(cluster: FakeCluster, *, settings: Any = SETTINGS, later: float = 0.0) -> Pass:
    clock = NOW + timedelta(seconds=later)
    return await Reconciler(cluster, settings, clock=lambda: clock).reconcile(ALL)


async def test_a_dataset_with_the_longest_name_gets_files_whose_names_status_and_file_systems_take() -> None:
    body = dataset()
    body["metadata"]["name"] = "d" * 253
    key = Key("Dataset", "bench", "d" * 253)
    cluster = FakeCluster(body, ended("one"), answers=collected)
    for _ in range(5):
        await Reconciler(cluster, SETTINGS, clock=lambda: NOW).reconcile(key)
    assert cluster.condition(key, "Succeeded") == ("True", "Collected")
    (file,) = DatasetStatus.model_validate(cluster.status(key)).files
    (job,) = cluster.jobs.values()
    assert file.name == f"{request_of(job).dataset}.jsonl"
    assert len(file.name) < 220


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
    cluster = FakeCluster(dataset(), ended("one"), answers=collected)
    for _ in range(3):
        await once(cluster)
    cluster.put(ended("one", speedup="1.7", at=NOW))
    for _ in range(3):
        await once(cluster, later=1.0)
    assert len(set(cluster.jobs)) == 2
    assert cluster.condition(ALL, "Succeeded") == ("True", "Collected")


async def test_results_that_come_meanwhile_are_the_next_collections() -> None:
    cluster = FakeCluster(dataset(), ended("one"))
    await once(cluster)
    cluster.put(ended("one", speedup="1.7", at=NOW))
    await once(cluster, later=1.0)
    assert cluster.deleted == []
    first = next(iter(cluster.jobs.values()))
    cluster.end(first, collected(request_of(first), first))
    done = await once(cluster, later=2.0)
    assert done.plan.requeue_after == 0.0
    assert cluster.condition(ALL, "Collected") == ("True", "Collected")
    await once(cluster, later=2.0)
    assert len(cluster.created) == 2


async def test_a_collection_by_an_older_spec_is_stopped() -> None:
    cluster = FakeCluster(dataset(), ended("one"))
    await once(cluster)
    cluster.put({**dataset(spec={"views": ["gso"]}, generation=2), "status": cluster.status(ALL)})
    await once(cluster)
    assert len(cluster.deleted) == 1
    assert len(cluster.jobs) == 1


async def test_another_spec_is_collected_by_and_how_often_is_not_what() -> None:
    cluster = FakeCluster(dataset(), ended("one"), answers=collected)
    for _ in range(3):
        await once(cluster)
    for generation, spec in ((2, {"collect": {"everySeconds": 60}}), (3, {"views": ["gso"]})):
        cluster.put({**dataset(spec=spec, generation=generation), "status": cluster.status(ALL)})
        for _ in range(3):
            await once(cluster, later=1.0)
        assert len(cluster.created) == generation - 1
        assert cluster.condition(ALL, "Finished") == ("True", "Collected")


async def test_what_has_finished_is_collected_while_others_are_under_way() -> None:
    cluster = FakeCluster(dataset(), ended("one", at=NOW), commit("two"), answers=collected)
    done = await once(cluster)
    assert done.plan.requeue_after == 600.0
    for _ in range(3):
        await once(cluster, later=600.0)
    assert cluster.condition(ALL, "Collected") == ("True", "Collected")
    assert cluster.condition(ALL, "Finished") == ("Unknown", "Waiting")
    cluster.put(ended("two", at=NOW + timedelta(seconds=700)))
    for _ in range(3):
        await once(cluster, later=700.0)
    assert len(cluster.created) == 2
    assert cluster.condition(ALL, "Finished") == ("True", "Collected")


async def test_a_commit_that_goes_is_no_reason_to_collect_and_one_that_is_labelled_is() -> None:
    selector = {"source": {"commits": {"selector": {"matchLabels": {"suite": "x"}}}}}
    suite = {"labels": {"suite": "x"}}
    cluster = FakeCluster(dataset(spec=selector), ended("one", **suite), ended("two", **suite), ended("three"))
    cluster.answers = collected
    for _ in range(3):
        await once(cluster)
    del cluster.objects[Key("Commit", "bench", "one")]
    done = await once(cluster, later=1.0)
    assert len(cluster.created) == 1
    assert done.plan.finished
    cluster.put(ended("three", **suite))
    cluster.put(ended("one", **suite))
    await once(cluster, later=2.0)
    assert len(cluster.created) == 2


async def test_a_commit_is_collected_where_the_files_hold_what_it_came_to() -> None:
    one, two = ended("one"), ended("two", at=NOW + timedelta(seconds=1))
    cluster = FakeCluster(dataset(), one, commit("two"), answers=collected)
    assert not has_collected(cluster.objects[ALL], one)
    for later in (600.0, 601.0):
        await once(cluster, later=later)
    found = cluster.objects[ALL]
    assert has_collected(found, one)
    assert not has_collected(found, two)
    assert not has_collected(found, commit("two"))
    elsewhere = {**two, "metadata": {**two["metadata"], "namespace": "elsewhere"}}
    assert has_collected(found, elsewhere)
    assert has_collected({**found, "metadata": {**found["metadata"], "deletionTimestamp": "2026-01-02T03:04:00Z"}}, two)


MANY = 60
TIMETABLES = {
    "at once": ([0.0] * MANY, MANY, 1),
    "one by one": ([100.0 * number for number in range(MANY)], MANY, 11),
    "one by one, none of them known before": ([20.0 * number for number in range(MANY)], 0, MANY * 20 // 30 + 1),
    "a burst each minute": ([60.0 * (number // 10) for number in range(MANY)], MANY, 2),
}
"""When Commits finish, in seconds; how many of them are there from the start; and how many collections that may take."""


@pytest.mark.parametrize("case", TIMETABLES)
async def test_as_many_collections_as_needed_and_no_more(case: str) -> None:
    times, known, most = TIMETABLES[case]
    settings = replace(SETTINGS, settle_seconds=5.0)
    cluster = FakeCluster(dataset(), *(commit(f"c{number}") for number in range(known)), answers=collected)
    queue = [(at, f"c{number}") for number, at in enumerate(times)]
    clock = 0.0
    while True:
        while queue and queue[0][0] <= clock:
            at, name = queue.pop(0)
            cluster.put(ended(name, at=NOW + timedelta(seconds=at)))
        done = await once(cluster, settings=settings, later=clock)
        waits = [] if done.plan.requeue_after is None else [clock + done.plan.requeue_after]
        if done.plan.create:
            waits.append(clock)
        if queue:
            waits.append(queue[0][0])
        if not waits:
            break
        clock = min(waits)
    assert cluster.condition(ALL, "Finished") == ("True", "Collected")
    assert cluster.status(ALL)["finished"] == MANY
    assert len(cluster.created) <= most


@pytest.mark.parametrize("dry_run", [True, False])
async def test_what_was_published_is_told(dry_run: bool) -> None:
    publish = {"repository": "acme", "secretKeyRef": {"name": "hub", "key": "token"}, "dryRun": dry_run}
    cluster = FakeCluster(dataset(spec={"publish": publish}), ended("one"), answers=collected)
    for _ in range(2):
        await once(cluster)
    (job,) = cluster.jobs.values()
    spec = job["spec"]["template"]["spec"]
    assert [one["name"] for one in spec["initContainers"]] == ["list", "collect", "publish"]
    holders = [
        one["name"] for one in spec["initContainers"] if any(m["name"] == "input-hub" for m in one["volumeMounts"])
    ]
    assert holders == ["publish"]
    assert cluster.condition(ALL, "Published") == (("False", "DryRun") if dry_run else ("True", "Published"))
    assert cluster.condition(ALL, "Succeeded") == ("True", "Collected")
    assert DatasetStatus.model_validate(cluster.status(ALL)).published is not None


async def test_records_are_collected_although_the_hub_refuses_them() -> None:
    publish = {"repository": "acme/rocket", "secretKeyRef": {"name": "hub", "key": "token"}}

    def refused(request: Any, job: Any) -> Said:
        return Said(reason=Reason.HUB_TOKEN_REJECTED, data=collected(request, job).data, tail="403 Forbidden")

    cluster = FakeCluster(dataset(spec={"publish": publish}), ended("one"), answers=refused)
    for _ in range(3):
        await once(cluster)
    assert len(cluster.created) == 1
    assert cluster.condition(ALL, "Collected") == ("True", "Collected")
    assert cluster.condition(ALL, "Published") == ("False", "HubTokenRejected")
    assert cluster.condition(ALL, "Succeeded") == ("False", "HubTokenRejected")
    assert has_collected(cluster.objects[ALL], ended("one"))
    cluster.objects[ALL]["metadata"]["annotations"] = {"isobench.dev/retry": "1"}
    cluster.answers = collected
    for _ in range(3):
        await once(cluster)
    assert len(cluster.created) == 2
    assert cluster.condition(ALL, "Succeeded") == ("True", "Collected")


async def test_a_collection_that_a_quota_holds_back_says_so() -> None:
    cluster = FakeCluster(dataset(), ended("one"))
    cluster.failures["create"] = [HeldBack("exceeded quota: pods=10")]
    await once(cluster)
    found = next(one for one in cluster.status(ALL)["conditions"] if one["type"] == "Collected")
    assert (found["status"], found["message"]) == ("Unknown", "exceeded quota: pods=10")
    await once(cluster)
    assert len(cluster.created) == 1


async def test_a_failed_collection_is_tried_again_when_asked() -> None:
    answers = iter(
        [
            Said(reason=Reason.DISK_FULL, tail="no space"),
            Said(data={"dataset": digest("d"), "records": 0, "commits": 1, "finished": 1}),
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


async def test_a_commit_with_a_time_to_live_goes_after_its_dataset_has_it() -> None:
    brief = commit("brief", spec={"ttlSecondsAfterFinished": 0})
    cluster = FakeCluster(dataset(), brief, answers=Story())
    key, clock = Key("Commit", "bench", "brief"), NOW

    async def look(at: Key) -> Pass:
        return await Reconciler(cluster, SETTINGS, clock=lambda: clock).reconcile(at)

    for _ in range(6):
        await look(key)
    assert cluster.condition(key, "Finished")[0] == "True"
    clock += timedelta(seconds=5)
    assert not (await look(key)).plan.expired
    for _ in range(4):
        await look(ALL)
    assert cluster.condition(ALL, "Succeeded") == ("True", "Collected")
    status = cluster.status(ALL)
    cluster.objects[ALL]["status"] = {**status, "through": cluster.status(key)["conditions"][-1]["lastTransitionTime"]}
    assert (await look(key)).plan.expired
    assert key not in cluster.objects
    assert cluster.condition(ALL, "Succeeded") == ("True", "Collected")
