"""How long a Job may take: harness < pod < Job, so that whoever gives up first is the one who can still say why.

A pod's deadline keeps the pod and its message; a Job's deletes the pod, and the evidence with it.
"""

from __future__ import annotations

from isobench_operator.core.pods import Deadlines

FETCH_SECONDS = 3600
"""For cloning, and for waiting until another Job has built the same environment."""
REPORT_SECONDS = 600


def deadlines(pod: int, *, backoff_limit: int) -> Deadlines:
    """A pod's deadline and its Job's: every attempt may use the whole of its own, with Kubernetes' backoff between."""
    return Deadlines(pod=pod, job=(pod + 360) * (backoff_limit + 1))


def prepare(build_seconds: int, *, backoff_limit: int) -> Deadlines:
    """Of a prepare Job, whose build driver enforces `environment.timeoutSeconds` itself."""
    return deadlines(2 * build_seconds + FETCH_SECONDS + REPORT_SECONDS, backoff_limit=backoff_limit)


def harness_seconds(pod_seconds: int) -> int:
    """What measuring itself may take of `measurement.timeoutSeconds`, which is its pod's deadline."""
    return max(1, pod_seconds - min(300, pod_seconds // 10))
