"""What the Job controller would decide, by table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_operator.cluster.embedded import jobs
from isobench_operator.cluster.ports import Rejected
from support.embedded_jobs import commit, container, job

OWNER = {**commit(), "metadata": {**commit()["metadata"], "uid": "u"}}


def ended(**codes: int) -> dict[str, Any]:
    statuses = [{"name": name, "state": {"terminated": {"exitCode": code}}} for name, code in codes.items()]
    phase = "Failed" if any(codes.values()) or not codes else "Succeeded"
    return {
        "metadata": {"name": "p", "namespace": "default"},
        "status": {"phase": phase, "initContainerStatuses": statuses, "containerStatuses": []},
    }


def rule(action: str, operator: str, *values: int, name: str | None = None) -> dict[str, Any]:
    codes: dict[str, Any] = {"operator": operator, "values": list(values)}
    return {"action": action, "onExitCodes": codes if name is None else {**codes, "containerName": name}}


FAIL_42 = rule("FailJob", "In", 42, name="report")


@pytest.mark.parametrize(
    ("rules", "pod", "failed", "limit", "action", "reason", "counts"),
    [
        ([], ended(report=0), 0, 0, "complete", "", False),
        ([], ended(report=1), 0, 1, "again", "", True),
        ([], ended(report=1), 1, 1, "fail", "BackoffLimitExceeded", True),
        ([], ended(report=1), 0, 0, "fail", "BackoffLimitExceeded", True),
        ([FAIL_42], ended(report=42), 0, 5, "fail", "PodFailurePolicy", True),
        ([FAIL_42], ended(build=42), 0, 5, "again", "", True),
        ([FAIL_42], ended(build=42, report=42), 0, 5, "fail", "PodFailurePolicy", True),
        ([rule("Ignore", "In", 137)], ended(build=137), 9, 0, "again", "", False),
        ([rule("Count", "In", 1), FAIL_42], ended(build=1, report=42), 0, 5, "again", "", True),
        ([rule("FailJob", "NotIn", 0, 75)], ended(report=75), 0, 5, "again", "", True),
        ([rule("FailJob", "NotIn", 75)], ended(fetch=0, report=9), 0, 5, "fail", "PodFailurePolicy", True),
        ([{"action": "Ignore", "onPodConditions": []}], ended(report=1), 0, 0, "fail", "BackoffLimitExceeded", True),
        ([FAIL_42], ended(), 0, 0, "fail", "BackoffLimitExceeded", True),
    ],
)
def test_after_a_pod(
    rules: list[Any], pod: dict[str, Any], failed: int, limit: int, action: str, reason: str, counts: bool
) -> None:
    spec = {"backoffLimit": limit, "podFailurePolicy": {"rules": rules}}
    decision = jobs.after_pod(job(OWNER, "j", [container("report", "")], spec=spec), pod, failed=failed)
    assert (decision.action, decision.reason, decision.counts) == (action, reason, counts)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("512Mi", 512 << 20),
        ("2Gi", 2 << 30),
        ("1500M", 1500 * 10**6),
        ("1k", 1000),
        ("17", 17),
        ("1.5Gi", 3 << 29),
        ("1e3", 1000),
    ],
)
def test_quantities(text: str, value: int) -> None:
    assert jobs.quantity(text) == value


@pytest.mark.parametrize("text", ["", "Mi", "1Zi", "many", "inf"])
def test_what_is_no_quantity_is_rejected(text: str) -> None:
    with pytest.raises(Rejected, match="quantity"):
        jobs.quantity(text)


@given(st.integers(min_value=1, max_value=10**6))
def test_delays_grow_and_are_bounded(failures: int) -> None:
    one, next_one = (jobs.delay(count, first=0.5, most=30) for count in (failures, failures + 1))
    assert 0.5 <= one <= next_one <= 30


def broken(**changes: Any) -> dict[str, Any]:
    manifest = job(
        OWNER, "j", [container("build", ""), container("report", "")], annotations={"isobench.dev/untrusted": "build"}
    )
    manifest["spec"] |= changes.pop("spec", {})
    manifest["metadata"] |= changes.pop("metadata", {})
    pod = manifest["spec"]["template"]["spec"]
    pod["initContainers"][0] |= changes.pop("build", {})
    pod["containers"][0] |= changes.pop("report", {})
    pod |= changes
    return manifest


@pytest.mark.parametrize(
    ("manifest", "words"),
    [
        (broken(spec={"parallelism": 2}), "parallelism 2"),
        (broken(metadata={"name": "../x"}), "DNS-1123"),
        (broken(metadata={"name": ""}), "DNS-1123"),
        (broken(restartPolicy="OnFailure"), "restartPolicy 'OnFailure'"),
        (broken(volumes=[{"name": "x", "nfs": {}}]), "volume x is a nfs"),
        (broken(build={"restartPolicy": "Always"}), "sidecar"),
        (broken(report={"envFrom": [{}]}), "envFrom"),
        (broken(report={"command": []}), "command is missing"),
        (broken(report={"name": "build"}), "two containers"),
        (broken(report={"volumeMounts": [{"name": "x", "mountPath": "/isobench/x"}]}), "no volume is named x"),
        (broken(report={"env": [{"name": "E", "valueFrom": {"resourceFieldRef": {}}}]}), "resourceFieldRef"),
        (broken(report={"resources": {"limits": {"memory": "lots"}}}), "quantity 'lots'"),
        (broken(build={"env": [{"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}), "takes K from a Secret"),
        (broken(build={"volumeMounts": [{"name": "s", "mountPath": "/isobench/s"}]}, volumes=[{"name": "s", "secret": {"secretName": "s"}}]), "mounts the Secret"),
    ],
)  # fmt: skip
def test_what_would_not_run_as_on_a_cluster_is_rejected(manifest: dict[str, Any], words: str) -> None:
    with pytest.raises(Rejected, match=words):
        jobs.validate(manifest)


def test_a_sound_job_is_accepted_and_its_annotations_are_read() -> None:
    manifest = broken()
    jobs.validate(manifest)
    assert jobs.untrusted(manifest) == {"build"}
    assert jobs.offline(manifest) == frozenset()
    assert not jobs.exclusive(manifest)
    manifest["spec"]["template"]["metadata"]["labels"] = {"isobench.dev/exclusive": "true"}
    assert jobs.exclusive(manifest)
