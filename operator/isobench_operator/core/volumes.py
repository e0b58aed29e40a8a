"""Volumes of a pod and who sees which of them: the layout table of the pod contract, and nothing about what the containers do.

A volume is mounted read-only wherever its reader is not its writer. Trusted containers have a scratch folder of their own, so that
nothing an untrusted one left in its TMPDIR or HOME is ever found there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .settings import ROOT, PodSettings, Storage

Json = dict[str, Any]

FOLDERS = {"in": "60Gi", "out": "60Gi", "tmp": "10Gi", "scratch": "10Gi", "report": "16Mi"}
"""emptyDirs of every pod and their size limits; each lies at its own name below the root. Whole environments pass through in and out."""
CERTIFICATES, CREDENTIALS = "ca", "credentials"
"""Folders below the root, where the settings name a ConfigMap of certificates and a Secret of the store's credentials."""
SHARED = ("environments", "store", "mirrors", "pip", "status", "dataset")


@dataclass(frozen=True, kw_only=True)
class Input:
    """A ConfigMap or Secret that one trusted container reads, optional so that the container itself names what is missing.

    Attributes:
        folder: its name below `inputs`.
        key: the one entry that is mounted; None for all.
        container: who sees it.
    """

    folder: str
    kind: str
    name: str
    key: str | None
    container: str

    @property
    def path(self) -> str:
        """Where it lies: the entry, or the folder of all."""
        folder = f"{ROOT}/inputs/{self.folder}"
        return folder if self.key is None else f"{folder}/{self.key}"


def config_map(folder: str, name: str, key: str | None, *, container: str) -> Input:
    """A ConfigMap, or one entry of it."""
    return Input(folder=folder, kind="configMap", name=name, key=key, container=container)


def secret(folder: str, name: str, key: str | None, *, container: str) -> Input:
    """A Secret, or one entry of it."""
    return Input(folder=folder, kind="secret", name=name, key=key, container=container)


def _input_volume(source: Input) -> Json:
    named = {"name": source.name} if source.kind == "configMap" else {"secretName": source.name}
    body: Json = {**named, "optional": True}
    if source.kind == "secret":
        body["defaultMode"] = 0o440
    if source.key is not None:
        body["items"] = [{"key": source.key, "path": source.key}]
    return {"name": f"input-{source.folder}", source.kind: body}


def storage(settings: PodSettings, name: str) -> Storage:
    """The settings of a shared volume."""
    found: Storage = getattr(settings, name)
    return found


def expand(path: str, settings: PodSettings) -> str:
    """A mount path: Kubernetes expands no variables in those."""
    return path.replace(ROOT, settings.root)


def mounts(settings: PodSettings, *, write: Sequence[str] = (), read: Sequence[str] = ()) -> list[Json]:
    """Mounts of a container by volume name."""
    found: list[Json] = []
    for name, read_only in [*((name, False) for name in write), *((name, True) for name in read)]:
        if name == "store" and settings.store_url is not None:
            continue
        path = storage(settings, name).path if name in SHARED else f"{ROOT}/{name}"
        mount: Json = {"name": name, "mountPath": expand(path, settings)}
        found.append({**mount, "readOnly": True} if read_only else mount)
    return found


def _settings_volumes(settings: PodSettings) -> dict[str, Json]:
    """Volumes that only the settings ask for, by name."""
    found: dict[str, Json] = {}
    if settings.ca_bundle is not None:
        found[CERTIFICATES] = {"configMap": {"name": settings.ca_bundle.config_map}}
    if settings.store_credentials is not None:
        found[CREDENTIALS] = {"secret": {"secretName": settings.store_credentials, "defaultMode": 0o440}}
    return found


def shared_mounts(settings: PodSettings, *names: str) -> list[Json]:
    """Mounts of what the settings name, read-only, where they name it."""
    there = _settings_volumes(settings)
    return [{"name": name, "mountPath": f"{settings.root}/{name}", "readOnly": True} for name in names if name in there]


def input_mounts(settings: PodSettings, inputs: Sequence[Input], *, container: str) -> list[Json]:
    """Mounts of the ConfigMaps and Secrets that a container reads."""
    return [
        {"name": f"input-{one.folder}", "mountPath": f"{settings.root}/inputs/{one.folder}", "readOnly": True}
        for one in inputs
        if one.container == container
    ]


def _room(containers: Sequence[Json]) -> str | None:
    """What the last container with a `tmp` may fill: Kubernetes bounds a pod by its largest container, so the folder bounds this one."""
    amounts = [
        str(container["resources"]["limits"]["ephemeral-storage"])
        for container in containers
        if any(mount["name"] == "tmp" for mount in container["volumeMounts"])
        and "ephemeral-storage" in container.get("resources", {}).get("limits", {})
    ]
    return amounts[-1] if amounts else None


def volumes(settings: PodSettings, containers: Sequence[Json], inputs: Sequence[Input]) -> list[Json]:
    """The volumes that some container mounts, in a fixed order; further ones of the user are added by the caller."""
    used = {mount["name"] for container in containers for mount in container["volumeMounts"]}
    sizes = {**FOLDERS, "tmp": _room(containers) or FOLDERS["tmp"]}
    found: list[Json] = [
        {"name": name, "emptyDir": {"sizeLimit": size}} for name, size in sizes.items() if name in used
    ]
    found += [{"name": name, **storage(settings, name).source} for name in SHARED if name in used]
    found += [{"name": name, **source} for name, source in _settings_volumes(settings).items() if name in used]
    found += [_input_volume(one) for one in inputs if f"input-{one.folder}" in used]
    return found
