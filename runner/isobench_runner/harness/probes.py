"""What the worker reads about its own process and about a result, with functions saved before any code of a revision was imported.

The numbers here are witnesses: the clock that counts is the parent's. Nothing here may touch pipes or files of the protocol.
"""

import collections.abc
import gc
import io
import os
import resource
import sys
import threading
import time
import timeit
import types
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

perf_counter_ns = time.perf_counter_ns
process_time_ns = time.process_time_ns
thread_time_ns = time.thread_time_ns
getrusage = resource.getrusage
collect = gc.collect
freeze = gc.freeze
collects = gc.isenabled
active_threads = threading.active_count
_open, _read, _close = os.open, os.read, os.close

_CLOCKS = (
    "time",
    "time_ns",
    "perf_counter",
    "perf_counter_ns",
    "monotonic",
    "monotonic_ns",
    "process_time",
    "process_time_ns",
    "thread_time",
)
LAZY_TYPES = ("Future", "LazyFrame", "Delayed", "LazyTensor", "LazyArray")
ITERATORS_THAT_HOLD = (io.IOBase, collections.abc.Sequence, collections.abc.Mapping, collections.abc.Set)


class Timers:
    """The clocks as they were before the test was imported."""

    def __init__(self) -> None:
        self._clocks = {name: getattr(time, name) for name in _CLOCKS}
        self._default = timeit.default_timer
        self._code = timeit.Timer.timeit.__code__

    def patched(self) -> List[str]:
        """Names of the clocks and timers that are no longer what they were."""
        names = ["time." + name for name, original in self._clocks.items() if getattr(time, name, None) is not original]
        if timeit.default_timer is not self._default:
            names.append("timeit.default_timer")
        if getattr(timeit.Timer.timeit, "__code__", None) is not self._code:
            names.append("timeit.Timer.timeit")
        cuda = getattr(sys.modules.get("torch"), "cuda", None)
        if cuda is not None:
            names += [
                "torch.cuda." + name for name in ("synchronize", "Event") if not _from_torch(getattr(cuda, name, None))
            ]
            elapsed = getattr(getattr(cuda, "Event", None), "elapsed_time", None)
            if elapsed is not None and not _from_torch(elapsed):
                names.append("torch.cuda.Event.elapsed_time")
        return names


def _from_torch(thing: Any) -> bool:
    code = getattr(getattr(thing, "__wrapped__", thing), "__code__", None)
    if code is not None:
        return os.sep + "torch" + os.sep in code.co_filename
    return (getattr(thing, "__module__", "") or "").startswith("torch")


def cpu_wait_ns() -> int:
    """How long this thread has been ready to run and had no CPU; 0 where the kernel does not say."""
    try:
        fd = _open("/proc/thread-self/schedstat", os.O_RDONLY)
        try:
            return int(_read(fd, 100).split()[1])
        finally:
            _close(fd)
    except (OSError, ValueError, IndexError):
        return 0


def clocks() -> Tuple[int, int, int, int]:
    """Nanoseconds of the wall, of the process's CPU time with its reaped children's, of this thread's, and of its waiting for a CPU."""
    children = getrusage(resource.RUSAGE_CHILDREN)
    reaped = int((children.ru_utime + children.ru_stime) * 1e9)
    return perf_counter_ns(), process_time_ns() + reaped, thread_time_ns(), cpu_wait_ns()


def own_wait_ns(call: Callable[[], Any]) -> int:
    """How long a call took, without what the thread waited for a CPU: on a busy node a device that is idle looks busy for milliseconds."""
    ready, begin = cpu_wait_ns(), perf_counter_ns()
    call()
    passed = perf_counter_ns() - begin
    return max(0, passed - max(0, cpu_wait_ns() - ready))


def peak_kilobytes() -> int:
    """The most memory that this process has held so far."""
    return getrusage(resource.RUSAGE_SELF).ru_maxrss


class Counters:
    """What a process has used up to a moment.

    Args:
        cpu_ns: its CPU time then: reading all of this takes longer than an experiment may.
    """

    def __init__(self, cpu_ns: int) -> None:
        own = getrusage(resource.RUSAGE_SELF)
        children = getrusage(resource.RUSAGE_CHILDREN)
        self.cpu_ns = cpu_ns + int((children.ru_utime + children.ru_stime) * 1e9)
        self.minflt, self.majflt = own.ru_minflt, own.ru_majflt
        self.nvcsw, self.nivcsw = own.ru_nvcsw, own.ru_nivcsw
        self.wait_ns = cpu_wait_ns()
        self.threads = active_threads()

    def since(self, before: "Counters") -> Dict[str, int]:
        """The differences, under the names of a raw sample."""
        return {
            "cpu_ns": self.cpu_ns - before.cpu_ns,
            "minflt": self.minflt - before.minflt,
            "majflt": self.majflt - before.majflt,
            "nvcsw": self.nvcsw - before.nvcsw,
            "nivcsw": self.nivcsw - before.nivcsw,
            "wait_ns": self.wait_ns - before.wait_ns,
            "threads_before": before.threads,
            "threads_after": self.threads,
        }


def lazy(result: Any, depth: int = 0) -> Optional[str]:
    """The name of a type in `result` that does its work only when it is looked at; None where there is none (two levels deep)."""
    waiting = (types.GeneratorType, types.CoroutineType, types.AsyncGeneratorType)
    if isinstance(result, waiting) or any(base.__name__ in LAZY_TYPES for base in type(result).__mro__):
        return type(result).__name__
    if isinstance(result, collections.abc.Awaitable):
        return type(result).__name__
    if isinstance(result, collections.abc.Iterator) and not isinstance(result, ITERATORS_THAT_HOLD):
        return type(result).__name__
    if depth < 2:
        items: List[Any] = []
        if type(result) in (list, tuple):
            items = list(result[:64])
        elif type(result) is dict:
            items = [result[key] for key in list(result)[:64]]
        for item in items:
            found = lazy(item, depth + 1)
            if found:
                return found
    return None


class Places:
    """Which code objects belong to the changed functions of a revision, wherever its package was installed.

    Args:
        changed: entries {"path", "qualname", "start", "end", "lines"} of one side; paths relative to the tree.
        roots: the revision's tree and environment: a file elsewhere never counts.
    """

    def __init__(self, changed: Sequence[Dict[str, Any]], roots: Sequence[str]) -> None:
        self._changed = changed
        self._roots = [os.path.realpath(root) + os.sep for root in roots]
        self._known: Dict[str, List[Dict[str, Any]]] = {}

    def of_file(self, filename: str) -> List[Dict[str, Any]]:
        """The changed entries that lie in a file, by the end of its path."""
        found = self._known.get(filename)
        if found is None:
            real = os.path.realpath(filename)
            inside = any(real.startswith(root) for root in self._roots)
            found = [one for one in self._changed if inside and _same_file(real, one["path"])]
            self._known[filename] = found
        return found

    def changed_function(self, code: Any) -> bool:
        """Whether a code object is, or lies in, a changed function."""
        line, name = code.co_firstlineno, code.co_name
        return any(
            one["start"] <= line <= one["end"]
            or (name == str(one["qualname"]).rpartition(".")[2] and one["start"] - 20 <= line <= one["end"])
            for one in self.of_file(code.co_filename)
        )

    def lines(self, filename: str) -> Set[int]:
        """The changed lines of a file; of an entry that names none, the whole body."""
        found: Set[int] = set()
        for one in self.of_file(filename):
            found.update(one.get("lines") or range(one["start"] + 1, one["end"] + 1))
        return found


def _same_file(real: str, path: str) -> bool:
    parts = path.split("/")
    endings = [parts]
    if len(parts) > 1 and parts[0] in ("src", "lib", "python"):
        endings.append(parts[1:])
    return any(real.endswith(os.sep + os.path.join(*ending)) for ending in endings)


class CoveredLines:
    """Records which changed lines run inside of function calls while `call` runs; module bodies do not count."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self.hit: Set[Tuple[str, int]] = set()

    def run(self, call: Callable[[], Any]) -> None:
        """Trace one call, in every thread that it starts."""
        threading.settrace(self._enter)
        sys.settrace(self._enter)
        try:
            call()
        finally:
            sys.settrace(None)
            threading.settrace(None)

    def _enter(self, frame: Any, event: str, _: Any) -> Any:
        code = frame.f_code
        if event != "call" or code.co_name == "<module>":
            return None
        lines = self._places.lines(code.co_filename) if self._places.of_file(code.co_filename) else None
        if not lines:
            return None

        def line(inner: Any, what: str, _: Any) -> Any:
            if what == "line" and inner.f_lineno in lines:
                self.hit.add((code.co_filename, inner.f_lineno))
            return line

        return line


def shares(call: Callable[[], Any], places: Places, *, hide: str) -> Tuple[Optional[float], List[str]]:
    """Profile one call.

    Returns:
        The share of its time spent in changed functions, what they call included (None where nothing was timed), and the ten
        functions with the most time of their own, as lines for people.
    """
    import cProfile

    profile = cProfile.Profile()
    profile.runcall(call)
    entries = profile.getstats()
    total = sum(entry.inlinetime for entry in entries)
    if total <= 0:
        return None, []
    inside = 0.0
    changed = {
        entry.code for entry in entries if not isinstance(entry.code, str) and places.changed_function(entry.code)
    }
    for entry in entries:
        if entry.code not in changed:
            continue
        inside += entry.totaltime
        for callee in entry.calls or ():
            if callee.code in changed and callee.code is not entry.code:
                inside -= callee.totaltime
    shown = [entry for entry in entries if isinstance(entry.code, str) or not entry.code.co_filename.startswith(hide)]
    top = sorted(shown, key=lambda entry: -entry.inlinetime)[:10]
    lines = [
        "{:5.1f} %  {:>9} calls  {}".format(100 * one.inlinetime / total, one.callcount, _named(one.code))
        for one in top
    ]
    return min(1.0, max(0.0, inside / total)), lines


def _named(code: Any) -> str:
    if isinstance(code, str):
        return code
    return "{} ({}:{})".format(code.co_name, os.path.join(*code.co_filename.split(os.sep)[-2:]), code.co_firstlineno)
