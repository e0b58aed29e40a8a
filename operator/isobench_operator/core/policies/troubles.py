"""What keeps a Job from running, in words, and what is done about it: nothing waits in silence, and nothing waits for ever in vain.

Read from the fields that the scheduler, the kubelet and the Job controller write, and from their events where those say more; ROWS is
what is decided for each. The bound is `settings.waiting_seconds`, from when the Job or the container could have begun: a GPU that a pod
holds without running is freed, and a registry or a node has the time to come back. A message has no counters, times or made-up names,
so that a trouble that stays is written once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from isobench_operator.core.observed import JobView, parse_time
from isobench_runner.contract import Reason

Json = Mapping[str, Any]

MAX_WORDS = 300
GRACE_SECONDS = 20.0
"""A pod that gets its room within this was never in trouble: on a busy cluster most wait for a moment, and each word is two writes."""
MOST_DISRUPTIONS = 10
"""Preemptions, evictions and lost nodes count against no limit of the Job's; this many are no accident any more."""
STARTING = frozenset({"", "PodInitializing", "ContainerCreating"})
"""Why a container of a healthy pod waits."""
PULLING = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "ImageInspectError", "RegistryUnavailable"}
)  # fmt: skip
EVENTS = {
    "FailedCreatePodSandBox": "Sandbox",
    "FailedMount": "Mount",
    "FailedAttachVolume": "Mount",
    "FailedMapVolume": "Mount",
}

PROGRESS = frozenset({"SuccessfulCreate", "Pulling", "Pulled", "Created", "Started"})
"""Events after which what was warned of before is over; others come and go beside a trouble (SandboxChanged, MissingClusterDNS)."""


class Row(NamedTuple):
    """What is decided for a trouble.

    Attributes:
        seen: as what, in words for people.
        waits: for how long, in words.
        ends: what becomes of one that outlasts the bound; None where it is waited for as long as it takes.
        tells: whether somebody is told by a Warning, in words.
    """

    seen: str
    waits: str
    ends: Reason | None
    tells: str


_BOUND = "half an hour (`jobs.waitingSeconds`)"
ROWS = {
    "Queued": Row("Kueue has not admitted the Job to its queue", "as long as it takes", None, "no"),
    "Unschedulable": Row(
        "no node has room for the pod, or none is as it asks", "as long as it takes", None, "where no node could ever do"
    ),
    "Quota": Row("a quota of the namespace is used up", "as long as it takes", None, "no"),
    "ImagePull": Row(
        "an image cannot be pulled", f"{_BOUND}; a name that is none not at all", Reason.IMAGE_UNAVAILABLE, "yes"
    ),
    "Admission": Row(
        "a policy, Pod Security or a limit range refuses the pod, or its service account is missing",
        _BOUND, Reason.POD_REFUSED, "yes",
    ),
    "Sandbox": Row(
        "the node cannot make the pod: network, runtime class, user namespaces", _BOUND, Reason.POD_NOT_STARTED, "yes"
    ),
    "Mount": Row("a volume cannot be mounted or attached", _BOUND, Reason.POD_NOT_STARTED, "yes"),
    "Config": Row("a container refers to something that is not there", _BOUND, Reason.POD_NOT_STARTED, "yes"),
    "Container": Row("a container cannot be made", _BOUND, Reason.POD_NOT_STARTED, "yes"),
    "Disrupted": Row(
        "ten pods of the Job were preempted, evicted or lost with their node", "not at all", Reason.EVICTED, "by the end"
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a Job does not run.

    Attributes:
        word: of the table.
        since: from when it could have run; None where the cluster says no time.
        warns: whether somebody has to act.
        hopeless: not waited for at all.
    """

    word: str
    message: str
    since: datetime | None = None
    warns: bool = False
    hopeless: bool = False

    @property
    def reason(self) -> Reason | None:
        """What it ends with; None where it is waited for as long as it takes."""
        return ROWS[self.word].ends

    def untold(self, now: datetime) -> float:
        """Seconds for which nothing is said of it yet: a full node, unless it stays full; 0.0 of all that somebody has to mend."""
        if self.word != "Unschedulable" or self.warns or self.since is None:
            return 0.0
        return max(0.0, GRACE_SECONDS - (now - self.since).total_seconds())

    def left(self, now: datetime, *, bound: float) -> float | None:
        """Seconds that are still waited, None for ever."""
        if self.hopeless:
            return 0.0
        if self.reason is None or self.since is None:
            return None
        return bound - (now - self.since).total_seconds()


def find(job: JobView, events: Iterable[Json] = (), *, required: str = "") -> Trouble | None:
    """What keeps a Job from running; None for one that runs, has ended or is merely on its way.

    Args:
        events: core/v1 events, of this Job and others.
        required: what the Commit requires of the node's GPU, in words.
    """
    if job.state != "running" or job.deleting:
        return None
    if job.suspended:
        return Trouble(word="Queued", message=f"waits to be admitted by queue {job.queue}") if job.queue else None
    taken = sum(pod.disrupted and pod.phase == "Failed" for pod in job.pods)
    if taken >= MOST_DISRUPTIONS:
        return Trouble(word="Disrupted", message=f"{taken} pods were taken away one after the other", hopeless=True)
    pods = [pod for pod in job.raw_pods if not _over(pod)]
    if not pods:
        return _of_events(_latest(events, job.uid), since=_last(job.started, *(pod.ended_at for pod in job.pods)))
    pod = max(pods, key=lambda one: (str(one["metadata"].get("creationTimestamp") or ""), one["metadata"]["name"]))
    found = _of_conditions(pod, required) or _of_containers(pod)
    if found is None and not _runs(pod):
        found = _of_events(_latest(events, pod["metadata"].get("uid")), since=_since(pod))
    return found


def held(words: str) -> Trouble:
    """Of a Job that the API server does not take for now."""
    word = "Quota" if _is_quota(words) else "Admission"
    return Trouble(word=word, message=_tidy(words), warns=word != "Quota")


def rejected(words: str) -> Reason:
    """Of a Job that the API server refuses for good: by a policy, or because the spec makes an invalid one."""
    return Reason.POD_REFUSED if "denied" in words else Reason.SPEC_INVALID


def steady(before: str, after: str) -> str:
    """A message that differs from the one before in numbers alone is the one before: a counter is no news."""
    return before if re.sub(r"\d+", "", before) == re.sub(r"\d+", "", after) else after


def _over(pod: Json) -> bool:
    ended = (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")
    return ended or bool(pod["metadata"].get("deletionTimestamp"))


def _statuses(pod: Json) -> list[Json]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]


def _runs(pod: Json) -> bool:
    return any((one.get("state") or {}).get("running") for one in _statuses(pod))


def _last(*times: object) -> datetime | None:
    known = [found for time in times if time and (found := parse_time(str(time))) is not None]
    return max(known, default=None)


def _since(pod: Json) -> datetime | None:
    """From when the container that waits could have begun: the pod was placed and the container before it has ended."""
    placed = [
        one.get("lastTransitionTime")
        for one in (pod.get("status") or {}).get("conditions") or ()
        if one.get("type") == "PodScheduled"
    ]
    ended = [((one.get("state") or {}).get("terminated") or {}).get("finishedAt") for one in _statuses(pod)]
    return _last(pod["metadata"].get("creationTimestamp"), *placed, *ended)


def _of_conditions(pod: Json, required: str) -> Trouble | None:
    for one in (pod.get("status") or {}).get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            if one.get("reason") == "SchedulingGated":
                return Trouble(word="Unschedulable", message="the pod is held by a scheduling gate")
            words = _unschedulable(str(one.get("message") or ""))
            if required and "affinity" in words:
                words = _cut(f"{words} (environment.requires: {required})")
            return Trouble(word="Unschedulable", message=words, since=_since(pod), warns="Insufficient" not in words)
    return None


def _unschedulable(message: str) -> str:
    """The scheduler's causes without its counts of nodes, which move with every pod of the cluster."""
    text = re.split(r"[.,]? (?:no new claims to deallocate|preemption:)", message, maxsplit=1)[0].rstrip(". ")
    counted = re.match(r"\d+/\d+ nodes are available: (.+)", text, re.DOTALL)
    if counted is None:
        return _cut(text or "no node fits")
    causes = sorted({cause.strip(" .") for cause in re.split(r"(?:^|, )\d+ ", counted[1]) if cause.strip(" .")})
    return _cut(f"no node fits: {'; '.join(causes)}")


def _of_containers(pod: Json) -> Trouble | None:
    for one in _statuses(pod):
        waiting = (one.get("state") or {}).get("waiting") or {}
        reason, words = str(waiting.get("reason") or ""), str(waiting.get("message") or "")
        if reason in STARTING:
            continue
        if reason in PULLING:
            cause = re.sub(r'^Back-off pulling image "[^"]*"(: )?', "", words).removeprefix("ErrImagePull: ")
            message = f"image {one.get('image')} of container {one.get('name')} cannot be pulled"
            message += f": {cause}" if cause else ""
            return Trouble(
                word="ImagePull", message=_tidy(message), since=_since(pod), warns=True, hopeless=reason == "InvalidImageName"
            )  # fmt: skip
        word = "Config" if reason == "CreateContainerConfigError" else "Container"
        message = _tidy(f"container {one.get('name')}: {reason}{f': {words}' if words else ''}")
        return Trouble(word=word, message=message, since=_since(pod), warns=True)
    return None


def _latest(events: Iterable[Json], uid: object) -> Json | None:
    """The newest event about an object that says anything here: an older warning is over where something went on since."""
    telling = PROGRESS | EVENTS.keys() | {"FailedCreate"}
    about = [
        one
        for one in events
        if uid and (one.get("involvedObject") or {}).get("uid") == uid and one.get("reason") in telling
    ]
    return max(about, key=_at, default=None)


def _at(event: Json) -> tuple[str, bool]:
    series = event.get("series") or {}
    times = (
        series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"),
        event.get("firstTimestamp"), (event.get("metadata") or {}).get("creationTimestamp"),
    )  # fmt: skip
    # Whole seconds: of the two forms of time in events only one has fractions.
    return max(str(time or "")[:19] for time in times), event.get("type") == "Warning"


def _of_events(event: Json | None, *, since: datetime | None) -> Trouble | None:
    if event is None:
        return None
    reason, words = str(event.get("reason") or ""), str(event.get("message") or "")
    if reason == "FailedCreate":
        word = "Quota" if _is_quota(words) else "Admission"
        return Trouble(word=word, message=_tidy(words), since=since, warns=word != "Quota")
    if reason in EVENTS:
        return Trouble(word=EVENTS[reason], message=_tidy(words), since=since, warns=True)
    return None


def _is_quota(words: str) -> bool:
    return "exceeded quota" in words


def _tidy(words: str) -> str:
    """Without what is another word at every try: names that were made up, ports, what others use of a quota."""
    for pattern, put in (
        (r"^(\(combined from similar events\): )?Error creating: ", ""),
        (r'\b(pods|jobs\.batch) "[^"]*" is forbidden: ', ""),
        (r"rpc error: code = \w+ desc = ", ""),
        (r", used: \S+(?=, limited:)", ""),
        (r":\d+->", "->"),
        (r'(sandbox|container) "?[0-9a-f]{64}"?', r"\1"),
    ):
        words = re.sub(pattern, put, words)
    return _cut(words)


def _cut(words: str) -> str:
    words = " ".join(words.split())
    return words if len(words) <= MAX_WORDS else f"{words[: MAX_WORDS - 1]}…"
