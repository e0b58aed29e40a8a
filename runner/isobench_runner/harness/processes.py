"""Processes below the measuring parent: how they start, what they may inherit, how their words are read, how all of them end.

Everything here expects a hostile child: one that floods its output, closes its pipes, forks, or tries to outlive its parent. What a
child says is bytes with a limit and a deadline. Nothing about revisions, rounds or verdicts may enter. Linux alone.
"""

import contextlib
import json
import os
import resource
import signal
import subprocess
import time
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from .logs import Logs
from .reaping import Family, adopt_orphans, die_with_parent, kill_below, last_pid, scheduled

MAX_REPLY_BYTES = 4 << 20
TICK_MS = 100


class Late(Exception):  # noqa: N818 - an event, not a fault
    """A process did not answer before its deadline."""


class Died(Exception):  # noqa: N818 - as above
    """A process ended, closed its pipe or spoke out of turn instead of answering.

    Attributes:
        status: a waitpid status, or None where it was still alive.
    """

    def __init__(self, words: str, status: Optional[int] = None) -> None:
        super().__init__(words)
        self.status = status


class Process:
    """One child with two pipes for the protocol and one for what it prints; its own session, dying with its parent."""

    def __init__(
        self,
        argv: List[str],
        *,
        env: Dict[str, str],
        cwd: str,
        logs: Logs,
        cpus: Iterable[int],
        data_bytes: Optional[int],
        talks: bool = True,
        inherited: Sequence[int] = (),
    ) -> None:
        """Start it.

        Args:
            talks: whether it is given the protocol's pipes, as its last arguments.
            inherited: what else it may have open.
        """
        command_read, self._command = os.pipe()
        self._reply, reply_write = os.pipe()
        self._log, log_write = os.pipe()
        wanted = list(cpus)

        def before_exec() -> None:
            die_with_parent()
            adopt_orphans()
            for number in range(1, signal.NSIG):
                with contextlib.suppress(OSError, ValueError):
                    signal.signal(number, signal.SIG_DFL)
            with contextlib.suppress(OSError):
                os.sched_setaffinity(0, wanted)
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if data_bytes is not None:
                with contextlib.suppress(OSError, ValueError):
                    resource.setrlimit(resource.RLIMIT_DATA, (data_bytes, data_bytes))

        pipes = (command_read, reply_write) if talks else ()
        numbers = [str(command_read), str(reply_write)] if talks else []
        before = last_pid()
        try:
            self.started_ns = time.monotonic_ns()
            self._child = subprocess.Popen(
                argv + numbers,
                env=env,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log_write,
                stderr=log_write,
                pass_fds=(*pipes, *inherited),
                start_new_session=True,
                preexec_fn=before_exec,  # noqa: PLW1509 - the parent has one thread
            )
        except BaseException:
            for fd in (self._command, self._reply, self._log):
                os.close(fd)
            raise
        finally:
            for fd in (command_read, reply_write, log_write):
                os.close(fd)
        self.pid = self._child.pid
        self.family = Family(self.pid, before)
        self._logs = logs
        self._tail = logs.add(self._log)
        self._buffer = b""
        self._open = True

    def pin(self, cpus: Iterable[int]) -> None:
        """Put every thread of the process and of all below it on these CPUs; one that is gone stays gone."""
        wanted = list(cpus)
        for pid in [self.pid, *self.family.members()]:
            with contextlib.suppress(OSError):
                for thread in os.listdir("/proc/{}/task".format(pid)):
                    with contextlib.suppress(OSError):
                        os.sched_setaffinity(int(thread), wanted)

    def printed(self) -> str:
        """The end of what it printed."""
        return bytes(self._tail).decode("utf-8", "replace")

    def say(self, message: Any) -> None:
        """Send one line.

        Raises:
            Died: nobody reads the other end.
        """
        self.say_bytes(json.dumps(message).encode() + b"\n")

    def say_bytes(self, line: bytes) -> None:
        """Send a line that is encoded already."""
        try:
            while line:
                line = line[os.write(self._command, line) :]
        except OSError:
            raise self._died("closed its pipe") from None

    def hear(self, deadline: float) -> bytes:
        """Read one line before `deadline` (monotonic seconds).

        Raises:
            Late: it did not come in time.
            Died: it never will.
        """
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Late
            if self._logs.wait(self._reply, min(TICK_MS, int(left * 1000) + 1)):
                piece = os.read(self._reply, 65536)
                self._buffer += piece
                if not piece:
                    raise self._died("closed its pipe")
                if len(self._buffer) > MAX_REPLY_BYTES:
                    raise Died("answered with more than {} bytes".format(MAX_REPLY_BYTES))
            else:
                self._logs.meanwhile()
                if self._exited() and not self._logs.wait(self._reply, 0):
                    raise self._died("ended")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def ask(self, message: Any, deadline: float) -> Dict[str, Any]:
        """Send a message and read its answer, a JSON object.

        Raises:
            Late, Died: as above; Died also for an answer that is no JSON object.
        """
        self.say(message)
        return self.parse(self.hear(deadline))

    @staticmethod
    def parse(line: bytes) -> Dict[str, Any]:
        """An answer as an object.

        Raises:
            Died: it is none.
        """
        try:
            answer = json.loads(line.decode())
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise Died("spoke out of turn: {!r}".format(line[:200]))
        return answer

    def wait(self, deadline: float) -> Tuple[int, int, Optional[int]]:
        """Wait for the end of a process that does not talk.

        Returns:
            Its exit code, monotonic ns at its end, and ns that it has waited for a CPU, which the kernel still knows of a process that
            nobody has reaped; None where it was not one thread all its life.

        Raises:
            Late: it still ran at the deadline.
        """
        woken = self._logs.child_ended()
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
            if time.monotonic() > deadline:
                raise Late
            if self._logs.wait(woken, TICK_MS):
                os.read(woken, 4096)
        end_ns = time.monotonic_ns()
        waited_ns = scheduled(self.pid, self.pid)[1] if last_pid() == self.pid else None
        self._child.wait()
        return int(self._child.returncode), end_ns, waited_ns

    def _exited(self) -> bool:
        return self._child.poll() is not None

    def _died(self, words: str) -> Died:
        end = time.monotonic() + 1.0
        while not self._exited() and time.monotonic() < end:
            time.sleep(0.005)
        return Died(words, self._child.returncode)

    def end(self) -> None:
        """Kill it and everything below it, keep the end of its words, close the pipes."""
        if not self._open:
            return
        self._open = False
        below = self.family.members()
        for pid in [self.pid, *below]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.wait(10)
        self.family.end()
        if below:
            kill_below(os.getpid(), spare=Family.workers())
        self._logs.remove(self._log)
        for fd in (self._command, self._reply, self._log):
            with contextlib.suppress(OSError):
                os.close(fd)
