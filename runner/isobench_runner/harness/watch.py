"""A GPU's counters over a round: what only shows while it happens is polled, what the driver adds up is read at both ends. Judges nothing."""

from typing import Any, Dict, Iterable, List, Optional, Set, Tuple

from .nvml import MEMORY, POLICIES, Device


class Watch:
    """Counters of the devices between two moments; a burst between two readings still shows in the violation times."""

    def __init__(self, devices: List[Device]) -> None:
        self._devices = devices
        self._clocks: List[int] = []
        self._reasons: Optional[int] = None
        self._pids: Set[int] = set()
        self._most = 0
        self._before: Tuple[List[Dict[str, Optional[int]]], List[Optional[int]]] = ([], [])

    def begin(self) -> None:
        """Start a round."""
        self._clocks, self._reasons, self._pids, self._most = [], None, set(), 0
        self._before = ([one.violations_ns() for one in self._devices], [self._energy(one) for one in self._devices])
        self.poll()

    @staticmethod
    def _energy(device: Device) -> Optional[int]:
        return device.large("nvmlDeviceGetTotalEnergyConsumption")

    def poll(self) -> Optional[int]:
        """Read what only shows while it happens; returns the first device's SM clock."""
        for device in self._devices:
            bits = device.reasons()
            if bits is not None:
                self._reasons = (self._reasons or 0) | bits
            there = device.pids() or []
            self._pids.update(there)
            self._most = max(self._most, len(there))
        clock = self._devices[0].sm_clock()
        if clock is not None:
            self._clocks.append(clock)
        return clock

    def end(self, ours: Iterable[int]) -> Dict[str, Any]:
        """What a round's line says of the GPU.

        Args:
            ours: every process that this run has started.
        """
        first = self._devices[0]
        violations: Dict[str, Optional[int]] = {}
        for name in POLICIES:
            pairs = [(old[name], new.violations_ns()[name]) for old, new in zip(self._before[0], self._devices)]
            known = [new - old for old, new in pairs if old is not None and new is not None]
            violations[name] = sum(known) if known else None
        energies = [(old, self._energy(device)) for old, device in zip(self._before[1], self._devices)]
        spent = [new - old for old, new in energies if old is not None and new is not None]
        return {
            "sm_clock_mhz": [min(self._clocks), max(self._clocks)] if self._clocks else None,
            "memory_clock_mhz": first.number("nvmlDeviceGetClockInfo", MEMORY),
            "temperature_c": first.number("nvmlDeviceGetTemperature", 0),
            "memory_temperature_c": first.memory_temperature(),
            "power_mw": first.number("nvmlDeviceGetPowerUsage"),
            "energy_mj": sum(spent) if spent else None,
            "reasons": self._reasons,
            "violations_ns": violations,
            "foreign_processes": self._foreign(set(ours)),
        }

    def _foreign(self, ours: Set[int]) -> int:
        """How many of the processes seen are not ours; where none of their numbers is (another PID namespace's), by their count."""
        if self._pids & ours or not ours:
            return len(self._pids - ours)
        return max(0, self._most - len(ours))
