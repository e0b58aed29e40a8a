"""What the kernel does for a parent that trusts nothing below it: who is there, what they used, and that none of them is left.

Linux alone: /proc and prctl. No pipe and no protocol here.
"""

import contextlib
import ctypes
import os
import signal
import time
from dataclasses import dataclass
from typing import Callable, Dict, Iterable, List, Optional, Set, Tuple

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
SETTLE_SECONDS = 0.1

_libc = ctypes.CDLL(None, use_errno=True)


def protect_self() -> None:
    """Make this process unreadable to others of its user, and the one that orphans below it are handed to."""
    _libc.prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it ends."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def adopt_orphans() -> None:
    """Keep whatever is orphaned below this process below it, so that no revision's orphan is another's."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


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
        self._strays: Set[int] = set()
        self._workers.add(pid)

    @classmethod
    def workers(cls) -> Set[int]:
        """Those that live."""
        return set(cls._workers)

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
        self._strays = orphans
        self._members = _below([self._pid, *orphans], parents) | orphans
        self._others |= parents.keys() - self._members - {self._pid}

    def strays(self) -> Set[int]:
        """Living orphans that this process was handed: a worker keeps its own, unless it sees to it that it does not."""
        self.members()
        return {pid for pid in self._strays if state(pid) not in ("Z", "X", "")}

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


def cpu_ns_each(pids: Iterable[int]) -> Dict[int, int]:
    """Nanoseconds of CPU time of each of these processes, threads that have ended included; one that is gone has none.

    The clock that clock_getcpuclockid(3) names: the complement of the process id, shifted, with CPUCLOCK_SCHED.
    """
    found = {}
    for pid in pids:
        with contextlib.suppress(OSError, OverflowError):
            found[pid] = time.clock_gettime_ns((~pid << 3) | 2)
    return found


def cpu_ns(pids: Iterable[int]) -> int:
    """Nanoseconds that these processes have run so far; one that is gone counts as nothing."""
    return sum(cpu_ns_each(pids).values())


def used_since(before: Dict[int, int], now: Dict[int, int]) -> int:
    """CPU time between two readings: one process's end takes nothing from what another did."""
    return sum(max(0, used - before.get(pid, 0)) for pid, used in now.items())


def run_delay_ns(pid: int) -> int:
    """Nanoseconds that the threads of a process have waited for a CPU so far."""
    total = 0
    with contextlib.suppress(OSError):
        for task in os.listdir("/proc/{}/task".format(pid)):
            total += scheduled(pid, int(task))[1]
    return total


def scheduled(pid: int, thread: int) -> Tuple[int, int]:
    """Nanoseconds that a thread has run, and that it has waited for a CPU; zeros where the kernel does not say."""
    name = "/proc/{}/task/{}/schedstat".format(pid, thread)
    with contextlib.suppress(OSError, ValueError, IndexError), open(name, "rb") as file:
        ran, waited = file.read().split()[:2]
        return int(ran), int(waited)
    return 0, 0


def state(pid: int) -> str:
    """The letter of proc(5) for what a process does; empty where it is gone."""
    with contextlib.suppress(OSError, IndexError), open("/proc/{}/stat".format(pid), "rb") as file:
        return file.read().rpartition(b")")[2].split()[0].decode()
    return ""


def asleep(pid: int) -> bool:
    """Wait until a process neither runs nor could run, a moment at most; returns whether it came to that."""
    end = time.monotonic() + SETTLE_SECONDS
    while state(pid) == "R":
        if time.monotonic() > end:
            return False
        time.sleep(0.0001)
    return True


@dataclass(frozen=True)
class Usage:
    """What a process and all below it have used up to a moment, as the kernel counts it.

    Attributes:
        cpu: CPU time of each of them in ns. own_ns, waited_ns: what the first thread of the process has run, and waited for a CPU.
        last_pid: the number that was given last in this PID namespace; None where that, or what the thread has run, is not known.
    """

    cpu: Dict[int, int]
    own_ns: int
    waited_ns: int
    last_pid: Optional[int]

    @classmethod
    def of(cls, pid: int, below: Callable[[], Iterable[int]]) -> "Usage":
        """Read it, as soon as the first thread sleeps: the kernel counts what a thread has run when it leaves its CPU.

        What is born after the number was read is not overlooked.
        """
        quiet = asleep(pid)
        number = last_pid()
        members = [pid, *below()]
        own, waited = scheduled(pid, pid)
        return cls(cpu_ns_each(members), own, waited, number if quiet else None)

    def waited_since(self, before: "Usage") -> int:
        """How long the first thread has waited for a CPU."""
        return max(0, self.waited_ns - before.waited_ns)

    def elsewhere_since(self, before: "Usage") -> Optional[int]:
        """CPU time of everything but the first thread; None where nobody knows, as something was born or has ended since.

        A short-lived child can hide what it used from everybody, but not that it was born.
        """
        if not self.cpu or self.last_pid is None or self.last_pid != before.last_pid:
            return None
        if self.cpu.keys() != before.cpu.keys():
            return None
        return max(0, used_since(before.cpu, self.cpu) - max(0, self.own_ns - before.own_ns))


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
