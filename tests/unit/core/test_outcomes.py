"""What a Job came to whose report never spoke, from the kubelet's fields alone; and which is not tried again."""

from __future__ import annotations

from typing import Any

import pytest

from isobench_operator.core import naming
from isobench_operator.core.observed import hopeless, job_views, outcome
from isobench_operator.core.plan import Observed, decide
from isobench_runner.contract import Reason
from support.builders import NOW, SETTINGS, commit

Json = dict[str, Any]


def job(*, ended: bool = True) -> Json:
    found = next(
        one
        for one in decide(Observed(owner=commit()), NOW, SETTINGS).create
        if one["metadata"]["labels"][naming.ROLE_LABEL] == "prepare-base"
    )
    found["metadata"]["uid"] = "uid-of-job"
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
    return {**found, "status": {"conditions": [failed] if ended else []}}


def terminated(name: str, code: int, reason: str, message: str = "") -> Json:
    return {"name": name, "state": {"terminated": {"exitCode": code, "reason": reason, "message": message}}}


def pod(*containers: Json, **status: Any) -> Json:
    owner = {"kind": "Job", "name": job()["metadata"]["name"], "uid": "uid-of-job"}
    metadata = {"name": "p", "uid": "uid-of-p", "ownerReferences": [owner]}
    return {"metadata": metadata, "spec": {}, "status": {"phase": "Failed", "initContainerStatuses": list(containers), **status}}  # fmt: skip


DISRUPTED = [{"type": "DisruptionTarget", "status": "True"}]
CASES = [
    pytest.param(pod(terminated("build", 137, "OOMKilled")), Reason.OUT_OF_MEMORY, True, id="memory"),
    pytest.param(pod(terminated("build", 137, "Error"), reason="DeadlineExceeded"), Reason.DEADLINE_EXCEEDED, True, id="deadline"),
    pytest.param(pod(terminated("build", 137, "Error")), Reason.CONTAINER_FAILED, False, id="killed, nobody knows why"),
    pytest.param(pod(terminated("build", 137, "Error"), reason="Evicted", message="The node was low on resource: memory."), Reason.EVICTED, False, id="the node is full"),
    pytest.param(pod(terminated("build", 137, "Error"), reason="Evicted", message='Usage of EmptyDir volume "out" exceeds the limit "60Gi". '), Reason.DISK_FULL, False, id="a volume is full"),
    pytest.param(pod(terminated("build", 137, "Error"), reason="Evicted", message='Container build exceeded its local ephemeral storage limit "1Gi". '), Reason.DISK_FULL, False, id="the disk limit"),
    pytest.param(pod(terminated("build", 128, "StartError", 'exec: "python3": executable file not found in $PATH')), Reason.INTERPRETER_NOT_FOUND, True, id="no Python"),
    pytest.param(pod(terminated("build", 128, "StartError", "nvidia-container-cli: driver error: timed out")), Reason.CONTAINER_FAILED, False, id="a runtime's trouble"),
    pytest.param(pod(reason="UnexpectedAdmissionError", message="Allocate failed: no healthy devices"), Reason.NODE_REFUSED, False, id="a sick GPU"),
    pytest.param(pod(reason="OutOfnvidia.com/gpu", message="Node didn't have enough"), Reason.NODE_REFUSED, False, id="the GPU was gone"),
]  # fmt: skip


@pytest.mark.parametrize(("last", "reason", "stops"), CASES)
def test_why_a_job_failed_and_whether_it_is_tried_again(last: Json, reason: Reason, stops: bool) -> None:
    found = outcome(job_views([job()], [last])[0], nonce="n")
    assert found is not None
    assert found.reason is reason
    running = job(ended=False)
    assert hopeless(job_views([running], [last])[0]) is stops
    plan = decide(Observed(owner=commit(), jobs=(running,), pods=(last,)), NOW, SETTINGS)
    assert [one.name for one in plan.stop] == ([running["metadata"]["name"]] if stops else [])


def test_a_job_is_stopped_once_and_only_for_what_it_did_itself() -> None:
    killed = pod(terminated("build", 137, "OOMKilled"))
    stopped = job(ended=False)
    stopped["spec"]["backoffLimit"] = 0
    assert not hopeless(job_views([stopped], [killed])[0])
    running = job(ended=False)
    assert not hopeless(job_views([running], [pod(terminated("build", 137, "OOMKilled"), conditions=DISRUPTED)])[0])
    deleted = pod(terminated("build", 137, "OOMKilled"))
    deleted["metadata"]["deletionTimestamp"] = NOW.isoformat()
    assert not hopeless(job_views([running], [deleted])[0])


def test_a_report_that_spoke_decides_by_its_exit_code_alone() -> None:
    spoke = pod(
        terminated("build", 0, "OOMKilled"), containerStatuses=[terminated("report", 75, "Error", "not believed")]
    )
    assert not hopeless(job_views([job(ended=False)], [spoke])[0])


def test_a_container_that_never_ran_used_no_gpu() -> None:
    measuring = job()
    measuring["spec"]["template"]["spec"]["initContainers"].append(
        {"name": "measure", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    )
    times = {"startedAt": "1970-01-01T00:00:00Z", "finishedAt": "2026-11-26T00:10:52Z"}
    unstarted = terminated("measure", 128, "StartError", "no such file or directory")
    unstarted["state"]["terminated"] |= times
    found = outcome(job_views([measuring], [pod(unstarted)])[0], nonce="n")
    assert found is not None
    assert found.gpu_seconds == 0
    ran = terminated("measure", 1, "Error")
    ran["state"]["terminated"] |= {"startedAt": "2026-11-26T00:10:00Z", "finishedAt": "2026-11-26T00:10:52Z"}
    found = outcome(job_views([measuring], [pod(ran)])[0], nonce="n")
    assert found is not None
    assert found.gpu_seconds == 52


def test_what_a_container_says_of_itself_is_not_believed() -> None:
    forged = pod(terminated("build", 1, "Error", 'exec: "python3": executable file not found in $PATH'))
    found = outcome(job_views([job()], [forged])[0], nonce="n")
    assert found is not None
    assert (found.reason, "executable" in found.tail) == (Reason.CONTAINER_FAILED, False)
