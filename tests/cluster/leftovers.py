"""What a cluster leaves outside of its state folder, and taking it away: containers, mounts, namespaces, cgroups, sockets.

Only what is ours: shims whose command line names our state, mounts below it, cgroups of its pods.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from .layout import Layout, host_tool

CGROUPS = ("kubepods", "k8s.io")
OUTSIDE = (Path("/var/lib/kubelet/device-plugins"), Path("/var/log/containers"), Path("/var/lib/cni/results"), Path("/run/containerd/s"), Path("/run/containerd/runc"))  # fmt: skip


def _cgroup_folders() -> list[Path]:
    root = Path("/sys/fs/cgroup")
    tops = [root / name for name in CGROUPS] + [folder / name for folder in root.glob("*") for name in CGROUPS]
    return [top for top in tops if top.is_dir()]


def processes_of(layout: Layout) -> set[int]:
    """Shims of our containerd, and everything in the pods' cgroups."""
    found: set[int] = set()
    needle = str(layout.state).encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (entry / "cmdline").read_bytes()
            if b"containerd-shim" in line and needle in line:
                found.add(int(entry.name))
    for top in _cgroup_folders():
        for folder, _, files in os.walk(top):
            if "cgroup.procs" in files:
                with contextlib.suppress(OSError):
                    found |= {int(pid) for pid in (Path(folder) / "cgroup.procs").read_text().split()}
    return found - {os.getpid(), 0}


def remove(layout: Layout) -> None:
    """Take all of it away; the processes of the list have ended before."""
    for _ in range(5):
        pids = processes_of(layout)
        for pid in pids:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if not pids:
            break
        time.sleep(0.2)
    _unmount(layout.state)
    for line in subprocess.run(
        [host_tool("ip"), "netns", "list"], capture_output=True, text=True, check=False
    ).stdout.splitlines():
        name = line.split()[0]
        if name.startswith("cni-"):
            subprocess.run([host_tool("ip"), "netns", "del", name], capture_output=True, check=False)
    for top in _cgroup_folders():
        for folder, _, _ in os.walk(top, topdown=False):
            with contextlib.suppress(OSError):
                Path(folder).rmdir()
    for place in OUTSIDE:
        shutil.rmtree(place, ignore_errors=True)
    _unmount(layout.state)
    shutil.rmtree(layout.state, ignore_errors=True)


def _unmount(state: Path) -> None:
    points = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for point in sorted((one for one in points if one.startswith(f"{state}/")), reverse=True):
        subprocess.run([host_tool("umount"), "-l", point], capture_output=True, check=False)
