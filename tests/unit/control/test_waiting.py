"""What stands still is asked about after a while, and the longer it stands the more seldom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from isobench_operator.control.waiting import waiting
from support.builders import NOW

Json = dict[str, Any]


def at(seconds_ago: float) -> str:
    return (NOW - timedelta(seconds=seconds_ago)).isoformat().replace("+00:00", "Z")


def job(age: float, name: str = "j", *, suspend: bool = False, **status: Any) -> Json:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": at(age)},
        "spec": {"suspend": suspend},
        "status": status,
    }


def pod(age: float, *, phase: str = "Pending", of: str = "j", state: Json | None = None) -> Json:
    containers = [] if state is None else [{"name": "fetch", "state": state}]
    return {
        "metadata": {
            "name": "p",
            "uid": "uid-p",
            "creationTimestamp": at(age),
            "ownerReferences": [{"kind": "Job", "name": of, "uid": f"uid-{of}"}],
        },
        "status": {"phase": phase, "initContainerStatuses": containers},
    }


PULLING = {"waiting": {"reason": "ImagePullBackOff"}}
COMPLETE = [{"type": "Complete", "status": "True"}]


@pytest.mark.parametrize(
    ("case", "jobs", "pods", "asked", "again"),
    [
        ("nothing", [], [], [], None),
        ("a young Job without a pod", [job(2)], [], [], 10),
        ("an old Job without a pod", [job(12)], [], ["j"], 10),
        ("a pod that runs", [job(90)], [pod(90, state={"running": {"startedAt": at(80)}})], [], None),
        ("a pod without a container", [job(40)], [pod(40)], ["p"], 20),
        ("an image that does not come", [job(40)], [pod(40, state=PULLING)], ["p"], 20),
        ("a pod that failed, and none after it", [job(40)], [pod(40, phase="Failed")], ["j"], 20),
        ("an hour in the queue", [job(3600)], [pod(3600)], ["p"], 300),
        ("another Job's pod", [job(40)], [pod(40, of="other", state=PULLING)], ["j"], 20),
        ("a suspended Job", [job(40, suspend=True)], [], [], None),
        ("a Job that has ended", [job(40, conditions=COMPLETE)], [], [], None),
        ("the younger sets the pace", [job(600), job(4, "k")], [], ["j"], 10),
        ("a resumed Job counts from its start", [job(600, startTime=at(3))], [], [], 10),
    ],
)
def test_what_stands_still(case: str, jobs: list[Json], pods: list[Json], asked: list[str], again: float) -> None:
    found = waiting(jobs, pods, NOW)
    assert [one["metadata"]["name"] for one in found.objects] == asked, case
    assert found.again == again
