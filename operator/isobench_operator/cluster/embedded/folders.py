"""A pod's folders: volumes become folders or links below its root, Secrets lie in memory alone, and what a sandbox may see is listed.

Mount paths begin with /isobench and are mapped below the root; a shared volume whose path is its own place needs no mapping. Nothing
is started here.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from isobench_operator.cluster.ports import ClusterError
from isobench_operator.cluster.sandbox import View, gpu_devices

Json = dict[str, Any]
MOUNT_ROOT = PurePosixPath("/isobench")
SHARED_VARIABLES = {
    "ISOBENCH_ENVS": "environments",
    "ISOBENCH_STORE": "store",
    "ISOBENCH_MIRRORS": "mirrors",
    "ISOBENCH_PIP": "pip",
    "ISOBENCH_STATUS": "status",
    "ISOBENCH_DATASET": "dataset",
}
MAX_BINDS_BYTES = 1 << 20


@dataclass(frozen=True)
class Binds:
    """What `fetch` asks that an untrusted container may see beyond its own folders."""

    read_only: tuple[Path, ...] = ()
    writable: tuple[Path, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Places:
    """Where things lie on this machine.

    Attributes:
        directory: the output folder of the run.
        shared: the folder of a shared volume, by volume name.
        secrets: a private folder in memory.
    """

    directory: Path
    shared: Mapping[str, Path]
    secrets: Path
    config_maps: Mapping[str, Mapping[str, str]] = field(repr=False)
    secret_values: Mapping[str, Mapping[str, str]] = field(repr=False)


def remove_tree(path: Path) -> None:
    """Remove a folder whatever modes its content has; links in it are never followed."""

    def force(_function: Any, name: str, _info: Any) -> None:
        parent = Path(name).parent
        with contextlib.suppress(OSError):
            parent.chmod(0o700)
            inner = Path(name)
            if inner.is_dir() and not inner.is_symlink():
                inner.chmod(0o700)
                shutil.rmtree(inner, ignore_errors=True)
            else:
                inner.unlink(missing_ok=True)

    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path, onerror=force)
    if path.exists():
        raise ClusterError(f"{path} cannot be removed; remove it by hand and run again")


class PodFolders:
    """The folders of one pod attempt."""

    def __init__(self, pod: Json, *, root: Path, places: Places) -> None:
        self.root = root
        self._pod = pod
        self._places = places
        self._volumes: dict[str, Json] = {one["name"]: one for one in pod["spec"].get("volumes") or ()}
        self._made: dict[str, Path] = {}
        self._secrets = places.secrets / pod["metadata"]["name"]

    def make(self) -> None:
        """Make the root, empty, and the folders that every pod has."""
        self._made.clear()
        remove_tree(self.root)
        for name in ("in", "out", "tmp", "scratch", "report", "inputs"):
            (self.root / name).mkdir(parents=True)
        for folder in (self.logs, self.terminations):
            folder.mkdir(mode=0o700)

    @property
    def logs(self) -> Path:
        """Where containers' output goes."""
        return self.root / "logs"

    @property
    def terminations(self) -> Path:
        """Where termination messages go, one file per container."""
        return self.root / "termination"

    def close(self) -> None:
        """Forget the pod's Secrets."""
        shutil.rmtree(self._secrets, ignore_errors=True)

    def shared_variables(self) -> dict[str, str]:
        """The variables that name shared volumes, each with its real path."""
        shared = self._places.shared
        return {variable: str(shared[name]) for variable, name in SHARED_VARIABLES.items() if name in shared}

    def mount(self, container: Json) -> None:
        """Put a container's volumes where it looks for them.

        Raises:
            ClusterError: two volumes want one path, or a volume has no place here.
        """
        for one in sorted(container.get("volumeMounts") or (), key=lambda mount: len(mount["mountPath"])):
            volume = self._volumes[one["name"]]
            place = self._place(one["mountPath"])
            if place is None:
                if one["name"] not in self._places.shared and "hostPath" not in volume:
                    raise ClusterError(
                        f"container {container['name']}: mountPath {one['mountPath']} of volume {one['name']} is not below {MOUNT_ROOT}"
                    )
                continue
            made = self._volume(volume, place)
            source = made / one["subPath"] if one.get("subPath") else made
            if source == place:
                continue
            source.mkdir(parents=True, exist_ok=True)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink():
                place.unlink()
            elif place.is_dir() and not any(place.iterdir()):
                place.rmdir()
            elif place.exists():
                raise ClusterError(
                    f"container {container['name']}: something else lies at mountPath {one['mountPath']}"
                )
            place.symlink_to(source)

    def _place(self, mount_path: str) -> Path | None:
        path = PurePosixPath(os.path.normpath(mount_path))
        return self.root / path.relative_to(MOUNT_ROOT) if path.is_relative_to(MOUNT_ROOT) else None

    def _volume(self, volume: Json, place: Path) -> Path:
        name = volume["name"]
        if name in self._made:
            return self._made[name]
        if name in self._places.shared:
            folder = self._places.shared[name]
            folder.mkdir(parents=True, exist_ok=True)
        elif "emptyDir" in volume:
            place.mkdir(parents=True, exist_ok=True)
            folder = place
        elif "configMap" in volume:
            source = volume["configMap"]
            self._fill(
                place, source, self._places.config_maps.get(source["name"]), f"ConfigMap {source['name']}", 0o644
            )
            folder = place
        elif "secret" in volume:
            source = volume["secret"]
            folder = self._secrets / name
            self._fill(
                folder,
                source,
                self._places.secret_values.get(source["secretName"]),
                f"Secret {source['secretName']}",
                0o600,
            )
        elif "hostPath" in volume:
            folder = Path(volume["hostPath"]["path"])
        else:
            raise ClusterError(f"volume {name} is a claim, and no folder here stands for it")
        self._made[name] = folder
        return folder

    def _fill(self, folder: Path, source: Json, data: Mapping[str, str] | None, what: str, mode: int) -> None:
        optional = bool(source.get("optional"))
        if data is None and not optional:
            raise ClusterError(f"{what} does not exist; add it to the manifests")
        folder.mkdir(parents=True, exist_ok=True, mode=0o700 if mode == 0o600 else 0o755)
        values = data or {}
        items = source.get("items") or [{"key": key, "path": key} for key in values]
        for item in items:
            if item["key"] not in values:
                if not optional:
                    raise ClusterError(f"{what} has no key {item['key']}")
                continue
            path = folder / item["path"]
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ClusterError(f"{what}: path {item['path']} leaves its volume")
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
                file.write(values[item["key"]])

    def binds(self) -> Binds:
        """What `fetch` listed in in/binds.json; nothing where it listed nothing.

        Raises:
            ClusterError: not its form, or it would show what has to stay hidden.
        """
        path = self.root / "in" / "binds.json"
        if not path.exists():
            return Binds()
        try:
            body = json.loads(path.read_bytes()[:MAX_BINDS_BYTES])
            asked = Binds(
                tuple(Path(one) for one in body.get("ro", ())), tuple(Path(one) for one in body.get("rw", ()))
            )
        except (ValueError, TypeError, AttributeError) as error:
            raise ClusterError(f"in/binds.json is not what fetch writes: {error}") from error
        shared = self._places.shared
        open_to_writing = [shared[name] for name in ("environments", "pip") if name in shared]
        closed = [self._places.secrets, *(shared[name] for name in ("store", "mirrors", "status") if name in shared)]
        hidden = [Path.home(), self._places.directory, *closed]
        for one in (*asked.read_only, *asked.writable):
            if not one.is_absolute() or ".." in one.parts:
                raise ClusterError(f"in/binds.json: {one} is no absolute path")
            shown = next((place for place in hidden if place.is_relative_to(one)), None)
            shown = shown or next((place for place in closed if one.is_relative_to(place)), None)
            if shown is not None:
                raise ClusterError(f"in/binds.json: {one} would show {shown}, which untrusted code may not see")
        for one in asked.writable:
            if not any(one != top and one.is_relative_to(top) for top in open_to_writing) or one.is_symlink():
                raise ClusterError(
                    f"in/binds.json: {one} may not be writable; only folders of environments and pip may"
                )
        return asked

    def view(self, container: Json, *, binds: Binds, interpreter: Iterable[Path], offline: bool) -> View:
        """What an untrusted container sees."""
        pairs: dict[Path, tuple[Path, bool]] = {}
        for name in ("in", "out", "tmp"):
            pairs[self.root / name] = ((self.root / name).resolve(), name != "in")
        for one in container.get("volumeMounts") or ():
            volume = self._volumes[one["name"]]
            place = self._place(one["mountPath"])
            if "hostPath" in volume and one["name"] not in self._places.shared:
                source = Path(volume["hostPath"]["path"])
                pairs[place or Path(one["mountPath"])] = (source / one.get("subPath", ""), False)
            elif "emptyDir" in volume and place is not None and one["name"] not in self._places.shared:
                pairs[place] = (place.resolve(), not one.get("readOnly") and place != self.root / "in")
        for path in (*interpreter, *binds.read_only):
            if not path.is_relative_to("/usr"):
                pairs[path] = (path, False)
        for path in binds.writable:
            pairs[path] = (path, True)
        devices = gpu_devices() if container["name"] == "measure" else ()
        if container["name"] == "measure":
            # A driver looks for its device there, and a measurement's fingerprint for CPUs and their governor.
            pairs[Path("/sys")] = (Path("/sys"), False)
        return View(
            read_only=tuple((source, seen) for seen, (source, writes) in pairs.items() if not writes),
            writable=tuple((source, seen) for seen, (source, writes) in pairs.items() if writes),
            folder=self.root / "tmp",
            devices=devices,
            offline=offline,
        )


def hand_over(view: View, uid: int) -> None:
    """As root, make what a sandbox may write its user's own, and what it may read of the pod readable to that user."""
    for folder, _ in view.writable:
        folder.mkdir(parents=True, exist_ok=True)
        if folder.stat().st_uid == uid:
            continue
        # Through descriptors, so that no name can be exchanged for a link on the way.
        for _, folders, files, handle in os.fwalk(folder, follow_symlinks=False):
            for name in (*folders, *files):
                os.chown(name, uid, uid, dir_fd=handle, follow_symlinks=False)
            os.fchown(handle, uid, uid)
    for folder, seen in view.read_only:
        if seen.name == "in" and folder.is_dir():
            for _, _, files, handle in os.fwalk(folder, follow_symlinks=False):
                os.fchmod(handle, stat.S_IMODE(os.fstat(handle).st_mode) | 0o555)
                for name in files:
                    info = os.stat(name, dir_fd=handle, follow_symlinks=False)
                    if stat.S_ISREG(info.st_mode) and info.st_mode & 0o444 != 0o444:
                        os.chmod(name, stat.S_IMODE(info.st_mode) | 0o444, dir_fd=handle)
