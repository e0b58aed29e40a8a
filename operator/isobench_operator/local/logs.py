"""The log of one stage: live from its pod or its folder while there is one, else from the store, where `report` left it.

Which Job is meant is decided from the resource alone; where its words come from is the caller's.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isobench_operator.cluster.kube_pods import container_states, log_of, pods_of
from isobench_operator.core import naming
from isobench_operator.core.progress import STAGES, Progress
from isobench_operator.core.statuses import condition
from isobench_operator.errors import IsobenchError
from isobench_runner.reporting.log import heading

from .visitor import Visitor

Json = Mapping[str, Any]
COLLECT = "collect"
POLL_SECONDS = 1.0


class LogsError(IsobenchError):
    """There is no such stage, or it has no log yet."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """The Job whose log is asked for.

    Attributes:
        current: whether it is the attempt that counts.
        state: of the stage where it is; else Ended.
    """

    name: str
    stage: str
    attempt: int
    state: str
    current: bool

    @property
    def over(self) -> bool:
        """Whether nothing more will be said."""
        return self.state != "Pending"


def _standing(resource: Json) -> dict[str, tuple[int, str]]:
    """Attempt and state of every stage that a resource may have."""
    status, spec = resource.get("status") or {}, resource.get("spec") or {}
    if resource["kind"] == "Dataset":
        if not status.get("inputs"):
            return {COLLECT: (1, "Pending")}
        collected = condition(status, "Collected").get("status")
        return {COLLECT: (int(status.get("attempt") or 1), "Pending" if collected == "Unknown" else "Ended")}
    progress = Progress.from_status(status)
    revisions = (spec.get("measurement") or {}).get("revisions")
    left_out = {"generate"} if (spec.get("test") or {}).get("generate") is None else set()
    if revisions and "main" not in revisions:
        left_out |= {"main", "prepare-main"}
    return {name: (progress.stage(name).attempt, progress.stage(name).state) for name in STAGES if name not in left_out}


def _role(resource: Json, stage: str) -> str:
    if stage != COLLECT:
        return stage
    inputs = str((resource.get("status") or {}).get("inputs") or "")
    return naming.collect_role(inputs)


def choose(resource: Json, stage: str, attempt: int | None = None) -> Wanted:
    """The Job that a stage and an attempt mean.

    Raises:
        LogsError: there is no such stage or attempt; names those that there are.
    """
    standing = _standing(resource)
    what = f"{resource['kind'].lower()}/{resource['metadata']['name']}"
    if stage not in standing:
        near = [name for name in standing if name.startswith(f"{stage}-")]
        words = ", ".join(f"{name} ({state})" for name, (_, state) in standing.items())
        raise LogsError(
            f"{what} has no stage {stage!r}; write {' or '.join(near)}"
            if near
            else f"{what} has no stage {stage!r}; it has {words}"
        )
    latest, state = standing[stage]
    number = latest if attempt is None else attempt
    if not 1 <= number <= latest:
        raise LogsError(f"{stage} of {what} has no attempt {number}; --attempt may be 1 to {latest}")
    name = naming.job_name(resource, _role(resource, stage), number)
    current = number == latest
    return Wanted(name=name, stage=stage, attempt=number, state=state if current else "Ended", current=current)


def absent(resource: Json, wanted: Wanted) -> LogsError:
    """Why there is nothing to show, and what to do."""
    what = f"{wanted.stage} of {resource['kind'].lower()}/{resource['metadata']['name']}"
    if wanted.over:
        return LogsError(
            f"no log of {what}, attempt {wanted.attempt}, was kept: its pod is gone and its report never ran, or `isobench gc` "
            "took it; the condition's message has what is known, and the annotation isobench.dev/retry runs it again"
        )
    status = resource.get("status") or {}
    now = condition(status, "Succeeded")
    words = ": ".join(str(now[key]) for key in ("reason", "message") if now.get(key)) or "nothing is known of it yet"
    ended = [name for name, (_, state) in _standing(resource).items() if state not in ("Pending", "Cancelled")]
    there = f"; there are logs of {', '.join(ended)}" if ended else ""
    if condition(status, "Finished").get("status") == "True":
        return LogsError(f"{what} never ran{there}. The end was {words}")
    return LogsError(f"{what} has not started{there}. By now: {words}; try again later")


@dataclass
class FolderLog:
    """The log of a Job as it grows in the folder of a run."""

    folder: Path
    _read: dict[Path, int] = field(default_factory=dict)
    _whole: bool = True

    def _record(self) -> Json:
        try:
            found: Json = json.loads((self.folder / "job.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return found

    def ended(self) -> bool:
        """Whether nothing more will be added."""
        conditions = ((self._record().get("job") or {}).get("status") or {}).get("conditions") or ()
        return any(one.get("type") in ("Complete", "Failed") and one.get("status") == "True" for one in conditions)

    def more(self) -> bytes:
        """What was added since the last call."""
        pod = (((self._record().get("job") or {}).get("spec") or {}).get("template") or {}).get("spec") or {}
        containers = [one["name"] for group in ("initContainers", "containers") for one in pod.get(group) or ()]
        tries = sorted(self.folder.glob("attempt-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        parts = []
        for path in (folder / "logs" / f"{name}.log" for folder in tries for name in containers):
            try:
                with path.open("rb") as file:
                    file.seek(self._read.get(path, 0))
                    text = file.read()
            except OSError:
                continue
            if text and path not in self._read:
                parts += [b"" if self._whole else b"\n", heading(path.stem, path.parents[1].name)]
            if text:
                parts.append(text)
                self._read[path] = self._read.get(path, 0) + len(text)
                self._whole = text.endswith(b"\n")
        return b"".join(parts)


async def from_folder(folder: Path, wanted: Wanted, *, follow: bool) -> AsyncIterator[bytes]:
    """What the containers of a Job have said in the folder of a run; nothing where it is not there."""
    log = FolderLog(folder / "jobs" / wanted.name)
    while True:
        ended = log.ended()
        text = log.more()
        if text:
            yield text
        if ended or not follow or not log.folder.exists():
            return
        await asyncio.sleep(POLL_SECONDS)


async def from_pods(visitor: Visitor, kind: str, owner: str, wanted: Wanted, *, follow: bool) -> AsyncIterator[bytes]:
    """What the containers of a Job's pods have said; nothing where no pod is left, or none has begun."""
    told: set[tuple[str, str]] = set()
    while True:
        pods = await pods_of(visitor.api, visitor.namespace, f"batch.kubernetes.io/job-name={wanted.name}")
        for pod in pods:
            name = pod["metadata"]["name"]
            for container, state in container_states(pod):
                if state == "waiting" or (name, container) in told:
                    continue
                told.add((name, container))
                yield heading(container, name)
                async for data in log_of(visitor.login, visitor.namespace, name, container, follow=follow):
                    yield data
        if not follow or not pods:
            return
        if all((pod.get("status") or {}).get("phase") in ("Succeeded", "Failed") for pod in pods):
            now = choose(await visitor.get(kind, owner), wanted.stage, wanted.attempt)
            if now.over:
                return
        await asyncio.sleep(POLL_SECONDS)
