"""How long a Job may take: harness < pod < Job, so that whoever gives up first is the one who can still say why.

A pod's deadline keeps the pod and its message; a Job's deletes the pod, and the evidence with it. A pod's begins on its node, a Job's
with the wait for one: the second ends only what nothing else does.
"""

from __future__ import annotations

from isobench_operator.core.pods import Deadlines
from isobench_operator.core.settings import PodSettings

FETCH_SECONDS = 3600
"""For cloning, and for waiting until another Job has built the same environment."""
REPORT_SECONDS = 600
START_SECONDS = 1800
"""Of a measuring pod, for pulling images and unpacking environments."""
QUEUE_SECONDS = 30 * 24 * 3600
"""A queue for GPUs is no failure."""


def patience(waiting_seconds: int) -> int:
    """What a pod needs beyond its usual deadline, so that one that is stuck on its node is still waited for as long as that."""
    return max(0, waiting_seconds - START_SECONDS)


def deadlines(pod: int, *, settings: PodSettings) -> Deadlines:
    """A pod's deadline and its Job's: every attempt may wait its turn and use the whole of its own, with Kubernetes' backoff between."""
    seconds = pod + settings.patience_seconds
    return Deadlines(pod=seconds, job=QUEUE_SECONDS + (seconds + 360) * (settings.backoff_limit + 1))


def prepare(build_seconds: int, *, settings: PodSettings) -> Deadlines:
    """Of a prepare Job, whose build driver enforces `environment.timeoutSeconds` itself."""
    return deadlines(2 * build_seconds + FETCH_SECONDS + REPORT_SECONDS, settings=settings)


def measure(timeout_seconds: int, *, settings: PodSettings) -> Deadlines:
    """Of a measuring Job, whose harness enforces `measurement.timeoutSeconds` itself."""
    return deadlines(START_SECONDS + timeout_seconds + REPORT_SECONDS, settings=settings)
