"""The GPU by ctypes alone: waiting for every device that the process uses, and what the driver says of the hardware.

Where there is no driver every function says so by doing nothing: a CPU test must not create a context. No torch is imported here;
where the test has imported it, its own synchronise is called too.
"""

import ctypes
import sys
from typing import Any, Callable, Dict, List, Optional

CUDA_LIBRARY = "libcuda.so.1"
NVML_LIBRARY = "libnvidia-ml.so.1"


def cuda_is_loaded() -> bool:
    """Whether this process has mapped the CUDA driver, which a CPU test never does."""
    try:
        with open("/proc/self/maps", "rb") as file:
            return any(b"libcuda.so" in line for line in file)
    except OSError:
        return False


class Devices:
    """Every device of this process whose primary context is active.

    Contexts are retained once each and waited for in turn, so all streams of all devices are covered.
    """

    def __init__(self) -> None:
        self._library: Optional[Any] = None
        self._contexts: Dict[int, Any] = {}
        self._torch: Optional[Callable[[], None]] = None

    def look(self) -> bool:
        """Find what is active by now; returns whether there is anything to wait for."""
        if self._library is None and cuda_is_loaded():
            try:
                library = ctypes.CDLL(CUDA_LIBRARY)
                if library.cuInit(0) == 0:
                    self._library = library
            except OSError:
                self._library = None
        if self._library is not None:
            self._retain(self._library)
        cuda = getattr(sys.modules.get("torch"), "cuda", None)
        try:
            if self._torch is None and cuda is not None and cuda.is_available() and cuda.is_initialized():
                self._torch = cuda.synchronize
        except Exception:
            self._torch = None
        return bool(self._contexts) or self._torch is not None

    def _retain(self, library: Any) -> None:
        count = ctypes.c_int()
        if library.cuDeviceGetCount(ctypes.byref(count)) != 0:
            return
        for index in range(count.value):
            device, flags, active, context = ctypes.c_int(), ctypes.c_uint(), ctypes.c_int(), ctypes.c_void_p()
            if index in self._contexts or library.cuDeviceGet(ctypes.byref(device), index) != 0:
                continue
            if (
                library.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(active)) != 0
                or not active.value
            ):
                continue
            if library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0:
                self._contexts[index] = context

    def synchronize(self) -> None:
        """Wait until every retained context is idle; the current context of the thread is left as it was."""
        library = self._library
        if library is not None:
            for context in self._contexts.values():
                library.cuCtxPushCurrent_v2(context)
                library.cuCtxSynchronize()
                library.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        if self._torch is not None:
            self._torch()

    def events(self) -> Optional[List[Any]]:
        """A pair of timing events on torch's current stream, or None where torch does not use a device."""
        if self._torch is None:
            return None
        event = sys.modules["torch"].cuda.Event
        return [event(enable_timing=True), event(enable_timing=True)]


def describe() -> Optional[Dict[str, Any]]:
    """What NVML says of the first device, each field None where unsupported; None where there is no GPU."""
    try:
        nvml = ctypes.CDLL(NVML_LIBRARY)
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    count, handle = ctypes.c_uint(), ctypes.c_void_p()
    if (
        nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0
        or not count.value
        or nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)) != 0
    ):
        nvml.nvmlShutdown()
        return None

    def text(name: str, *before: Any) -> Optional[str]:
        buffer = ctypes.create_string_buffer(96)
        arguments = (*before, buffer, 96)
        return buffer.value.decode("ascii", "replace") if getattr(nvml, name)(*arguments) == 0 else None

    def number(name: str, *extra: Any) -> Optional[int]:
        value = ctypes.c_uint()
        return value.value if getattr(nvml, name)(handle, *extra, ctypes.byref(value)) == 0 else None

    sm_clock, memory_clock = 1, 2
    described = {
        "count": count.value,
        "name": text("nvmlDeviceGetName", handle),
        "uuid": text("nvmlDeviceGetUUID", handle),
        "driver": text("nvmlSystemGetDriverVersion"),
        "vbios": text("nvmlDeviceGetVbiosVersion", handle),
        "power_limit_mw": number("nvmlDeviceGetEnforcedPowerLimit"),
        "sm_clock_mhz": number("nvmlDeviceGetClockInfo", sm_clock),
        "sm_clock_max_mhz": number("nvmlDeviceGetMaxClockInfo", sm_clock),
        "memory_clock_max_mhz": number("nvmlDeviceGetMaxClockInfo", memory_clock),
        "temperature_c": number("nvmlDeviceGetTemperature", 0),
        "persistence": number("nvmlDeviceGetPersistenceMode"),
    }
    nvml.nvmlShutdown()
    return described
