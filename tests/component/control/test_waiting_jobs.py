"""Jobs that do not come to run: what is read of them, and when they are looked at again."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from isobench_operator.cluster.ports import ClusterError, HeldBack, Key
from isobench_operator.control import reconciler
from isobench_operator.control.reconciler import HELD_SECONDS, Reconciler
from isobench_operator.core.plan import Observed, Plan
from isobench_operator.core.settings import Settings
from support.builders import NOW, SETTINGS, commit
from support.fake_cluster import FakeCluster

KEY = Key("Commit", "bench", "speedup-1")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[Observed]:
    """What decisions were made from, in order."""
    found: list[Observed] = []
    real = reconciler.decide

    def decide(observed: Observed, now: datetime, settings: Settings) -> Plan:
        found.append(observed)
        return real(observed, now, settings)

    monkeypatch.setattr(reconciler, "decide", decide)
    return found


async def one_pass(cluster: FakeCluster, *, now: datetime = NOW) -> Any:
    return await Reconciler(cluster, SETTINGS, clock=lambda: now).reconcile(KEY)


async def test_events_are_read_of_a_job_that_stands_still_and_of_no_other(seen: list[Observed]) -> None:
    cluster = FakeCluster(commit())
    await one_pass(cluster)
    refused = {"reason": "FailedCreate", "message": "exceeded quota"}
    for job in cluster.jobs.values():
        job["metadata"]["creationTimestamp"] = NOW.isoformat()
        cluster.happenings[job["metadata"]["uid"]] = [refused]
    young = await one_pass(cluster, now=NOW + timedelta(seconds=2))
    assert (seen[-1].events, cluster.calls["events_about"]) == ((), 0)
    assert young.plan.requeue_after == 10
    await one_pass(cluster, now=NOW + timedelta(seconds=12))
    assert seen[-1].events == (refused,) * len(cluster.jobs)


async def test_a_job_that_is_held_back_is_told_to_the_decision_and_asked_for_again(seen: list[Observed]) -> None:
    cluster = FakeCluster(commit())
    cluster.failures["create"] = [HeldBack("exceeded quota: gpus")]
    done = await one_pass(cluster)
    (name,) = seen[-1].held
    assert seen[-1].held[name] == "exceeded quota: gpus"
    assert done.plan.requeue_after <= HELD_SECONDS
    await one_pass(cluster)
    assert name in cluster.jobs


async def test_an_error_on_the_way_is_not_taken_for_a_refusal(seen: list[Observed]) -> None:
    cluster = FakeCluster(commit())
    cluster.failures["create"] = [ClusterError("the connection was reset")]
    with pytest.raises(ClusterError):
        await one_pass(cluster)
    assert len(seen) == 1
