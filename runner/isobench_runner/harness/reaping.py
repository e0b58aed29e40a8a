"""What the kernel does for a parent that trusts nothing below it: who is there, what they used, and that none of them is left.

Linux alone: /proc and prctl. No pipe and no protocol here.
"""

import contextlib
import ctypes
import os
import signal
import time
from typing import Dict, Iterable, List, Optional, Set

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36

_libc = ctypes.CDLL(None, use_errno=True)


def protect_self() -> None:
    """Make this process unreadable to others of its user, and the one that orphans below it are handed to."""
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def ignore_signals() -> None:
    """Ignore every signal that a child could send in passing; SIGKILL is the guardian's to notice."""
    names = (
        "SIGINT",
        "SIGTERM",
        "SIGHUP",
        "SIGQUIT",
        "SIGUSR1",
        "SIGUSR2",
        "SIGALRM",
        "SIGPIPE",
        "SIGXCPU",
        "SIGTSTP",
        "SIGVTALRM",
        "SIGPROF",
    )
    for name in names:
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def _pids() -> Set[int]:
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _parents(pids: Iterable[int]) -> Dict[int, int]:
    parents = {}
    for pid in pids:
        with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/{}/stat".format(pid), "rb") as file:
            parents[pid] = int(file.read().rpartition(b")")[2].split()[1])
    return parents


def _below(roots: Iterable[int], parents: Dict[int, int]) -> Set[int]:
    children: Dict[int, List[int]] = {}
    for child, parent in parents.items():
        children.setdefault(parent, []).append(child)
    found: Set[int] = set()
    waiting = list(roots)
    while waiting:
        for child in children.get(waiting.pop(), []):
            if child not in found:
                found.add(child)
                waiting.append(child)
    return found


def descendants(pid: int) -> Set[int]:
    """Every process below `pid`, the dead that nobody has reaped included."""
    return _below([pid], _parents(_pids()))


def last_pid() -> Optional[int]:
    """The number that the kernel gave last in this PID namespace; None where it does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/loadavg", "rb") as file:
        return int(file.read().split()[4]) or None
    return None


class Family:
    """The processes below a worker, and orphans that were handed to this process: a look at all of /proc costs milliseconds.

    So it is looked at again only where the kernel has given out a number since, and a process that was seen to be another's is not
    asked again. Who may not miss anything asks `descendants`.

    Args:
        pid: the worker.
        before: `last_pid` from before it was started. A kernel that told the same afterwards cannot be asked.
    """

    _workers: Set[int] = set()  # noqa: RUF012 - shared on purpose: no worker is another's orphan

    def __init__(self, pid: int, before: Optional[int]) -> None:
        self._pid = pid
        self._speaks = before is not None and last_pid() != before
        self._seen_at: Optional[int] = None
        self._members: Set[int] = set()
        self._others: Set[int] = set()
        self._workers.add(pid)

    def members(self) -> Set[int]:
        """Everything below the worker by now; some of it may have ended since."""
        now = last_pid() if self._speaks else None
        if now is None or now != self._seen_at:
            self._look()
            self._seen_at = now
        return self._members

    def _look(self) -> None:
        there = _pids()
        self._others &= there
        parents = _parents(there - self._others)
        orphans = {pid for pid, parent in parents.items() if parent == os.getpid() and pid not in self._workers}
        self._members = _below([self._pid, *orphans], parents) | orphans
        self._others |= parents.keys() - self._members - {self._pid}

    def end(self) -> None:
        """The worker is gone."""
        self._workers.discard(self._pid)


def peak_bytes(pid: int) -> int:
    """The most memory that a process has held so far, as the kernel counts it; 0 where it does not say."""
    with contextlib.suppress(OSError, ValueError, IndexError), open("/proc/{}/status".format(pid), "rb") as file:
        for line in file:
            if line.startswith(b"VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def maps(pids: Iterable[int], library: bytes) -> bool:
    """Whether one of these processes has mapped a library."""
    for pid in pids:
        with contextlib.suppress(OSError), open("/proc/{}/maps".format(pid), "rb") as file:
            if any(library in line for line in file):
                return True
    return False


def cpu_ns(pids: Iterable[int]) -> int:
    """Nanoseconds that the threads of these processes have run so far; one that is gone counts as nothing."""
    return sum(_scheduled(pid, 0) for pid in pids)


def run_delay_ns(pid: int) -> int:
    """Nanoseconds that the threads of a process have waited for a CPU so far."""
    return _scheduled(pid, 1)


def _scheduled(pid: int, column: int) -> int:
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/{}/task".format(pid)):
            name = "/proc/{}/task/{}/schedstat".format(pid, task)
            with contextlib.suppress(OSError, ValueError, IndexError), open(name, "rb") as file:
                total += int(file.read().split()[column])
    return total


def was_stopped(pid: int) -> bool:
    """Whether a signal has stopped a child of this process since this was asked last, even where it goes on by now."""
    with contextlib.suppress(OSError):
        return os.waitid(os.P_PID, pid, os.WSTOPPED | os.WCONTINUED | os.WNOHANG) is not None
    return False


def kill_below(pid: int, *, spare: Iterable[int] = (), seconds: float = 10.0) -> bool:
    """Kill every process below `pid` but the spared ones and what is below those; reap what is ours. Returns whether none is left."""
    end = time.monotonic() + seconds
    while True:
        spared = set(spare)
        for one in list(spared):
            spared |= descendants(one)
        doomed = descendants(pid) - spared
        for one in doomed:
            with contextlib.suppress(OSError):
                os.kill(one, signal.SIGKILL)
        for one in doomed:
            with contextlib.suppress(OSError):
                os.waitpid(one, os.WNOHANG)
        if not doomed:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
