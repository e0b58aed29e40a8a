"""Which news wakes whom: as few passes as possible, and never none where something is to be done."""

from __future__ import annotations

from typing import Any

import pytest

from isobench_operator.cluster.ports import Key
from isobench_operator.control.attention import Attention, troubles
from isobench_operator.control.roster import Roster, wants_a_pass
from support.builders import commit, dataset

Json = dict[str, Any]
KEY, ALL = Key("Commit", "bench", "speedup-1"), Key("Dataset", "bench", "all")


class Asked:
    """Notes what was asked for."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Key]] = []
        self.roster = Roster()
        self.attention = Attention(self, self.roster)

    def enqueue(self, key: Key, *, first: bool = False) -> None:
        self.calls.append(("first" if first else "now", key))

    def look(self, key: Key) -> None:
        self.calls.append(("later", key))

    def follow(self, dataset: Key) -> None:
        self.calls.append(("follow", dataset))

    def take(self) -> list[tuple[str, Key]]:
        """What was asked for since the last call."""
        found, self.calls = self.calls, []
        return found


@pytest.fixture
def asked() -> Asked:
    return Asked()


def finished(**metadata: Any) -> Json:
    conditions = [{"type": "Finished", "status": "True"}, {"type": "Succeeded", "status": "True", "reason": "Faster"}]
    return {**commit(**metadata), "status": {"observedGeneration": 1, "conditions": conditions}}


def child(*, queue: str | None = None, suspend: bool = False, uid: str = "uid-of-speedup-1", **status: Any) -> Json:
    labels = {"isobench.dev/commit-uid": uid} | ({"kueue.x-k8s.io/queue-name": queue} if queue else {})
    return {"metadata": {"uid": "child", "labels": labels}, "spec": {"suspend": suspend}, "status": status}


def ended(kind: str = "Complete") -> Json:
    return child(conditions=[{"type": kind, "status": "True"}])


KILLED = child(phase="Failed", initContainerStatuses=[{"state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}])  # fmt: skip
UNSCHEDULABLE = child(phase="Pending", conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}])  # fmt: skip
PULLING = child(phase="Pending", initContainerStatuses=[{"state": {"waiting": {"reason": "ErrImagePull"}}}])
RUNNING = child(phase="Running", initContainerStatuses=[{"state": {"running": {}}}])


@pytest.mark.parametrize(
    ("case", "before", "kind", "after", "calls"),
    [
        ("a new Commit", None, "ADDED", commit(), ["now"]),
        ("a listed Commit", None, None, commit(), ["later"]),
        ("a listed one that has ended", None, None, finished(), []),
        ("our own status write", commit(), "MODIFIED", finished(), []),
        ("a changed spec", finished(), "MODIFIED", finished(generation=2), ["now"]),
        ("a retry", finished(), "MODIFIED", finished(annotations={"isobench.dev/retry": "1"}), ["now"]),
        ("another annotation", finished(), "MODIFIED", finished(annotations={"a": "b"}), []),
        ("a deletion that waits", commit(), "MODIFIED", commit(deletionTimestamp="2026-01-02T03:04:05Z"), ["now"]),
        ("a deletion", commit(), "DELETED", commit(), ["now"]),
        ("a list after a gap", commit(), None, commit(), []),
        ("a list that shows a missed change", finished(), None, finished(generation=2), ["now"]),
    ],
)
def test_news_of_a_commit(asked: Asked, case: str, before: Json | None, kind: str, after: Json, calls: list[str]) -> None:  # fmt: skip
    if before is not None:
        asked.attention.owner("ADDED", before)
        asked.take()
    asked.attention.owner(kind, after)
    assert asked.take() == [(when, KEY) for when in calls], case


@pytest.mark.parametrize(
    ("case", "kind", "job", "calls"),
    [
        ("made", "ADDED", child(), []),
        ("runs", "MODIFIED", child(active=1), []),
        ("complete", "MODIFIED", ended(), ["first"]),
        ("failed", "MODIFIED", ended("Failed"), ["first"]),
        ("deleted", "DELETED", child(), ["first"]),
        ("listed", None, child(active=1), ["later"]),
        ("held by Kueue", "MODIFIED", child(queue="q", suspend=True), []),
        ("let in by Kueue", "MODIFIED", child(queue="q"), ["first"]),
        ("runs under Kueue", "MODIFIED", child(queue="q", active=1), []),
        (
            "of somebody unknown",
            "MODIFIED",
            child(uid="other", conditions=[{"type": "Complete", "status": "True"}]),
            [],
        ),
    ],
)
def test_news_of_a_job(asked: Asked, case: str, kind: str, job: Json, calls: list[str]) -> None:
    asked.attention.owner("ADDED", commit())
    asked.take()
    asked.attention.job(kind, job)
    assert asked.take() == [(when, KEY) for when in calls], case


def test_the_jobs_of_a_commit_that_has_ended_are_no_news_unless_one_still_runs(asked: Asked) -> None:
    asked.attention.owner(None, finished())
    for job in (ended(), ended("Failed")):
        asked.attention.job(None, job)
    asked.attention.job("DELETED", child())
    assert asked.take() == []
    asked.attention.job(None, child(active=1))
    assert asked.take() == [("later", KEY)]


def test_a_pod_is_news_when_it_gets_into_trouble_changes_it_or_gets_out(asked: Asked) -> None:
    asked.attention.owner("ADDED", commit())
    asked.take()
    told = []
    for pod in (child(phase="Pending"), UNSCHEDULABLE, UNSCHEDULABLE, PULLING, PULLING, RUNNING, RUNNING):
        asked.attention.pod("MODIFIED", pod)
        told.append(len(asked.take()))
    assert told == [0, 1, 0, 1, 0, 1, 0]
    asked.attention.pod("MODIFIED", PULLING)
    asked.take()
    asked.attention.pod("DELETED", PULLING)
    assert asked.take() == [("first", KEY)]


@pytest.mark.parametrize(
    ("pod", "found"),
    [
        (child(phase="Pending"), ()),
        (child(phase="Pending", containerStatuses=[{"state": {"waiting": {"reason": "PodInitializing"}}}]), ()),
        (RUNNING, ()),
        (UNSCHEDULABLE, ("Unschedulable",)),
        (PULLING, ("ImagePull",)),
        (KILLED, ("OOMKilled",)),
        (child(phase="Failed", reason="DeadlineExceeded"), ("DeadlineExceeded",)),
        (
            child(
                phase="Failed",
                initContainerStatuses=[{"state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}],
            ),
            (),
        ),
        (child(phase="Failed", containerStatuses=[{"state": {"waiting": {"reason": "ErrImagePull"}}}]), ()),
    ],
)
def test_troubles_are_a_few_words(pod: Json, found: tuple[str, ...]) -> None:
    assert troubles(pod) == found


def test_a_pod_that_was_killed_before_its_report_is_news(asked: Asked) -> None:
    asked.attention.owner("ADDED", commit())
    asked.take()
    asked.attention.pod("MODIFIED", RUNNING)
    assert asked.take() == []
    asked.attention.pod("MODIFIED", KILLED)
    assert asked.take() == [("first", KEY)]


def test_datasets_follow_commits_that_come_go_or_change_their_labels(asked: Asked) -> None:
    asked.attention.owner(None, dataset())
    asked.take()
    asked.attention.owner("ADDED", commit())
    assert asked.take() == [("now", KEY), ("follow", ALL)]
    asked.attention.owner("MODIFIED", commit(labels={"a": "b"}))
    assert asked.take() == [("follow", ALL)]
    asked.attention.owner("DELETED", commit())
    assert asked.take() == [("now", KEY), ("follow", ALL)]


@pytest.mark.parametrize(
    ("owner", "wants"),
    [
        (commit(), True),
        (finished(), False),
        (finished(generation=2), True),
        (finished(annotations={"isobench.dev/retry": "1"}), True),
        ({**finished(), "spec": {"ttlSecondsAfterFinished": 60}}, True),
        (commit(deletionTimestamp="2026-01-02T03:04:05Z"), False),
        (dataset(), True),
    ],
)
def test_what_wants_a_pass_by_itself(owner: Json, wants: bool) -> None:
    assert wants_a_pass(owner) is wants


def test_a_sweep_forgets_what_is_gone_but_not_what_came_since_it_began() -> None:
    roster = Roster()
    for name in ("old", "gone"):
        roster.hear(commit(name))
    mark = roster.mark()
    roster.hear(commit("new"))
    assert [key.name for key in roster.compare({"uid-of-old"}, before=mark)] == ["gone"]
    assert sorted(one.key.name for one in roster.known()) == ["new", "old"]
    assert roster.owner_of(child(uid="uid-of-gone")) is None
