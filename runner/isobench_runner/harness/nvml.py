"""What the GPU says of itself through NVML, by ctypes alone: which devices a worker will see, and their fields. `watch` reads them while rounds run.

Every field is None where a card, a driver or a virtual machine does not support it. Nothing is ever set, and nothing judged:
`gpu_rules` does. The parent alone uses this, so no test can reach what it has read.
"""

import ctypes
import os
from typing import Any, Dict, List, Optional

LIBRARY = "libnvidia-ml.so.1"
SM, MEMORY = 1, 2
MEMORY_TEMPERATURE_FIELD = 82
POLICIES = {"power": 0, "thermal": 1, "board": 3, "reliability": 5}
MAX_PROCESSES = 256
COMPUTE_MODES = {0: "default", 1: "exclusive_thread", 2: "prohibited", 3: "exclusive_process"}


class _Pci(ctypes.Structure):
    _fields_ = [
        ("legacy", ctypes.c_char * 16),
        ("domain", ctypes.c_uint),
        ("bus", ctypes.c_uint),
        ("device", ctypes.c_uint),
        ("device_id", ctypes.c_uint),
        ("subsystem_id", ctypes.c_uint),
        ("id", ctypes.c_char * 32),
    ]


class _Process(ctypes.Structure):
    _fields_ = [
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    ]


class _Violation(ctypes.Structure):
    _fields_ = [("reference", ctypes.c_ulonglong), ("ns", ctypes.c_ulonglong)]


class _Field(ctypes.Structure):
    _fields_ = [
        ("field", ctypes.c_uint),
        ("scope", ctypes.c_uint),
        ("timestamp", ctypes.c_longlong),
        ("latency_us", ctypes.c_longlong),
        ("type", ctypes.c_int),
        ("code", ctypes.c_int),
        ("value", ctypes.c_uint64),
    ]


class _Utilisation(ctypes.Structure):
    _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]


class Device:
    """One device, whole or a MIG instance. Of an instance, power, clocks and throttling are the whole card's."""

    def __init__(self, library: Any, handle: Any) -> None:
        self._library, self._handle = library, handle
        whole = ctypes.c_void_p()
        self.is_mig = self._call("nvmlDeviceGetDeviceHandleFromMigDeviceHandle", ctypes.byref(whole))
        self._card = whole if self.is_mig else handle

    def _call(self, name: str, *arguments: Any, card: bool = False) -> bool:
        function = getattr(self._library, name, None)
        return function is not None and function(self._card if card else self._handle, *arguments) == 0

    def number(self, name: str, *before: Any) -> Optional[int]:
        """A field of the card that is one unsigned number."""
        value = ctypes.c_uint()
        return value.value if self._call(name, *before, ctypes.byref(value), card=True) else None

    def large(self, name: str) -> Optional[int]:
        """The same of 64 bits."""
        value = ctypes.c_ulonglong()
        return value.value if self._call(name, ctypes.byref(value), card=True) else None

    def text(self, name: str, *, card: bool = False) -> Optional[str]:
        """A field that is a string."""
        buffer = ctypes.create_string_buffer(96)
        return buffer.value.decode("ascii", "replace") if self._call(name, buffer, 96, card=card) else None

    def describe(self) -> Dict[str, Any]:
        """The fields of the fingerprint."""
        name = self.text("nvmlDeviceGetName")
        pci, current, pending = _Pci(), ctypes.c_uint(), ctypes.c_uint()
        mode, state = self.number("nvmlDeviceGetComputeMode"), self.number("nvmlDeviceGetPerformanceState")
        here = self._call("nvmlDeviceGetPciInfo_v3", ctypes.byref(pci), card=True)
        ecc = self._call("nvmlDeviceGetEccMode", ctypes.byref(current), ctypes.byref(pending), card=True)
        return {
            "name": name,
            "uuid": self.text("nvmlDeviceGetUUID", card=True),
            "mig": {"uuid": self.text("nvmlDeviceGetUUID"), "profile": (name or "").partition(" MIG ")[2] or None}
            if self.is_mig
            else None,
            "pci": pci.id.decode("ascii", "replace") if here else None,
            "vbios": self.text("nvmlDeviceGetVbiosVersion", card=True),
            "power_limit_mw": self.number("nvmlDeviceGetEnforcedPowerLimit"),
            "power_limit_default_mw": self.number("nvmlDeviceGetPowerManagementDefaultLimit"),
            "sm_clock_mhz": self.sm_clock(),
            "sm_clock_max_mhz": self.number("nvmlDeviceGetMaxClockInfo", SM),
            "memory_clock_max_mhz": self.number("nvmlDeviceGetMaxClockInfo", MEMORY),
            "sm_clock_application_mhz": self.number("nvmlDeviceGetApplicationsClock", SM),
            "memory_clock_application_mhz": self.number("nvmlDeviceGetApplicationsClock", MEMORY),
            "temperature_c": self.number("nvmlDeviceGetTemperature", 0),
            "persistence": self.number("nvmlDeviceGetPersistenceMode"),
            "ecc": current.value if ecc else None,
            "compute_mode": None if mode is None else COMPUTE_MODES.get(mode, str(mode)),
            "pcie_generation": self.number("nvmlDeviceGetCurrPcieLinkGeneration"),
            "pcie_width": self.number("nvmlDeviceGetCurrPcieLinkWidth"),
            "performance_state": state,
            "mps_clients": _count(self.pids("nvmlDeviceGetMPSComputeRunningProcesses_v3")),
        }

    def sm_clock(self) -> Optional[int]:
        """MHz at this moment."""
        return self.number("nvmlDeviceGetClockInfo", SM)

    def reasons(self) -> Optional[int]:
        """The bits that say why the clock is where it is."""
        bits = self.large("nvmlDeviceGetCurrentClocksEventReasons")
        return bits if bits is not None else self.large("nvmlDeviceGetCurrentClocksThrottleReasons")

    def violations_ns(self) -> Dict[str, Optional[int]]:
        """Nanoseconds since the driver was loaded during which a policy held the clock down."""
        found: Dict[str, Optional[int]] = {}
        for name, policy in POLICIES.items():
            value = _Violation()
            done = self._call("nvmlDeviceGetViolationStatus", policy, ctypes.byref(value), card=True)
            found[name] = value.ns if done else None
        return found

    def memory_temperature(self) -> Optional[int]:
        """Degrees; few cards say."""
        field = _Field(field=MEMORY_TEMPERATURE_FIELD)
        asked = self._call("nvmlDeviceGetFieldValues", 1, ctypes.byref(field), card=True)
        return int(field.value & 0xFFFFFFFF) if asked and field.code == 0 else None

    def utilisation(self) -> Optional[int]:
        """Percent of the last moments in which a kernel ran."""
        value = _Utilisation()
        return value.gpu if self._call("nvmlDeviceGetUtilizationRates", ctypes.byref(value), card=True) else None

    def pids(self, name: str = "nvmlDeviceGetComputeRunningProcesses_v3") -> Optional[List[int]]:
        """Processes that have a context here, as far as this PID namespace shows them."""
        count, found = ctypes.c_uint(MAX_PROCESSES), (_Process * MAX_PROCESSES)()
        return [one.pid for one in found[: count.value]] if self._call(name, ctypes.byref(count), found) else None


def _count(found: Optional[List[int]]) -> Optional[int]:
    return None if found is None else len(found)


class Nvml:
    """The library, and the devices that a worker will see."""

    def __init__(self, library: Any, devices: List[Device]) -> None:
        self._library, self.devices = library, devices

    @classmethod
    def open(cls, visible: Optional[str]) -> "Optional[Nvml]":
        """Load it; None where there is no driver or no device.

        Args:
            visible: CUDA_VISIBLE_DEVICES, so that a card that is not used is not watched. Indexes are taken in the order of the bus.
        """
        try:
            library = ctypes.CDLL(LIBRARY)
        except OSError:
            return None
        if library.nvmlInit_v2() != 0:
            return None
        handles = _named(library, visible) if visible else _all(library)
        if not handles:
            library.nvmlShutdown()
            return None
        return cls(library, [Device(library, handle) for handle in handles])

    def _text(self, name: str) -> Optional[str]:
        buffer = ctypes.create_string_buffer(96)
        return buffer.value.decode("ascii", "replace") if getattr(self._library, name)(buffer, 96) == 0 else None

    def describe(self) -> Dict[str, Any]:
        """The first device's fields, with those of driver and machine."""
        cuda = ctypes.c_int()
        known = self._library.nvmlSystemGetCudaDriverVersion_v2(ctypes.byref(cuda)) == 0
        return {
            "count": len(self.devices),
            "driver": self._text("nvmlSystemGetDriverVersion"),
            "cuda": "{}.{}".format(cuda.value // 1000, cuda.value % 1000 // 10) if known else None,
            **self.devices[0].describe(),
        }


def _all(library: Any) -> List[Any]:
    count, found = ctypes.c_uint(), []
    if library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
        return []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if library.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(handle)) == 0:
            found += _instances(library, handle) or [handle]
    return found


def _instances(library: Any, card: Any) -> List[Any]:
    """The MIG instances of a card that this container may use; none where the card is whole."""
    current, pending, count = ctypes.c_uint(), ctypes.c_uint(), ctypes.c_uint()
    asked = library.nvmlDeviceGetMigMode(card, ctypes.byref(current), ctypes.byref(pending)) == 0
    if not asked or not current.value or library.nvmlDeviceGetMaxMigDeviceCount(card, ctypes.byref(count)) != 0:
        return []
    found = []
    for index in range(count.value):
        handle = ctypes.c_void_p()
        if library.nvmlDeviceGetMigDeviceHandleByIndex(card, index, ctypes.byref(handle)) == 0:
            found.append(handle)
    return found


def _named(library: Any, visible: str) -> List[Any]:
    found = []
    every: Optional[List[Any]] = None
    for name in (one.strip() for one in visible.split(",")):
        handle = ctypes.c_void_p()
        if name.isdigit():
            every = _all(library) if every is None else every
            found += every[int(name) : int(name) + 1]
        elif library.nvmlDeviceGetHandleByUUID(name.encode(), ctypes.byref(handle)) == 0:
            found.append(handle)
        else:
            break
    return found


def describe() -> Optional[Dict[str, Any]]:
    """The fingerprint of what a worker will see; None where there is no GPU."""
    found = Nvml.open(os.environ.get("CUDA_VISIBLE_DEVICES"))
    return found.describe() if found is not None else None
