"""Runs the lines of a build, one after another, under one deadline; nothing that a line started outlives it.

The output goes to a capped log, its end is kept for the message. What the lines mean may not enter here.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from typing import BinaryIO, Deque, Dict, List, Optional, Sequence, Set

from .build_errors import BuildError

LOG_BYTES = 16 << 20
TAIL_BYTES = 12000
DRAIN_SECONDS = 2
"""How long what a program left running may go on writing into its pipe once the program itself has ended."""
_PR_SET_CHILD_SUBREAPER = 36
_NO_SPACE = b"No space left on device"


def become_subreaper() -> None:
    """Have orphans handed to this process, so that a daemon which left its group is still found (prctl(2), Linux)."""
    try:
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def descendants(of: int) -> Set[int]:
    """Every process below one, from /proc; empty where there is no /proc."""
    children: Dict[int, List[int]] = {}
    try:
        entries = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return set()
    for pid in entries:
        try:
            with open("/proc/{}/stat".format(pid), "rb") as file:
                fields = file.read().rpartition(b")")[2].split()
        except OSError:
            continue
        children.setdefault(int(fields[1]), []).append(pid)
    found: Set[int] = set()
    waiting = [of]
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def _kill_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except OSError:
        pass


def kill_all() -> None:
    """Kill everything below this process, and reap it."""
    for _ in range(100):
        below = descendants(os.getpid())
        for pid in below:
            try:
                os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except OSError:
            pass
        if not below:
            return
        time.sleep(0.02)


class Log:
    """What a build says and what its lines print: into a file, and to whoever looks on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def write(self, chunk: bytes) -> None:
        """Add bytes."""
        for stream in (self._file, sys.stdout.buffer):
            try:
                stream.write(chunk)
                stream.flush()
            except OSError:
                if stream is self._file:
                    raise

    def say(self, words: str) -> None:
        """Add a line of the build driver's own."""
        self.write("build: {}\n".format(words).encode("utf-8", "replace"))


class Commands:
    """Runs programs with one environment, log and deadline.

    Args:
        deadline: of all of them together, in time.monotonic's seconds.
        limit_seconds: the limit that the deadline came from, for the message.
    """

    def __init__(self, log: Log, *, deadline: float, limit_seconds: float) -> None:
        self.deadline = deadline
        self._limit = limit_seconds
        self._log = log
        self._room = LOG_BYTES
        self._tail: Deque[bytes] = deque()
        self._tail_bytes = 0

    def _keep(self, chunk: bytes) -> None:
        part = chunk[: self._room]
        if part:
            self._log.write(part)
            self._room -= len(part)
            if self._room == 0:
                self._log.write(b"\n... the log ends here, at its limit\n")
        self._tail.append(chunk)
        self._tail_bytes += len(chunk)
        while self._tail_bytes - len(self._tail[0]) >= TAIL_BYTES:
            self._tail_bytes -= len(self._tail.popleft())

    def tail(self) -> str:
        """The last lines of the program that ran last."""
        return b"".join(self._tail)[-TAIL_BYTES:].decode("utf-8", "replace")

    def run(self, argv: Sequence[str], *, env: Dict[str, str], cwd: str, what: str, reason: str) -> None:
        """Run one program to its end.

        Args:
            what: names it in messages: `install line 2 of 3: pip install -e .`
            reason: of the failure where it ends with anything but 0.

        Raises:
            BuildError: `reason`, BuildTimeout, or DiskFull where its last lines say so.
        """
        self._tail.clear()
        self._tail_bytes = 0
        self._keep("$ {}\n".format(what).encode())
        try:
            process = subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            raise BuildError(reason, "{} could not be started: {}".format(what, error)) from error
        try:
            code = self._follow(process)
        finally:
            _kill_group(process.pid)
            process.wait()
            kill_all()
            if process.stdout is not None:
                process.stdout.close()
        if code is None:
            words = "{} was still running when the build's limit of {:g} s was reached\n{}"
            raise BuildError("BuildTimeout", words.format(what, self._limit, self.tail()))
        if code != 0:
            ended = "was killed by signal {}".format(-code) if code < 0 else "ended with exit code {}".format(code)
            full = any(_NO_SPACE in chunk for chunk in self._tail)
            raise BuildError("DiskFull" if full else reason, "{} {}\n{}".format(what, ended, self.tail()))

    def _follow(self, process: "subprocess.Popen[bytes]") -> Optional[int]:
        """Read until the program itself has ended; its children may hold the pipe open longer. None at the deadline."""
        assert process.stdout is not None
        handle = process.stdout.fileno()
        code: Optional[int] = None
        open_pipe = True
        until = self.deadline
        while time.monotonic() < until:
            if code is None:
                code = process.poll()
                if code is not None:
                    until = min(until, time.monotonic() + DRAIN_SECONDS)
            if not open_pipe:
                if code is not None:
                    break
                time.sleep(0.02)
                continue
            ready, _, _ = select.select([handle], [], [], 0 if code is not None else 0.05)
            if ready:
                chunk = os.read(handle, 1 << 16)
                self._keep(chunk)
                open_pipe = bool(chunk)
            elif code is not None:
                break
        return code
