"""What keeps a Job from running is told in words that stay the same, and ends typed where waiting cannot help."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from isobench_operator.core import naming
from isobench_operator.core.observed import job_views
from isobench_operator.core.plan import Observed, Plan, decide
from isobench_operator.core.policies import troubles
from isobench_runner.contract import EXPLANATIONS, Reason
from support.builders import NOW, SETTINGS, commit, dataset

Json = dict[str, Any]
AT = NOW.isoformat()


def job(role: str = "prepare-base", **changes: Any) -> Json:
    """A Job of the Commit that has begun and has no pod."""
    found = next(one for one in decide(Observed(owner=commit()), NOW, SETTINGS).create if labelled(one, role))
    found["metadata"] |= {"uid": f"uid-of-{role}", "creationTimestamp": AT}
    return {**found, "status": {"startTime": AT}, **changes}


def labelled(one: Json, role: str) -> bool:
    return bool(one["metadata"]["labels"][naming.ROLE_LABEL] == role)


def pod(of: Json, **status: Any) -> Json:
    owner = {"kind": "Job", "name": of["metadata"]["name"], "uid": of["metadata"]["uid"]}
    metadata = {"name": "p", "uid": "uid-of-p", "creationTimestamp": AT, "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Pending", **status}}


def waits(reason: str, message: str = "", *, container: str = "build") -> Json:
    first = {"name": "fetch", "state": {"terminated": {"exitCode": 0, "finishedAt": AT}}}
    waiting = {"name": container, "image": "x:1", "state": {"waiting": {"reason": reason, "message": message}}}
    return {"initContainerStatuses": [first, waiting]}


def unscheduled(message: str, reason: str = "Unschedulable") -> Json:
    return {"conditions": [{"type": "PodScheduled", "status": "False", "reason": reason, "message": message}]}


def event(uid: str, reason: str, message: str = "", *, kind: str = "Warning", seconds: float = 0) -> Json:
    at = (NOW + timedelta(seconds=seconds)).isoformat()
    return {
        "type": kind,
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
        "involvedObject": {"uid": uid},
    }


def found(one: Json, *pods: Json, events: tuple[Json, ...] = ()) -> troubles.Trouble | None:
    return troubles.find(job_views([one], pods)[0], events)


PULL = 'failed to pull and unpack image "x:1": failed to resolve reference "x:1": x:1: not found'
BUSY = "0/3 nodes are available: 1 node(s) had untolerated taint {a: b}, 2 Insufficient nvidia.com/gpu. preemption: 0/3 nodes are available: 3 No preemption victims found."


@pytest.mark.parametrize(
    ("status", "word", "message", "warns"),
    [
        (
            unscheduled(BUSY), "Unschedulable",
            "no node fits: Insufficient nvidia.com/gpu; node(s) had untolerated taint {a: b}", False,
        ),
        (
            unscheduled("0/1 nodes are available: 1 Insufficient nvidia.com/gpu. no new claims to deallocate, preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."),
            "Unschedulable", "no node fits: Insufficient nvidia.com/gpu", False,
        ),
        (
            unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."), "Unschedulable",
            "no node fits: node(s) didn't match Pod's node affinity/selector", True,
        ),
        (
            unscheduled('0/1 nodes are available: persistentvolumeclaim "isobench-store" not found.'), "Unschedulable",
            'no node fits: persistentvolumeclaim "isobench-store" not found', True,
        ),
        (unscheduled("", "SchedulingGated"), "Unschedulable", "the pod is held by a scheduling gate", False),
        (waits("ErrImagePull", f"rpc error: code = NotFound desc = {PULL}"), "ImagePull", f"image x:1 of container build cannot be pulled: {PULL}", True),
        (waits("ImagePullBackOff", f'Back-off pulling image "x:1": ErrImagePull: {PULL}'), "ImagePull", f"image x:1 of container build cannot be pulled: {PULL}", True),
        (waits("ImagePullBackOff", 'Back-off pulling image "x:1"'), "ImagePull", "image x:1 of container build cannot be pulled", True),
        (waits("InvalidImageName", "parse"), "ImagePull", "image x:1 of container build cannot be pulled: parse", True),
        (waits("CreateContainerConfigError", 'configmap "w" not found'), "Config", 'container build: CreateContainerConfigError: configmap "w" not found', True),
        (waits("CreateContainerError", "no device"), "Container", "container build: CreateContainerError: no device", True),
        (waits("Unheard", ""), "Container", "container build: Unheard", True),
    ],
)  # fmt: skip
def test_a_pod_that_cannot_run_is_told_in_stable_words(status: Json, word: str, message: str, warns: bool) -> None:
    one = job()
    trouble = found(one, pod(one, **status))
    assert trouble is not None
    assert (trouble.word, trouble.message, trouble.warns) == (word, message, warns)


@pytest.mark.parametrize(
    ("events", "word", "message"),
    [
        (
            [("FailedCreate", 'Error creating: pods "a-x1" is forbidden: exceeded quota: q, requested: cpu=4,pods=1, used: cpu=3,pods=9, limited: cpu=4,pods=9')],
            "Quota", "exceeded quota: q, requested: cpu=4,pods=1, limited: cpu=4,pods=9",
        ),
        (
            [("FailedCreate", 'Error creating: pods "a-x1" is forbidden: violates PodSecurity "restricted:latest": hostUsers')],
            "Admission", 'violates PodSecurity "restricted:latest": hostUsers',
        ),
        (
            [("FailedCreate", 'Error creating: pods "a-" is forbidden: error looking up service account work/isobench-run: serviceaccount "isobench-run" not found')],
            "Admission", 'error looking up service account work/isobench-run: serviceaccount "isobench-run" not found',
        ),
        ([("SuccessfulCreate", "Created pod: a-x1")], None, ""),
        ([], None, ""),
    ],
)  # fmt: skip
def test_a_job_without_a_pod_says_why(events: list[tuple[str, str]], word: str | None, message: str) -> None:
    one = job()
    told = [event("uid-of-prepare-base", reason, text, kind="Normal" if reason.startswith("S") else "Warning") for reason, text in events]  # fmt: skip
    trouble = found(one, events=(*told, event("uid-of-another", "FailedCreate", "of another Job")))
    assert (trouble.word if trouble else None) == word
    assert (trouble.message if trouble else "") == message


@pytest.mark.parametrize(
    ("reason", "word"),
    [("FailedCreatePodSandBox", "Sandbox"), ("FailedMount", "Mount"), ("FailedAttachVolume", "Mount"), ("BackOff", None)],
)  # fmt: skip
def test_a_pod_that_only_events_tell_of(reason: str, word: str | None) -> None:
    one = job()
    trouble = found(one, pod(one), events=(event("uid-of-p", reason, "words"),))
    assert (trouble.word if trouble else None) == word


@pytest.mark.parametrize(
    ("message", "seconds", "untold"),
    [
        (BUSY, 0, 20), (BUSY, 5, 15), (BUSY, 20, 0), (BUSY, 3600, 0),
        ("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.", 0, 0),
    ],
)  # fmt: skip
def test_a_full_node_is_told_of_once_it_stays_full(message: str, seconds: float, untold: float) -> None:
    one = job()
    trouble = found(one, pod(one, **unscheduled(message)))
    assert trouble is not None
    assert trouble.since is not None
    assert trouble.untold(trouble.since + timedelta(seconds=seconds)) == untold


def test_what_no_node_meets_is_named() -> None:
    one = job()
    views = job_views([one], [pod(one, **unscheduled("0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector."))])  # fmt: skip
    trouble = troubles.find(views[0], required="compute capability 9.0")
    assert trouble is not None
    assert trouble.message.endswith("(environment.requires: compute capability 9.0)")
    assert trouble.warns


def test_a_warning_is_over_where_something_went_on_since() -> None:
    one = job()
    warned = event("uid-of-p", "FailedMount", "not yet")
    pulling = event("uid-of-p", "Pulling", "Pulling image", kind="Normal", seconds=2)
    assert found(one, pod(one), events=(pulling, warned)) is None
    chatter = [
        event("uid-of-p", "SandboxChanged", kind="Normal", seconds=3),
        event("uid-of-p", "MissingClusterDNS", seconds=4),
    ]
    assert found(one, pod(one), events=(warned, *chatter)) is not None
    assert found(one, pod(one), events=(warned, pulling, *chatter)) is None
    assert found(one, pod(one), events=(pulling, {**warned, "lastTimestamp": (NOW + timedelta(seconds=9)).isoformat()}))


@pytest.mark.parametrize(
    "healthy",
    [
        {},
        waits("PodInitializing"),
        {"phase": "Running", "initContainerStatuses": [{"name": "fetch", "state": {"running": {}}}]},
        {"phase": "Failed", **waits("ErrImagePull")},
    ],
)
def test_a_pod_on_its_way_or_over_is_no_trouble(healthy: Json) -> None:
    one = job()
    assert found(one, pod(one, **healthy)) is None


def test_a_job_that_kueue_holds_is_queued() -> None:
    one = job()
    one["metadata"]["labels"][naming.QUEUE_LABEL] = "gpus"
    one["spec"]["suspend"] = True
    trouble = found(one)
    assert trouble is not None
    assert (trouble.word, trouble.message, trouble.reason) == ("Queued", "waits to be admitted by queue gpus", None)


@pytest.mark.parametrize("word", [word for word, row in troubles.ROWS.items() if row.ends and word != "Disrupted"])
def test_what_a_trouble_ends_with_is_not_tried_again_by_itself(word: str) -> None:
    reason = troubles.ROWS[word].ends
    assert reason is not None
    assert EXPLANATIONS[reason].retry == "never"


def test_counters_are_no_news() -> None:
    assert troubles.steady("3 of 5 nodes", "4 of 6 nodes") == "3 of 5 nodes"
    assert troubles.steady("3 of 5 nodes", "no node") == "no node"


def test_a_message_is_bounded() -> None:
    one = job()
    trouble = found(one, pod(one, **waits("CreateContainerError", "x" * 5000)))
    assert trouble is not None
    assert len(trouble.message) == troubles.MAX_WORDS


# What a Commit makes of it.


def observed(owner: Json, *, now: datetime = NOW, status: Json | None = None, events: tuple[Json, ...] = ()) -> Plan:
    """A pass over a Commit whose base is being prepared by a pod of this status."""
    jobs = [job(role) for role in ("prepare-base", "prepare-head", "prepare-main")]
    pods = [pod(jobs[0], **status)] if status is not None else []
    return decide(Observed(owner=owner, jobs=tuple(jobs), pods=tuple(pods), events=events), now, SETTINGS)


def summary(plan: Plan, type_: str = "Succeeded") -> tuple[str, str, str]:
    assert plan.status is not None
    one = next(one for one in plan.status["conditions"] if one["type"] == type_)
    return one["status"], one["reason"], one["message"]


def test_a_trouble_is_in_the_step_and_in_the_summary_and_goes_away() -> None:
    plan = observed(commit(), status=waits("ErrImagePull", PULL))
    told = f"prepare-base: image x:1 of container build cannot be pulled: {PULL}"
    assert summary(plan) == ("Unknown", "ImagePull", told)
    assert summary(plan, "Prepared") == ("Unknown", "ImagePull", told)
    assert summary(plan, "Finished")[:2] == ("Unknown", "ImagePull")
    after = observed({**commit(), "status": plan.status}, status={"phase": "Running", "initContainerStatuses": [{"name": "fetch", "state": {"running": {}}}]})  # fmt: skip
    assert summary(after) == ("Unknown", "Preparing", "")


def test_a_human_is_told_once_and_a_trouble_that_stays_is_written_once() -> None:
    plan = observed(commit(), status=waits("ErrImagePull", PULL))
    assert [(one.type, one.reason) for one in plan.events] == [("Warning", "ImagePull")]
    again = observed({**commit(), "status": plan.status}, status=waits("ImagePullBackOff", f'Back-off pulling image "x:1": ErrImagePull: {PULL}'))  # fmt: skip
    assert (again.status, again.events) == (None, ())
    busier = observed(commit(), status=unscheduled("0/2 nodes are available: 2 Insufficient cpu."))
    assert busier.events == ()
    other = observed({**commit(), "status": busier.status}, status=unscheduled("0/9 nodes are available: 9 Insufficient cpu."))  # fmt: skip
    assert other.status is None


def test_what_cannot_get_better_ends_typed_after_the_bound_and_frees_its_node() -> None:
    early = observed(commit(), status=waits("ErrImagePull", PULL), now=NOW + timedelta(seconds=1000))
    assert early.requeue_after == SETTINGS.waiting_seconds - 1000
    plan = observed(commit(), status=waits("ErrImagePull", PULL), now=NOW + timedelta(seconds=SETTINGS.waiting_seconds))
    assert summary(plan)[:2] == ("False", "ImageUnavailable")
    assert PULL in summary(plan)[2]
    assert {one.name for one in plan.delete} == {
        job(role)["metadata"]["name"] for role in ("prepare-base", "prepare-head", "prepare-main")
    }


@pytest.mark.parametrize("status", [unscheduled(BUSY)])
def test_a_queue_for_gpus_is_waited_for_however_long(status: Json) -> None:
    plan = observed(commit(), status=status, now=NOW + timedelta(days=30))
    assert summary(plan)[:2] == ("Unknown", "Unschedulable")
    assert plan.requeue_after is None


def test_main_that_cannot_start_costs_only_itself() -> None:
    jobs = [job(role) for role in ("prepare-base", "prepare-head", "prepare-main")]
    late = NOW + timedelta(seconds=SETTINGS.waiting_seconds)
    seen = Observed(owner=commit(), jobs=tuple(jobs), pods=(pod(jobs[2], **waits("ErrImagePull", PULL)),))
    plan = decide(seen, late, SETTINGS)
    assert summary(plan)[:2] == ("Unknown", "Preparing")
    assert [one.name for one in plan.delete] == [jobs[2]["metadata"]["name"]]
    assert plan.status is not None
    assert next(one for one in plan.status["revisions"] if one["name"] == "main")["reason"] == "ImageUnavailable"


def test_an_image_whose_name_is_none_is_not_waited_for() -> None:
    assert summary(observed(commit(), status=waits("InvalidImageName", "couldn't parse")))[1] == "ImageUnavailable"


def test_disruptions_do_not_count_but_are_no_endless_loop() -> None:
    one = job()
    taken = [
        pod(one, phase="Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}])
        for _ in range(troubles.MOST_DISRUPTIONS)
    ]
    assert found(one, *taken[1:]) is None
    plan = decide(Observed(owner=commit(), jobs=(one,), pods=tuple(taken)), NOW, SETTINGS)
    assert summary(plan)[:2] == ("False", "Evicted")
    assert one["metadata"]["name"] in {deletion.name for deletion in plan.delete}


def test_a_suspended_commit_says_that_it_is_suspended() -> None:
    plan = observed(commit(spec={"suspend": True}), status=waits("ErrImagePull", PULL), now=NOW + timedelta(days=1))
    assert summary(plan)[:2] == ("Unknown", "Suspended")


def test_a_job_that_is_held_back_is_told_and_one_that_is_refused_ends() -> None:
    (name, *_) = [one["metadata"]["name"] for one in decide(Observed(owner=commit()), NOW, SETTINGS).create]
    quota = f'jobs.batch "{name}" is forbidden: exceeded quota: q, requested: count/jobs=1, used: count/jobs=5, limited: count/jobs=5'
    plan = decide(Observed(owner=commit(), held={name: quota}), NOW, SETTINGS)
    said = "prepare-base: exceeded quota: q, requested: count/jobs=1, limited: count/jobs=5"
    assert summary(plan) == ("Unknown", "Quota", said)
    assert plan.events == ()
    denied = "admission webhook denied the request: no"
    plan = decide(Observed(owner=commit(), rejected={name: denied}), NOW, SETTINGS)
    assert summary(plan)[:2] == ("False", "PodRefused")
    plan = decide(Observed(owner=commit(), rejected={name: "Job is invalid: spec"}), NOW, SETTINGS)
    assert summary(plan)[:2] == ("False", "SpecInvalid")


def test_the_bound_counts_from_when_the_container_could_have_begun() -> None:
    later = (NOW + timedelta(hours=1)).isoformat()
    status = waits("ErrImagePull", PULL)
    status["initContainerStatuses"][0]["state"]["terminated"]["finishedAt"] = later
    plan = observed(commit(), status=status, now=NOW + timedelta(hours=1, seconds=5))
    assert summary(plan)[:2] == ("Unknown", "ImagePull")


def test_every_settings_bound_can_be_changed() -> None:
    jobs = (job(),)
    short = replace(SETTINGS, waiting_seconds=1.0)
    seen = Observed(owner=commit(), jobs=jobs, pods=(pod(jobs[0], **waits("ErrImagePull", PULL)),))
    assert summary(decide(seen, NOW + timedelta(seconds=2), short))[1] == Reason.IMAGE_UNAVAILABLE


def test_a_dataset_says_what_its_collection_waits_for_and_ends_as_a_commit_does() -> None:
    ended = {"conditions": [{"type": "Finished", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    commits = ({**commit(), "status": ended},)
    begun = decide(Observed(owner=dataset(), commits=commits), NOW, SETTINGS)
    (collect,) = begun.create
    collect = {**collect, "status": {"startTime": AT}}
    collect["metadata"] |= {"uid": "uid-of-collect"}
    owner = {**dataset(), "status": begun.status}
    seen = Observed(owner=owner, commits=commits, jobs=(collect,), pods=(pod(collect, **waits("ErrImagePull", PULL)),))
    plan = decide(seen, NOW, SETTINGS)
    assert summary(plan)[:2] == ("Unknown", "ImagePull")
    assert [(one.type, one.reason) for one in plan.events] == [("Warning", "ImagePull")]
    assert plan.requeue_after == SETTINGS.waiting_seconds
    late = decide(seen, NOW + timedelta(seconds=SETTINGS.waiting_seconds), SETTINGS)
    assert summary(late)[:2] == ("False", "ImageUnavailable")
    assert [one.name for one in late.delete] == [collect["metadata"]["name"]]
    full = replace(seen, pods=(pod(collect, **unscheduled(BUSY)),))
    soon = decide(full, NOW + timedelta(seconds=5), SETTINGS)
    assert (soon.status, soon.events, soon.requeue_after) == (None, (), troubles.GRACE_SECONDS - 5)
    still = decide(full, NOW + timedelta(seconds=troubles.GRACE_SECONDS), SETTINGS)
    assert summary(still)[:2] == ("Unknown", "Unschedulable")
    quota = Observed(owner=dataset(), commits=commits, held={collect["metadata"]["name"]: "exceeded quota: q"})
    assert summary(decide(quota, NOW, SETTINGS)) == ("Unknown", "Quota", "exceeded quota: q")
