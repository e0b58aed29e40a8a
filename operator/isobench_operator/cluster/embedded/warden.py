"""The process that stands over one container: starts it, keeps what it prints, and leaves nothing of it running.

Run as a program of its own under a bare interpreter (`-I -S`), outside the sandbox, so that a container's processes die with the
runtime even where that was killed: it reads one line of JSON from its standard input, which the runtime holds open as long as it
lives, and answers with one line of JSON. Linux alone: descendants are found in /proc and adopted as a child subreaper. Nothing of
Jobs, pods or volumes may enter; the standard library alone.

Spec: {"argv": [...], "env": {...}, "cwd": path, "log": path, "log_bytes": n, "umask": n, "limits": {"nproc": n, …},
"memory_bytes": n or null, "grace_seconds": n}. Answer: {"exitCode": n, "oom": bool, "error": words or null, "dropped": bytes}.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any

_SET_PDEATHSIG, _SET_DUMPABLE, _SET_CHILD_SUBREAPER = 1, 4, 36
"""Options of prctl(2), from linux/prctl.h."""
_LAYERS = frozenset({"bwrap", "setpriv"})
_TAIL_BYTES = 64 << 10
_MEMORY_POLL_SECONDS = 2.0
_RESOURCES = {
    "nofile": resource.RLIMIT_NOFILE,
    "fsize": resource.RLIMIT_FSIZE,
    "core": resource.RLIMIT_CORE,
}
_prctl = ctypes.CDLL(None, use_errno=True).prctl


def processes() -> dict[int, tuple[int, str, str]]:
    """Every process of the machine: pid → (parent's pid, state, command name)."""
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - called in a loop against a fork bomb
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError):
                text = Path("/proc", entry, "stat").read_bytes().decode(errors="replace")
                name, _, rest = text.partition("(")[2].rpartition(")")
                fields = rest.split()
                found[int(entry)] = (int(fields[1]), fields[0], name)
    return found


def descendants(ancestor: int) -> dict[int, str]:
    """The living processes below one, with their names; complete as long as it is their subreaper."""
    every = processes()
    below: dict[int, str] = {}
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in every.items():
        children.setdefault(parent, []).append(pid)
    waiting = list(children.get(ancestor, ()))
    while waiting:
        pid = waiting.pop()
        if every[pid][1] not in "ZX":
            below[pid] = every[pid][2]
        waiting.extend(children.get(pid, ()))
    return below


def _signal_all(pids: Iterable[int], number: int) -> set[int]:
    """Signal processes; returns those of other users, which nothing here can end."""
    foreign = set()
    for pid in pids:
        try:
            os.kill(pid, number)
        except PermissionError:
            foreign.add(pid)
        except ProcessLookupError:
            continue
    return foreign


def _reap() -> dict[int, int]:
    ended = {}
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                break
            ended[pid] = status
    return ended


def destroy() -> dict[int, int]:
    """Kill everything below this process until nothing is left; returns the wait statuses of its own children."""
    ended: dict[int, int] = {}
    stopped: set[int] = set()
    foreign: set[int] = set()
    pause = 0.001
    while below := descendants(os.getpid()).keys() - foreign:
        if not below <= stopped:
            # What stands still forks no more, so that the next look sees the whole tree of a fork bomb.
            foreign |= _signal_all(below, signal.SIGSTOP)
            stopped |= below
            continue
        foreign |= _signal_all(below, signal.SIGKILL)
        time.sleep(pause)
        pause = min(pause * 2, 0.1)
        ended |= _reap()
    return ended | _reap()


def _oom_kills() -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0


def _anonymous_bytes() -> int:
    total = 0
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = Path("/proc", str(pid), "status").read_text(errors="replace")
            total += int(text.split("RssAnon:")[1].split()[0]) << 10
    return total


def _threads(uid: int) -> int:
    count = 0
    for entry in os.listdir("/proc"):  # noqa: PTH208
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{entry}").st_uid == uid:  # noqa: PTH116
                    count += len(os.listdir(f"/proc/{entry}/task"))  # noqa: PTH208
    return count


class Log:
    """A container's output: the first `limit` bytes and the last 64 KiB, whatever lies between is counted and dropped."""

    def __init__(self, path: str, limit: int) -> None:
        self._room = limit
        self._tail: deque[bytes] = deque()
        self._held = 0
        self.dropped = 0
        try:
            self._file = open(path, "wb", buffering=0)  # noqa: SIM115, PTH123
        except OSError:
            self._file = open(os.devnull, "wb", buffering=0)  # noqa: SIM115, PTH123

    def write(self, data: bytes) -> None:
        """Take what the container printed; a full disk loses output, never the container."""
        head, rest = data[: self._room], data[self._room :]
        self._put(head)
        self._room -= len(head)
        if rest:
            self._tail.append(rest)
            self._held += len(rest)
            while self._held - len(self._tail[0]) >= _TAIL_BYTES:
                gone = self._tail.popleft()
                self._held -= len(gone)
                self.dropped += len(gone)

    def _put(self, data: bytes) -> None:
        if data:
            try:
                self._file.write(data)
            except OSError:
                self.dropped += len(data)

    def close(self) -> None:
        """Write the tail and close."""
        tail = b"".join(self._tail)
        self.dropped += max(0, len(tail) - _TAIL_BYTES)
        if self.dropped:
            self._put(f"\n[{self.dropped} bytes of output were dropped here]\n".encode())
        self._put(tail[-_TAIL_BYTES:])
        self._file.close()


class Warden:
    """One container, from start to its last process."""

    def __init__(self, spec: dict[str, Any]) -> None:
        self.spec = spec
        self.oom = False
        self.status: int | None = None
        self._kill_at: float | None = None
        self._ended_at: float | None = None

    def _prepare_child(self) -> None:
        os.umask(self.spec["umask"])
        for name, value in self.spec["limits"].items():
            if name == "nproc":
                kind, wanted = resource.RLIMIT_NPROC, value
            else:
                kind, wanted = _RESOURCES[name], value
            hard = resource.getrlimit(kind)[1]
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(kind, (most, most))
        _prctl(_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())

    def run(self) -> dict[str, Any]:
        """Start, watch, clean up; returns the answer."""
        spec = self.spec
        if "nproc" in spec["limits"]:
            # The kernel counts a user's processes, not a container's.
            spec["limits"]["nproc"] += _threads(spec["uid"] if spec.get("uid") is not None else os.getuid())
        before = _oom_kills()
        read, write = os.pipe()
        wake_read, wake_write = os.pipe()
        for handle in (wake_read, wake_write):
            os.set_blocking(handle, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: None)
        log = Log(spec["log"], spec["log_bytes"])
        try:
            child = subprocess.Popen(
                spec["argv"],
                env=spec["env"],
                cwd=spec["cwd"],
                stdin=subprocess.DEVNULL,
                stdout=write,
                stderr=write,
                start_new_session=True,
                preexec_fn=self._prepare_child,  # noqa: PLW1509 - this process has one thread
            )
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            log.close()
            return {"exitCode": 128, "oom": False, "error": f"cannot start {spec['argv'][0]}: {error}", "dropped": 0}
        os.close(write)
        self._watch(child.pid, read, wake_read, log)
        child.returncode = 0
        log.close()
        status = self.status if self.status is not None else signal.SIGKILL
        code = os.waitstatus_to_exitcode(status)
        exit_code = 128 - code if code < 0 else code
        by_kernel = exit_code == 128 + signal.SIGKILL and self._kill_at is None and _oom_kills() > before
        return {"exitCode": exit_code, "oom": self.oom or by_kernel, "error": None, "dropped": log.dropped}

    def _watch(self, child: int, output: int, wake: int, log: Log) -> None:
        memory = self.spec["memory_bytes"]
        next_look = time.monotonic() + _MEMORY_POLL_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ, "output")
            selector.register(wake, selectors.EVENT_READ, "wake")
            selector.register(0, selectors.EVENT_READ, "runtime")
            while self.status is None:
                deadlines = [at for at in (self._kill_at, next_look if memory else None) if at is not None]
                timeout = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
                for key, _ in selector.select(timeout):
                    if key.data == "output":
                        data = os.read(output, 1 << 16)
                        log.write(data)
                        if not data:
                            selector.unregister(output)
                    elif key.data == "wake":
                        numbers = os.read(wake, 4096)
                        if (signal.SIGTERM in numbers or signal.SIGINT in numbers) and self._kill_at is None:
                            self._ask_to_end()
                    elif not os.read(0, 4096):
                        self._kill_at = 0.0
                        selector.unregister(0)
                self.status = _reap().get(child)
                now = time.monotonic()
                if self.status is None and memory and now >= next_look:
                    next_look = now + _MEMORY_POLL_SECONDS
                    if _anonymous_bytes() > memory:
                        self.oom, self._kill_at = True, 0.0
                if self.status is None and self._kill_at is not None and now >= self._kill_at:
                    break
            self.status = destroy().get(child, self.status)
            os.set_blocking(output, False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(output, 1 << 16):
                    log.write(data)

    def _ask_to_end(self) -> None:
        self._kill_at = time.monotonic() + float(self.spec["grace_seconds"])
        # A sandbox's own processes would take all of it down with them, without the grace.
        _signal_all([pid for pid, name in descendants(os.getpid()).items() if name not in _LAYERS], signal.SIGTERM)


def main() -> int:
    """Read the spec, run it, answer."""
    parent = os.getppid()
    _prctl(_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    _prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    _prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    line = b""
    while not line.endswith(b"\n"):
        part = os.read(0, 1 << 16)
        if not part:
            return 1
        line += part
    if os.getppid() != parent:
        return 1
    answer = Warden(json.loads(line)).run()
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
