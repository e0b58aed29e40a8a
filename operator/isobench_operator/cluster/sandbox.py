"""Bubblewrap: whether it works on this machine, and the command line that shuts untrusted code in.

`command` is pure; `detect` tries on the real machine and says in words what it found. As an ordinary user one layer of bubblewrap is
enough. As root two are needed: the outer one, still root, builds the file system (an interpreter may lie below a home of mode 0700,
which no other user can enter), then setpriv becomes an ordinary user, and the inner one makes the namespaces as that user.
Nothing of pods or Jobs may enter.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

SANDBOX_UID = 10001
"""The user that untrusted code becomes where the runtime is root: the one that it has on a cluster."""
TMP_BYTES = 1 << 30
_PROBE_SECONDS = 20
_UNSHARED = ("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try")


@dataclass(frozen=True, kw_only=True)
class Isolation:
    """What shuts untrusted containers in.

    Attributes:
        kind: what records and reports say.
        words: why, for people.
        bwrap: path of the program, None where kind is none.
        setpriv: path of the program where the runtime is root.
        uid: whom untrusted code becomes where the runtime is root, else None.
        nested: whether (as root) the inner layer works; else privileges are dropped by setpriv alone.
        system: bubblewrap's options that show the operating system, read-only.
    """

    kind: Literal["bubblewrap", "none"]
    words: str
    bwrap: str | None = None
    setpriv: str | None = None
    uid: int | None = None
    nested: bool = False
    system: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class View:
    """What one container sees and may do.

    Attributes:
        read_only: (where it lies, where it is seen), absolute.
        writable: the same, for what may be changed.
        devices: device files to show.
        offline: no network but a loopback of its own.
        folder: where it starts.
    """

    read_only: tuple[tuple[Path, Path], ...]
    writable: tuple[tuple[Path, Path], ...]
    folder: Path
    devices: tuple[Path, ...] = ()
    offline: bool = True


def none(words: str) -> Isolation:
    """No isolation, and why."""
    return Isolation(kind="none", words=words)


def _files(view: View, *, system: tuple[str, ...]) -> list[str]:
    shown = [("--ro-bind", *pair) for pair in view.read_only] + [("--bind", *pair) for pair in view.writable]
    shown.sort(key=lambda item: len(item[2].parts))
    arguments = [*system, "--perms", "1777", "--size", str(TMP_BYTES), "--tmpfs", "/tmp"]  # noqa: S108
    made: set[Path] = {Path("/"), Path("/tmp")}  # noqa: S108
    for option, source, seen in shown:
        for parent in reversed(seen.parents):
            if parent not in made:
                # A parent that bubblewrap makes by itself has mode 0700.
                arguments += ["--perms", "0755", "--dir", str(parent)]
                made.add(parent)
        made.add(seen)
        arguments += [option, str(source), str(seen)]
    return arguments


def _devices(view: View) -> list[str]:
    return ["--dev", "/dev", *(word for device in view.devices for word in ("--dev-bind", str(device), str(device)))]


def command(isolation: Isolation, view: View, argv: Sequence[str]) -> list[str]:
    """The command line that runs `argv` shut in; `argv` itself where there is no isolation. The environment is passed on as it is."""
    if isolation.kind == "none":
        return list(argv)
    bwrap = str(isolation.bwrap)
    unshared = [*_UNSHARED, *(["--unshare-net"] if view.offline else [])]
    files = _files(view, system=isolation.system)
    end = ["--chdir", str(view.folder), "--", *argv]
    if isolation.uid is None:
        layer = [bwrap, "--die-with-parent", "--new-session", *unshared, "--disable-userns", "--cap-drop", "ALL"]
        return [*layer, *files, *_devices(view), "--proc", "/proc", "--remount-ro", "/", *end]
    uid = str(isolation.uid)
    drop = [str(isolation.setpriv), "--reuid", uid, "--regid", uid, "--clear-groups", "--no-new-privs"]
    drop += ["--bounding-set=-all", "--inh-caps=-all", "--pdeathsig", "KILL"]
    outer = [bwrap, "--die-with-parent", "--new-session"]
    if not isolation.nested:
        spaces = [name for name in unshared if name != "--unshare-user"]
        return [*outer, *spaces, *files, *_devices(view), "--proc", "/proc", *end[:2], "--", *drop, *argv]
    # The inner layer may mount a /proc of its own only where it sees a whole one.
    outer += [*files, *_devices(view), "--bind", "/proc", "/proc", *end[:2], "--", *drop]
    inner = [bwrap, "--die-with-parent", *unshared, "--disable-userns", "--cap-drop", "ALL", "--uid", uid, "--gid", uid]
    return [*outer, *inner, "--bind", "/", "/", *_devices(view), "--proc", "/proc", *end]


def system_options(root: Path = Path("/")) -> tuple[str, ...]:
    """Bubblewrap's options that show this operating system read-only: links stay links (merged /usr), folders are bound."""
    options: list[str] = []
    for name in ("usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc"):
        place = root / name
        if place.is_symlink():
            options += ["--symlink", str(place.readlink()), f"/{name}"]
        elif place.is_dir():
            options += ["--ro-bind", str(place), f"/{name}"]
    resolver = root / "etc/resolv.conf"
    target = resolver.resolve()
    if resolver.is_symlink() and target.is_file() and not target.is_relative_to(root / "etc"):
        options += ["--perms", "0755", "--dir", str(target.parent), "--ro-bind", str(target), str(target)]
    return tuple(options)


def gpu_devices() -> tuple[Path, ...]:
    """The device files of the GPUs that are there."""
    return tuple(sorted(path for path in Path("/dev").glob("nvidia*")))


def _free_uid() -> int:
    uid = SANDBOX_UID
    known = {entry.pw_uid for entry in pwd.getpwall()}
    while uid in known:
        uid += 1
    return uid


def _try(isolation: Isolation) -> str | None:
    """Start a program under an isolation; returns what went wrong, or None."""
    view = View(read_only=(), writable=(), folder=Path("/"), offline=True)
    try:
        done = subprocess.run(
            command(isolation, view, ["/usr/bin/env", "true"]),
            check=False,
            capture_output=True,
            text=True,
            timeout=_PROBE_SECONDS,
            stdin=subprocess.DEVNULL,
            env={"PATH": "/usr/bin:/bin"},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no word of why"])[-1]


def detect() -> Isolation:
    """Find out what isolation this machine gives, by trying; never raises."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return none("bubblewrap is not installed (Debian and Ubuntu: apt install bubblewrap)")
    plain = Isolation(kind="bubblewrap", words="", bwrap=bwrap, system=system_options())
    if os.geteuid() != 0:
        trouble = _try(plain)
        if trouble is None:
            return replace(plain, words="bubblewrap: own user, process and mount namespaces, no capabilities")
        return none(
            f"bubblewrap does not work here: {trouble}; user namespaces may be switched off (sysctl kernel.unprivileged_userns_clone, AppArmor)"
        )
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        return none(
            "bubblewrap protects nothing from root without setpriv, which is not installed (package util-linux)"
        )
    uid = _free_uid()
    dropped = replace(plain, setpriv=setpriv, uid=uid)
    nested = replace(dropped, nested=True)
    trouble = _try(nested)
    if trouble is None:
        return replace(
            nested, words=f"bubblewrap as user {uid}: own user, process and mount namespaces, no capabilities"
        )
    worse = _try(dropped)
    if worse is None:
        return replace(
            dropped,
            words=f"bubblewrap and setpriv as user {uid}: own process and mount namespaces, no capabilities; no user namespace: {trouble}",
        )
    return none(f"bubblewrap does not work here: {worse}")
