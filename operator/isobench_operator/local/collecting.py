"""What every Commit and Dataset refers to in the store, so that nothing of it is taken away: read strictly, and refused on any doubt.

What follows from it is the runner's `garbage`; it runs beside the store, here or in a pod.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from isobench_operator.api.commit_status import CommitStatus
from isobench_operator.api.dataset import DatasetStatus
from isobench_operator.api.fields import ApiModel
from isobench_operator.cluster.embedded.state import Folder
from isobench_operator.cluster.ports import ClusterError
from isobench_operator.core import naming
from isobench_operator.core.progress import STAGES, Progress
from isobench_operator.core.statuses import condition_status
from isobench_operator.errors import IsobenchError
from isobench_runner.garbage import Blob, Garbage, Name, Roots, digests_in, from_json, survey, sweep, to_json
from isobench_runner.store import Store, StoreError
from isobench_runner.transcript import log_name

from .visitor import StorePod, Visitor

Json = Mapping[str, Any]
STATUSES: Mapping[str, type[ApiModel]] = {"Commit": CommitStatus, "Dataset": DatasetStatus}
LEAST_GRACE_SECONDS = 6 * 3600
"""Below it, what a Job has stored might be taken away before a status names it; so nothing may be under way."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class DoubtError(IsobenchError):
    """It cannot be said for sure what is needed; nothing was deleted."""


@dataclass(frozen=True)
class Found:
    """What was found.

    Attributes:
        blobs, size: how many the store holds, and their bytes.
        young: seconds since the epoch; what was written after them is spared.
    """

    garbage: Garbage
    blobs: int
    size: int
    young: float

    @classmethod
    def read(cls, body: Json) -> Found:
        """Out of what `look` says."""
        return cls(from_json(body), int(body["blobs"]), int(body["bytes"]), float(body["young"]))


def _jobs(resource: Json) -> Iterator[str]:
    """Names of the Jobs that a resource has had, as far as its status tells them."""
    status = resource.get("status") or {}
    if resource["kind"] == "Commit":
        progress = Progress.from_status(status)
        attempts = {name: progress.stage(name).attempt for name in STAGES}
    else:
        inputs = str(status.get("inputs") or "")
        attempts = {naming.collect_role(inputs): int(status.get("attempt") or 1)}
    for role, attempt in attempts.items():
        for number in range(1, attempt + 1):
            yield naming.job_name(resource, role, number)


def _what(resource: Json) -> str:
    metadata = resource.get("metadata") or {}
    return f"{str(resource.get('kind')).lower()}/{metadata.get('name')} in {metadata.get('namespace')}"


def roots(resources: Iterable[Json], *, environments: bool = False) -> Roots:
    """Everything that these resources name, wherever they name it.

    Args:
        environments: whether environments may go that only the records of a Dataset name.

    Raises:
        DoubtError: one of them is not understood; it is named.
    """
    digests: set[str] = set()
    names: set[str] = set()
    records: set[str] = set()
    for resource in resources:
        model = STATUSES.get(str(resource.get("kind")))
        if model is None or resource.get("apiVersion") != naming.API_VERSION:
            raise DoubtError(
                f"{_what(resource)} is of a kind or version that this release does not know; use the release that made it"
            )
        try:
            model.model_validate(resource.get("status") or {})
            names.update(log_name(job) for job in _jobs(resource))
        except (ValidationError, ValueError, KeyError, TypeError) as error:
            words = " ".join(str(error).split())[:300]
            raise DoubtError(
                f"the status of {_what(resource)} is not understood: {words}; use the release that wrote it"
            ) from error
        digests.update(_DIGEST.findall(json.dumps(resource, default=str)))
        if environments and resource["kind"] == "Dataset":
            records.update(file["digest"] for file in (resource.get("status") or {}).get("files") or ())
    return Roots(frozenset(digests - records), frozenset(names), frozenset(records))


def check(resources: Iterable[Json], *, grace_seconds: float) -> None:
    """Refuse a grace in which what is under way could lose something.

    Raises:
        DoubtError: something is under way, and is named.
    """
    if grace_seconds >= LEAST_GRACE_SECONDS:
        return
    for resource in resources:
        if condition_status(resource.get("status") or {}, "Finished") != "True":
            words = f"{_what(resource)} is under way, and what its Jobs have just stored could be lost"
            raise DoubtError(
                f"{words}; wait until it has finished, or leave a --grace of {LEAST_GRACE_SECONDS // 3600}h at least"
            )


def _asked(known: Roots, grace_seconds: float) -> dict[str, Any]:
    return {**{name: sorted(found) for name, found in vars(known).items()}, "grace_seconds": grace_seconds}


async def resources_of_cluster(visitor: Visitor) -> list[Json]:
    """Every Commit and Dataset of the cluster: whichever namespaces share a store, none is overlooked.

    Raises:
        DoubtError: they cannot all be read.
    """
    try:
        unknown = await visitor.kinds() - STATUSES.keys()
        if unknown:
            raise DoubtError(
                f"the cluster has {', '.join(sorted(unknown))} of {naming.GROUP}, which may refer to the store; use a newer release"
            )
        return [one for kind in STATUSES for one in await visitor.all_of(kind)]
    except ClusterError as error:
        words = "what other namespaces need of the store is not known"
        raise DoubtError(
            f"{words}: {error}; `gc` needs the right to list Commits and Datasets in all namespaces"
        ) from error


async def known_in_cluster(visitor: Visitor, *, grace_seconds: float, environments: bool = False) -> Roots:
    """What the resources of the cluster refer to.

    Raises:
        DoubtError: not all that may refer to the store can be read and understood, or something is under way.
    """
    resources = await resources_of_cluster(visitor)
    check(resources, grace_seconds=grace_seconds)
    return roots(resources, environments=environments)


async def look_in_cluster(
    visitor: Visitor, pod: StorePod, *, grace_seconds: float, environments: bool = False
) -> Found:
    """What of the store that a namespace sees nothing refers to.

    Raises:
        DoubtError: as above.
        ClusterError: the store cannot be read.
    """
    began = time.monotonic()
    known = await known_in_cluster(visitor, grace_seconds=grace_seconds, environments=environments)
    # What is stored after the resources were read is spared whatever the grace: they cannot tell of it.
    return Found.read(await pod.ask("look", _asked(known, grace_seconds + time.monotonic() - began)))


async def take_away_in_cluster(pod: StorePod, found: Found) -> Garbage:
    """Delete it; returns what is gone."""
    return from_json(await pod.ask("take-away", {"garbage": asdict(found.garbage), "young": found.young}))


def resources_of_folder(folder: Path) -> list[Json]:
    """Every resource of a run's folder.

    Raises:
        DoubtError: one does not parse; it is named.
    """
    found = []
    for path in sorted((folder / "status").glob("*.yaml")):
        try:
            body = yaml.safe_load(path.read_bytes())
            _ = body["kind"], body["metadata"]["uid"]
        except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError) as error:
            raise DoubtError(f"{path} is no custom resource ({type(error).__name__}); repair or remove it") from error
        found.append(body)
    if not found:
        raise DoubtError(
            f"{folder} has no resources in status/: it is no folder that `isobench run --out` made, or they are gone"
        )
    return found


def _named_by_records(folder: Path, resources: Iterable[Json]) -> frozenset[str]:
    """What the files of Datasets name, which lie in the folder and not in its store."""
    found: set[str] = set()
    for resource in resources:
        for file in (resource.get("status") or {}).get("files") or ():
            path = folder / Path(file["name"]).name
            if path.is_file():
                with path.open("rb") as records:
                    found.update(digests_in(records))
    return frozenset(found)


def collect_folder(
    folder: Path, *, grace_seconds: float, delete: bool, environments: bool = False
) -> tuple[Found, Garbage]:
    """What of a run's folder nothing refers to, and what of it is gone. The folder is held meanwhile, so that no run uses it.

    Raises:
        DoubtError, ClusterError: nothing was deleted.
    """
    resources_of_folder(folder)
    held = Folder(folder.absolute())
    held.open()
    try:
        resources = resources_of_folder(folder)
        store = Store(folder / "artifacts")
        holdings, garbage = survey(
            store, roots(resources, environments=environments), young=time.time() - grace_seconds
        )
        found = Found.read(to_json(holdings, garbage))
        return found, sweep(store, garbage, young=found.young) if delete else Garbage()
    except (StoreError, OSError) as error:
        raise ClusterError(str(error)) from error
    finally:
        held.close()


def described(found: Found, gone: Garbage, *, delete: bool, grace_seconds: float) -> dict[str, Any]:
    """All of it, for a program."""

    def listed(these: Garbage) -> dict[str, Any]:
        blobs: tuple[Blob, ...] = these.blobs
        names: tuple[Name, ...] = these.names
        return {
            "blobs": [{"digest": one.digest, "bytes": one.size, "written": one.written} for one in blobs],
            "names": [{"name": one.name, "digest": one.digest} for one in names],
            "unfinished": [{"file": one.file, "bytes": one.size, "written": one.written} for one in these.unfinished],
            "bytes": these.size,
        }

    gone_bytes = sum(blob.size for blob in found.garbage.blobs)
    kept = {"blobs": found.blobs - len(found.garbage.blobs), "bytes": found.size - gone_bytes}
    body: dict[str, Any] = {
        "dryRun": not delete,
        "graceSeconds": grace_seconds,
        "unreferenced": listed(found.garbage),
        "kept": kept,
    }
    return {**body, "deleted": listed(gone)} if delete else body
