"""What a revision did beside its work, as the parent sees it: to its process's standing, to prepared trees, to what it left for later.

The parent asks the kernel wherever it can; only the state of the garbage collector is the worker's word. Decides nothing about times.
"""

import os
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Dict, List, Optional, Sequence, Tuple

Signature = Tuple[int, int, int]
LATER_SHARE = 0.10
LATER_NS = 2_000_000
MAX_KEPT_BYTES = 256 << 20


@dataclass
class Conduct:
    """What was seen over a run, by revision.

    Attributes:
        settings: words on what a process changed of its own standing.
        store_ns: CPU time that storing a result took. kinds: what that result is made of.
    """

    settings: Dict[str, List[str]] = field(default_factory=dict)
    store_ns: Dict[str, List[int]] = field(default_factory=dict)
    kinds: Dict[str, List[str]] = field(default_factory=dict)

    def note(self, name: str, words: Sequence[str]) -> None:
        """Remember what a process of a revision has changed."""
        known = self.settings.setdefault(name, [])
        known += [one for one in words if one not in known]

    def stored(self, name: str, cpu_ns: int, kinds: str) -> None:
        """Remember what storing a result cost, and what it is made of."""
        self.store_ns.setdefault(name, []).append(cpu_ns)
        self.kinds.setdefault(name, []).append(kinds)

    def other_kinds(self, other: str) -> Optional[str]:
        """Words where a result of the other is not made of what base's is made of: a check that allows for rounding lets it pass."""
        for ours, theirs in zip(self.kinds.get("base", ()), self.kinds.get(other, ())):
            if ours != theirs:
                return "base returns a {}, {} a {}".format(ours, other, theirs)
        return None


def standing(pid: int, cpus: Sequence[int], priority: int) -> List[str]:
    """What a process changed of its standing with the kernel: the CPUs that it was given, its priority."""
    found = []
    try:
        if set(os.sched_getaffinity(pid)) != set(cpus):
            found.append("its CPUs (os.sched_setaffinity)")
        if os.getpriority(os.PRIO_PROCESS, pid) != priority:
            found.append("its priority (os.nice)")
    except OSError:
        pass
    return found


def signatures(tree: str) -> Optional[Dict[str, Signature]]:
    """Size and change time of every file of a prepared tree; None where it cannot be written to, so that nobody has to look."""
    if not os.access(tree, os.W_OK):
        return None
    found: Dict[str, Signature] = {}
    for folder, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path)
            except OSError:
                continue
            found[os.path.relpath(path, tree)] = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return found


def changed(before: Optional[Dict[str, Signature]], after: Optional[Dict[str, Signature]]) -> List[str]:
    """Files that are gone or no longer what they were; new ones are nobody's evidence."""
    if before is None or after is None:
        return []
    return sorted(name for name, signature in before.items() if after.get(name) != signature)


def postponed(store_ns: Dict[str, List[int]], calls_ns: Sequence[float], other: str) -> Optional[str]:
    """Words where the other's results cost more to look at than base's, by more than a tenth of a call: its work came later.

    Args:
        store_ns: CPU time of storing results, by revision.
        calls_ns: base's calls.
    """
    ours, theirs = store_ns.get("base"), store_ns.get(other)
    if not ours or not theirs or not calls_ns:
        return None
    more = median(theirs) - median(ours)
    if more <= max(LATER_NS, LATER_SHARE * median(calls_ns)):
        return None
    return "storing a result of {} costs {:.3g} ms of CPU time more than one of base: it does its work when it is looked at".format(
        other, more / 1e6
    )


class Hidden:
    """Results that no worker can find: their files are taken into memory, and given back to whoever compares them."""

    def __init__(self) -> None:
        self._files: Dict[str, bytes] = {}
        self._bytes = 0

    def hide(self, path: str) -> None:
        """Take a file away; a folder, or more than memory should hold, stays where it is, under its name that nobody was told."""
        if not os.path.isfile(path) or self._bytes + os.path.getsize(path) > MAX_KEPT_BYTES:
            return
        with open(path, "rb") as file:
            self._files[path] = file.read()
        self._bytes += len(self._files[path])
        os.unlink(path)

    def reveal(self) -> None:
        """Write every file where it was."""
        for path, content in self._files.items():
            with open(path, "wb") as file:
                file.write(content)
        self._files.clear()
        self._bytes = 0


def facts(answer: Dict[str, Any]) -> List[str]:
    """What a worker says that it changed of itself."""
    return ["the garbage collector (gc.disable)"] if answer.get("gc") is False else []
