"""What the measurement ran on: the machine as the parent sees it, and each revision's interpreter and libraries as its own worker says.

Fields that a kernel or container does not show are None. Names of users and hosts stay out.
"""

import os
import platform
import time
from typing import Any, Dict, List, Optional

from . import pod, private
from .events import Fall
from .session import Session

MAX_DIFFERENCES = 100


def _cpu() -> Dict[str, Any]:
    found: Dict[str, Any] = {"model": None, "microcode": None}
    for line in (pod.read("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name" and found["model"] is None:
            found["model"] = value.strip()
        if name.strip() == "microcode" and found["microcode"] is None:
            found["microcode"] = value.strip()
    found["count"] = os.cpu_count()
    found["governor"] = pod.read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    found["smt"] = pod.read("/sys/devices/system/cpu/smt/control")
    found["turbo_disabled"] = pod.read("/sys/devices/system/cpu/intel_pstate/no_turbo")
    return found


def _memory_bytes() -> Optional[int]:
    for line in (pod.read("/proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return None


def collect(session: Session) -> Dict[str, Any]:
    """Everything of run.json's `fingerprint`; flags `libraries_differ` where the revisions' libraries do."""
    about: Dict[str, Dict[str, Any]] = {}
    for name in session.names:
        about[name] = _about(session, name)
    package = str(session.plan.get("package") or "").replace("_", "-").lower()
    differences = _differences(about["base"].pop("distributions"), about[session.other].pop("distributions"), package)
    if differences:
        session.flag("libraries_differ")
    return {
        "cpu": _cpu(),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "affinity": session.cpus,
        "cpu_quota": pod.read("/sys/fs/cgroup/cpu.max"),
        "container": pod.describe(),
        "memory_bytes": _memory_bytes(),
        "transparent_huge_pages": pod.read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "aslr": pod.read("/proc/sys/kernel/randomize_va_space"),
        "boot_id": pod.read("/proc/sys/kernel/random/boot_id"),
        "load": pod.read("/proc/loadavg"),
        "timer_resolution_s": time.get_clock_info("perf_counter").resolution,
        "threads": {**{name: str(session.threads) for name in private.THREAD_VARIABLES}, **private.QUIET_POOLS},
        "pythons": about,
        "libraries_differ": differences,
        "gpu": session.card.described if session.card is not None else None,
    }


def _about(session: Session, name: str) -> Dict[str, Any]:
    try:
        with session.worker(name) as worker:
            said = worker.ask("about", seconds=60)
    except Fall as fall:
        return {"python": None, "words": fall.words[:500], "distributions": {}}
    distributions = said.get("distributions")
    return {
        "python": str(said.get("python"))[:200],
        "implementation": str(said.get("implementation"))[:40],
        "distributions": {str(key): str(value) for key, value in distributions.items()}
        if isinstance(distributions, dict)
        else {},
    }


def _differences(base: Dict[str, str], other: Dict[str, str], package: str) -> List[str]:
    """`name base-version other-version` for every library but the package itself that is not the same in both."""
    names = [name for name in sorted(set(base) | set(other)) if name != package and base.get(name) != other.get(name)]
    return ["{} {} {}".format(name, base.get(name, "-"), other.get(name, "-")) for name in names][:MAX_DIFFERENCES]
