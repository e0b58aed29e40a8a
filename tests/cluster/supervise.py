"""Starts processes so that they outlive the command that started them, finds them again by what /proc says, and stops each by its pid.

A pid file holds the pid and the process's start time: a pid that the kernel gave to somebody else is nobody of ours.
"""

from __future__ import annotations

import contextlib
import os
import signal
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from . import network
from .layout import Layout
from .processes import Process


def _started(pid: int) -> str | None:
    """The kernel's start time of a living process; a zombie, which `kill -0` finds alive, is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def pid_of(layout: Layout, name: str) -> int | None:
    """The pid of a process of ours that is alive, or None."""
    try:
        pid, started = (layout.run / f"{name}.pid").read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if _started(int(pid)) == started else None


def start(layout: Layout, process: Process) -> bool:
    """Start a process unless it runs; returns whether it was started."""
    if pid_of(layout, process.name) is not None:
        return False
    layout.logs.mkdir(parents=True, exist_ok=True)
    layout.run.mkdir(parents=True, exist_ok=True)
    with (layout.logs / f"{process.name}.log").open("ab") as log:
        child = subprocess.Popen(
            network.enter(layout, *process.argv),
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(layout.state), **process.environment},
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd=layout.state,
        )  # fmt: skip
    # It outlives us on purpose: else Python complains, after everything else is told, of an object that nobody waited for.
    child.returncode = 0
    # nsenter replaces itself by the command, so the pid stays.
    started = _started(child.pid)
    (layout.run / f"{process.name}.pid").write_text(f"{child.pid} {started}\n")
    return True


def stop(layout: Layout, name: str, *, seconds: float, kill: bool = False) -> None:
    """End a process: TERM, then KILL; or KILL at once."""
    pid = pid_of(layout, name)
    if pid is not None:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        if not gone(pid, seconds):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
            gone(pid, 5)
    (layout.run / f"{name}.pid").unlink(missing_ok=True)


def gone(pid: int, seconds: float) -> bool:
    """Whether a process ends within so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(ChildProcessError, OSError):
            os.waitpid(pid, os.WNOHANG)
        if _started(pid) is None:
            return True
        time.sleep(0.02)
    return False


def _answers(layout: Layout, ready: str | Path) -> bool:
    if isinstance(ready, Path):
        return ready.exists()
    url = ready.replace("127.0.0.1:6443", "10.87.0.2:6443")
    if url == ready:
        command = ["python3", "-c", f"import urllib.request as u; u.urlopen({ready!r}, timeout=2)"]
        return subprocess.run(network.enter(layout, *command), capture_output=True, check=False).returncode == 0
    context = ssl.create_default_context(cafile=str(layout.pki / "ca.crt"))
    context.load_cert_chain(str(layout.pki / "admin.crt"), str(layout.pki / "admin.key"))
    try:
        with urllib.request.urlopen(url, context=context, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def wait_ready(layout: Layout, process: Process, *, seconds: float = 90) -> None:
    """Wait until a process says that it is ready.

    Raises:
        SystemExit: it ended, or took too long; with the last lines of its log.
    """
    if process.ready is None:
        return
    deadline = time.monotonic() + seconds
    while not _answers(layout, process.ready):
        if pid_of(layout, process.name) is None or time.monotonic() > deadline:
            log = (layout.logs / f"{process.name}.log").read_text(errors="replace").splitlines()[-15:]
            raise SystemExit(f"{process.name} did not become ready:\n" + "\n".join(log))
        time.sleep(0.1)
