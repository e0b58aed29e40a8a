"""A Commit with a time to live goes once it is over and its Datasets have what they need, and never before."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from isobench_operator.core.plan import Observed, Plan, decide
from isobench_operator.core.policies.expiry import LOOK_SECONDS, after
from support.builders import EMBEDDED, NOW, commit, dataset

Json = dict[str, Any]
TTL = {"ttlSecondsAfterFinished": 60}


def time(ago: float) -> str:
    return (NOW - timedelta(seconds=ago)).strftime("%Y-%m-%dT%H:%M:%SZ")


def finished(ago: float, **spec: Any) -> Json:
    conditions = [{"type": "Finished", "status": "True", "reason": "Faster", "lastTransitionTime": time(ago)}]
    return {**commit(spec=spec), "status": {"observedGeneration": 1, "conditions": conditions}}


def collected(ago: float | None, **labels: str) -> Json:
    spec = {"source": {"commits": {"selector": {"matchLabels": labels}}}}
    return {**dataset(spec=spec), "status": {} if ago is None else {"through": time(ago)}}


@pytest.mark.parametrize(
    ("case", "owner", "datasets", "expired", "again"),
    [
        ("no time to live", finished(600), [], False, None),
        ("not over", finished(20, **TTL), [], False, 40),
        ("over, no Dataset", finished(61, **TTL), [], True, None),
        ("over, collected", finished(61, **TTL), [collected(61)], True, None),
        ("over, collected before it", finished(61, **TTL), [collected(90)], False, LOOK_SECONDS),
        ("over, never collected", finished(61, **TTL), [collected(None)], False, LOOK_SECONDS),
        ("over, a Dataset of others", finished(61, **TTL), [collected(None, team="x")], True, None),
        ("over, one of two", finished(61, **TTL), [collected(61), collected(None)], False, LOOK_SECONDS),
        ("at once", finished(0, ttlSecondsAfterFinished=0), [collected(0)], True, None),
    ],
)
def test_when_it_goes(case: str, owner: Json, datasets: list[Json], expired: bool, again: float | None) -> None:
    plan = after(Plan(finished=True), Observed(owner=owner, datasets=tuple(datasets)), NOW)
    assert (plan.expired, plan.requeue_after) == (expired, again), case


def test_the_time_begins_with_the_status_that_says_so() -> None:
    plan = after(Plan(finished=True, status={"conditions": []}), Observed(owner=finished(600, **TTL)), NOW)
    assert (plan.expired, plan.requeue_after) == (False, 60)


def test_one_that_is_under_way_stays() -> None:
    plan = after(Plan(), Observed(owner=commit(spec=TTL)), NOW)
    assert plan == Plan()


def test_on_a_laptop_nothing_goes_by_itself() -> None:
    observed = Observed(owner=finished(600, **TTL))
    assert not decide(observed, NOW, EMBEDDED).expired
    assert decide(observed, NOW, replace(EMBEDDED, pods=replace(EMBEDDED.pods, runtime="kubernetes"))).expired
