"""What Prometheus is told of whole stories, and what a log says: by names and labels that alerts and dashboards rely on."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from isobench_operator import logs
from isobench_operator.cluster.ports import ClusterError, HeldBack, Key, Outdated
from isobench_operator.control.happened import stage_ends
from isobench_operator.control.loop import Loop
from isobench_operator.control.queue import WorkQueue
from isobench_operator.control.reconciler import Pass, Reconciler
from isobench_operator.control.roster import Roster
from isobench_operator.metrics import Metrics
from isobench_operator.narration import narrate
from isobench_runner.contract import Reason
from support.builders import NOW, SETTINGS, commit, dataset, generated
from support.fake_cluster import FakeCluster, Killed, Said
from support.stories import Story

KEY = Key("Commit", "bench", "speedup-1")


class Watched:
    """A loop over a cluster in memory, with metrics and a roster that hears of everything."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.cluster, self.roster = cluster, Roster()
        self.queue: WorkQueue[Key] = WorkQueue(first_backoff=0.001, most_backoff=0.01)
        self.metrics = Metrics(queue=self.queue, roster=self.roster)
        self.passes: list[Pass] = []

    async def run(self) -> None:
        """Until everything has finished."""
        stop = asyncio.Event()

        def observe(done: Pass) -> None:
            self.passes.append(done)
            self.told(done)
            if done.owner is not None:
                self.roster.hear(done.owner)
            if all(
                self.cluster.status(key) and self.cluster.condition(key, "Finished")[0] == "True"
                for key in self.cluster.objects
            ):
                stop.set()

        loop = Loop(
            self.cluster,
            Reconciler(self.cluster, SETTINGS),
            queue=self.queue,
            observer=observe,
            roster=self.roster,
            failed=self.metrics.failed,
        )
        self.cluster.on_change = loop.enqueue
        await asyncio.wait_for(loop.run(stop), 20)

    def told(self, done: Pass) -> None:
        """As the process tells both."""
        ends = stage_ends(done, secret=SETTINGS.secret)
        self.metrics.passed(done, ends)
        narrate(done, ends)

    def value(self, name: str, **labels: str) -> float | None:
        """A sample."""
        return self.metrics.registry.get_sample_value(name, labels)


async def test_a_generated_story_is_counted_once_by_stage_verdict_and_cost() -> None:
    story = Story(script=False, base=[Said(reason=Reason.TEST_FAILED, data={"evidence": f"sha256:{'e' * 64}"})])
    watched = Watched(FakeCluster(dataset(), generated(), answers=story))
    await watched.run()
    value = watched.value
    assert value("isobench_stage_attempts_total", stage="prepare", reason="Succeeded") == 3
    assert value("isobench_stage_attempts_total", stage="base", reason="TestFailed") == 1
    assert value("isobench_stage_attempts_total", stage="base", reason="Succeeded") == 1
    assert value("isobench_stage_attempts_total", stage="generate", reason="Succeeded") == 2
    assert value("isobench_stage_attempts_total", stage="collect", reason="Succeeded") == 1
    assert value("isobench_verdicts_total", verdict="faster") == 1
    assert value("isobench_speedup_ratio_sum") == pytest.approx(1.84)
    assert value("isobench_llm_tokens_total", model="gpt-test", type="prompt") == 2000
    assert value("isobench_llm_tokens_total", model="gpt-test", type="completion") == 400
    assert value("isobench_llm_cost_usd_total", model="gpt-test") == pytest.approx(0.025)
    assert value("isobench_commits", namespace="bench", status="True", reason="Faster") == 1
    assert value("isobench_datasets", namespace="bench", status="True", reason="Collected") == 1
    assert value("isobench_reconcile_duration_seconds_count", kind="Commit") > 1
    assert value("isobench_reconcile_errors_total", kind="Commit") is None
    assert value("isobench_build_info", version="0.1.0") == 1
    assert (value("isobench_queue_depth"), value("isobench_queue_working")) == (0, 0)


async def test_a_failure_has_its_reason_and_a_verdict_is_only_for_who_got_one() -> None:
    watched = Watched(FakeCluster(commit(), answers=Story(head=Killed())))
    await watched.run()
    assert watched.value("isobench_stage_attempts_total", stage="head", reason="OutOfMemory") == 1
    assert watched.value("isobench_commits", namespace="bench", status="False", reason="OutOfMemory") == 1
    assert watched.value("isobench_speedup_ratio_count") == 0
    assert watched.value("isobench_verdicts_total", verdict="faster") is None


async def test_errors_are_counted_and_a_changed_object_is_none() -> None:
    cluster = FakeCluster(commit(), answers=Story())
    cluster.failures["get"] = [ClusterError("busy"), ClusterError("busy")]
    cluster.failures["apply_status"] = [Outdated("the object has been modified")]
    watched = Watched(cluster)
    await watched.run()
    assert watched.value("isobench_reconcile_errors_total", kind="Commit") == 2
    assert watched.value("isobench_queue_retries_total") == 2


async def test_a_second_operator_that_finds_everything_done_counts_nothing() -> None:
    cluster = FakeCluster(commit(), answers=Story())
    await Watched(cluster).run()
    again = Watched(cluster)
    done = await Reconciler(cluster, SETTINGS).reconcile(KEY)
    again.told(done)
    assert again.value("isobench_stage_attempts_total", stage="head", reason="Succeeded") is None
    assert again.value("isobench_speedup_ratio_count") == 0


async def test_the_lag_is_from_the_jobs_end_to_the_status() -> None:
    cluster = FakeCluster(commit())
    reconciler = Reconciler(cluster, SETTINGS, clock=lambda: NOW + timedelta(seconds=2))
    await reconciler.reconcile(KEY)
    job = cluster.job("prepare-base")
    cluster.end(job, Said(reason=Reason.COMMIT_NOT_FOUND, tail="none"))
    cluster.jobs[job["metadata"]["name"]]["status"]["conditions"][0]["lastTransitionTime"] = NOW.isoformat()
    watched = Watched(cluster)
    watched.told(await reconciler.reconcile(KEY))
    assert watched.value("isobench_job_end_lag_seconds_sum") == 2
    assert watched.value("isobench_job_end_lag_seconds_count") == 1


async def test_what_waits_is_told_by_reason_until_it_no_longer_does() -> None:
    cluster = FakeCluster(commit())
    watched = Watched(cluster)
    reconciler = Reconciler(cluster, SETTINGS, clock=lambda: NOW)
    cluster.failures["create"] = [HeldBack("exceeded quota: few")]
    watched.told(await reconciler.reconcile(KEY))
    assert watched.value("isobench_waiting_pods", reason="Quota") == 1
    job = cluster.job("prepare-head")
    labels = {**job["metadata"]["labels"], "batch.kubernetes.io/job-name": job["metadata"]["name"]}
    waiting = [{"name": "fetch", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]
    cluster.pods["p"] = {
        "metadata": {"name": "p", "uid": "p", "labels": labels},
        "spec": {},
        "status": {"phase": "Pending", "initContainerStatuses": waiting},
    }
    watched.told(await reconciler.reconcile(KEY))
    assert watched.value("isobench_waiting_pods", reason="Quota") == 0
    assert watched.value("isobench_waiting_pods", reason="ImagePull") == 1
    del cluster.objects[KEY]
    watched.told(await reconciler.reconcile(KEY))
    assert watched.value("isobench_waiting_pods", reason="ImagePull") == 0


def test_requests_are_counted_by_few_words_and_models_are_cut_off() -> None:
    watched = Watched(FakeCluster())
    watched.metrics.request(verb="PATCH", resource="commits/status", code=200)
    watched.metrics.request(verb="GET", resource="commits", code=0)
    assert watched.value("isobench_api_requests_total", verb="PATCH", resource="commits/status", code="200") == 1
    assert watched.value("isobench_api_requests_total", verb="GET", resource="commits", code="0") == 1
    assert [watched.metrics._model(f"m{number}") for number in range(52)][-3:] == ["m49", "other", "other"]
    assert watched.metrics._model("m3") == "m3"


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """The log of a process, as JSON."""
    stream, root = io.StringIO(), logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.setup("debug", "json", stream=stream)
    yield stream
    root.handlers[:], root.level = before, level


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


async def test_each_line_says_whom_it_is_about_and_what_was_done_and_why(log: io.StringIO) -> None:
    await Watched(FakeCluster(commit(), answers=Story(head=Killed()))).run()
    told = [line for line in lines(log) if line["logger"] == "isobench"]
    assert {(line["kind"], line["namespace"], line["name"]) for line in told} == {("Commit", "bench", "speedup-1")}
    first = told[0]
    assert first["level"] == "info"
    assert "created prepare-base 1, prepare-head 1, prepare-main 1" in first["message"]
    assert len(first["created"]) == 3
    assert first["conditions"]["Prepared"] == "Unknown/Preparing"
    last = next(line for line in told if line.get("conditions", {}).get("Finished") == "True/Failed")
    assert last["level"] == "warning"
    assert "head 1 failed: OutOfMemory" in last["message"]
    assert {"role": "head", "attempt": 1, "reason": "OutOfMemory", "seconds": None} in last["ended"]


async def test_a_pass_that_changes_nothing_is_told_to_who_asks_for_every_decision(log: io.StringIO) -> None:
    cluster = FakeCluster(commit())
    watched, reconciler = Watched(cluster), Reconciler(cluster, SETTINGS, clock=lambda: NOW)
    for _ in range(2):
        watched.told(await reconciler.reconcile(KEY))
    del cluster.objects[KEY]
    watched.told(await reconciler.reconcile(KEY))
    told = [(line["level"], line["message"]) for line in lines(log)]
    assert told[1:] == [("debug", "nothing to do until something changes"), ("debug", "is gone")]
