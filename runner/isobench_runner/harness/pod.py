"""What a container may use of its machine, read from inside: CPUs and quota, throttling, what the host took, pressure.

cgroup v1 and v2; what a kernel does not show is None and counts as nothing. Only read, never judged by name of a platform.
"""

import contextlib
import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence

CAUSE_SHARE = 0.10
KILLED = 137
"""128 + SIGKILL: what the kubelet expects of a container in which the kernel killed for memory."""
_NO_LIMIT_BYTES = 1 << 60


def read(path: str) -> Optional[str]:
    """A small file of the kernel's; None where it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(65536).strip()
    except (OSError, ValueError):
        return None


def _numbers(text: Optional[str]) -> Dict[str, int]:
    found = {}
    for line in (text or "").splitlines():
        name, _, value = line.partition(" ")
        with contextlib.suppress(ValueError):
            found[name] = int(value)
    return found


def quota(root: str = "/") -> Optional[float]:
    """How many CPUs' worth of time the container may use; None where it has no limit."""
    groups = os.path.join(root, "sys/fs/cgroup")
    unified = (read(os.path.join(groups, "cpu.max")) or "").split()
    if len(unified) == 2:
        return int(unified[0]) / int(unified[1]) if unified[0].isdigit() and int(unified[1]) else None
    for name in ("cpu", "cpu,cpuacct"):
        given = read(os.path.join(groups, name, "cpu.cfs_quota_us"))
        period = read(os.path.join(groups, name, "cpu.cfs_period_us"))
        if given and period and given.isdigit() and period.isdigit() and int(period):
            return int(given) / int(period)
    return None


def granted(cpus: Sequence[int], limit: Optional[float]) -> List[int]:
    """The CPUs to run on: no more than the quota pays for, or more threads than that would throttle each other.

    The last ones of the set, since interrupts favour the first; one at least.
    """
    ordered = sorted(cpus)
    return ordered if limit is None else ordered[-max(1, min(len(ordered), int(limit))) :]


def oom_kills(root: str = "/") -> int:
    """How many processes the kernel has killed at the container's own memory limit; 0 where it has none.

    The kubelet takes a container for failed once one was, even where its first process goes on and exits 0. Of an init container it
    then neither starts the next one nor ends the pod (isInitContainerFailed against getPhase), so that container has to exit KILLED.
    """
    groups = os.path.join(root, "sys/fs/cgroup")
    for limit, events in (
        ("memory.max", "memory.events"),
        ("memory/memory.limit_in_bytes", "memory/memory.oom_control"),
    ):
        given = read(os.path.join(groups, limit)) or ""
        if given.isdigit() and int(given) < _NO_LIMIT_BYTES:
            return _numbers(read(os.path.join(groups, events))).get("oom_kill", 0)
    return 0


def exit_code(code: int, kills_before: int) -> int:
    """What a container exits with: under a kubelet KILLED where the kernel has killed since, elsewhere what it would have anyway."""
    under_kubelet = "KUBERNETES_SERVICE_HOST" in os.environ  # in every pod's containers, whatever its spec says
    return KILLED if under_kubelet and oom_kills() > kills_before else code


def words(cpus: Sequence[int], limit: Optional[float]) -> Optional[str]:
    """What about the container's CPUs makes timings worse than they need to be; None where nothing does."""
    found = []
    if limit is not None and limit < len(cpus):
        found.append(
            "it sees {} CPUs and may use {:g} of them: only {} are used, and they are not its own".format(
                len(cpus), limit, len(granted(cpus, limit))
            )
        )
    if limit is not None and limit != int(limit):
        found.append("its quota is no whole number of CPUs")
    if len(granted(cpus, limit)) < 2:
        found.append("the parent and the workers share one CPU")
    return "; ".join(found) or None


@dataclass(frozen=True)
class Pressure:
    """What the machine's own counters say at a moment.

    Attributes:
        throttled: periods in which the quota stopped the container. throttled_us: for how long.
        steal_ticks, total_ticks: of all CPUs.
        waiting_us: time in which something waited for a CPU; None where the kernel does not count it.
    """

    throttled: int
    throttled_us: int
    steal_ticks: int
    total_ticks: int
    waiting_us: Optional[int]

    @classmethod
    def now(cls, root: str = "/") -> "Pressure":
        """Read the cgroup, /proc/stat and the pressure of the container, or where it has none of its own, of the machine."""
        groups = os.path.join(root, "sys/fs/cgroup")
        throttled, throttled_us = 0, 0
        for name in ("cpu.stat", "cpu/cpu.stat", "cpu,cpuacct/cpu.stat"):
            counted = _numbers(read(os.path.join(groups, name)))
            if "nr_throttled" in counted:
                throttled = counted["nr_throttled"]
                throttled_us = counted.get("throttled_usec", counted.get("throttled_time", 0) // 1000)
                break
        first = (read(os.path.join(root, "proc/stat")) or "").partition("\n")[0].split()[1:]
        ticks = [int(one) for one in first if one.isdigit()]
        waiting = None
        for path in (os.path.join(groups, "cpu.pressure"), os.path.join(root, "proc/pressure/cpu")):
            line = (read(path) or "").partition("\n")[0]
            if "total=" in line:
                waiting = int(line.rpartition("total=")[2])
                break
        return cls(throttled, throttled_us, ticks[7] if len(ticks) > 7 else 0, sum(ticks[:8]), waiting)

    def since(self, before: "Pressure") -> Dict[str, Any]:
        """The differences, as a round's line has them."""
        known = self.waiting_us is not None and before.waiting_us is not None
        return {
            "throttled": self.throttled - before.throttled,
            "throttled_us": self.throttled_us - before.throttled_us,
            "steal_share": round(self._stolen(before), 4),
            "waiting_us": (self.waiting_us or 0) - (before.waiting_us or 0) if known else None,
        }

    def _stolen(self, before: "Pressure") -> float:
        passed = self.total_ticks - before.total_ticks
        return (self.steal_ticks - before.steal_ticks) / passed if passed > 0 else 0.0

    def cause_since(self, before: "Pressure") -> Optional[str]:
        """Why what ran in between should not be believed, or None."""
        if self.throttled > before.throttled:
            return "the CPU quota throttled the container {} times".format(self.throttled - before.throttled)
        if self._stolen(before) > CAUSE_SHARE:
            return "the host took {:.0f} % of the CPUs' time".format(100 * self._stolen(before))
        return None


def describe(root: str = "/") -> Dict[str, Any]:
    """The container's limits, for the fingerprint."""
    groups = os.path.join(root, "sys/fs/cgroup")

    def first(*names: str) -> Optional[str]:
        return next((found for found in (read(os.path.join(groups, name)) for name in names) if found), None)

    nodes = os.path.join(root, "sys/devices/system/node")
    listed = sorted(os.listdir(nodes)) if os.path.isdir(nodes) else []
    return {
        "quota_cpus": quota(root),
        "cpuset": first("cpuset.cpus.effective", "cpuset/cpuset.effective_cpus", "cpuset/cpuset.cpus"),
        "memory_limit": first("memory.max", "memory/memory.limit_in_bytes"),
        "numa_nodes": {name[4:]: read(os.path.join(nodes, name, "cpulist")) for name in listed if name[4:].isdigit()},
        "schedstat": read(os.path.join(root, "proc/self/schedstat")) is not None,
        "pressure": read(os.path.join(root, "proc/pressure/cpu")) is not None,
    }
