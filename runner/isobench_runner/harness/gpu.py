"""The CUDA driver by ctypes alone: waiting for every device that the process uses, events beside the wall clock, cold caches.

Where no driver is loaded every function says so by doing nothing: a CPU test must not create a context. No torch is imported here;
where the test has imported it, its own synchronise and events are used too. What the hardware says of itself is `nvml`'s.
"""

import ctypes
import sys
from typing import Any, Callable, Dict, List, Optional

CUDA_LIBRARY = "libcuda.so.1"
L2_CACHE_SIZE = 38
FLUSH_FACTOR = 2
LEGACY_STREAM = ctypes.c_void_p(0)
RELEASED = 1
GREATER_OR_EQUAL = 0


def cuda_is_loaded() -> bool:
    """Whether this process has mapped the CUDA driver, which a CPU test never does."""
    try:
        with open("/proc/self/maps", "rb") as file:
            return any(b"libcuda.so" in line for line in file)
    except OSError:
        return False


class Context:
    """A retained primary context: everything here runs with it current and leaves the thread's own as it was."""

    def __init__(self, library: Any, device: int, handle: Any) -> None:
        self._library, self._device, self._handle = library, device, handle
        self._buffer: Optional[Any] = None
        self._bytes = 0

    def __enter__(self) -> "Context":  # noqa: PYI034 - Self needs 3.11
        self._library.cuCtxPushCurrent_v2(self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._library.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))

    def synchronize(self) -> None:
        """Wait until all of its streams are idle."""
        with self:
            self._library.cuCtxSynchronize()

    def events(self) -> Optional[List[Any]]:
        """Two events, or None."""
        pair = [ctypes.c_void_p(), ctypes.c_void_p()]
        with self:
            made = [self._library.cuEventCreate(ctypes.byref(one), ctypes.c_uint(0)) == 0 for one in pair]
        return pair if all(made) else None

    def record(self, event: Any, stream: Any) -> None:
        """Record an event on a stream."""
        with self:
            self._library.cuEventRecord(event, stream)

    def elapsed_ms(self, pair: List[Any]) -> Optional[float]:
        """Milliseconds between two events that have happened; the events are given back."""
        value = ctypes.c_float()
        with self:
            code = self._library.cuEventElapsedTime(ctypes.byref(value), *pair)
            for event in pair:
                self._library.cuEventDestroy_v2(event)
        return float(value.value) if code == 0 else None

    def flush(self) -> bool:
        """Overwrite twice the size of the L2, so that nothing of a sample's data is left there; False where that cannot be done."""
        with self:
            if self._buffer is None:
                size, pointer = ctypes.c_int(), ctypes.c_uint64()
                if self._library.cuDeviceGetAttribute(ctypes.byref(size), L2_CACHE_SIZE, self._device) != 0:
                    return False
                wanted = ctypes.c_size_t(FLUSH_FACTOR * size.value)
                if not size.value or self._library.cuMemAlloc_v2(ctypes.byref(pointer), wanted) != 0:
                    return False
                self._buffer, self._bytes = pointer, FLUSH_FACTOR * size.value
            done = self._library.cuMemsetD8_v2(self._buffer, ctypes.c_ubyte(0), ctypes.c_size_t(self._bytes)) == 0
            return bool(done and self._library.cuCtxSynchronize() == 0)

    def queued_ms(self, call: Callable[[], Any], stream: Any) -> Optional[float]:
        """GPU time of a call whose work starts when all of it is in the stream's queue, so that the gaps of launching are left out.

        Never returns where the call itself waits for the device: whoever asks has to give up.
        """
        host, device = ctypes.c_void_p(), ctypes.c_uint64()
        pair = self.events()
        with self:
            ready = pair is not None and self._library.cuMemHostAlloc(ctypes.byref(host), ctypes.c_size_t(4), 2) == 0
            if not ready or self._library.cuMemHostGetDevicePointer_v2(ctypes.byref(device), host, 0) != 0:
                return None
            gate = ctypes.cast(host, ctypes.POINTER(ctypes.c_uint32))
            gate[0] = 0
            wait = (stream, device, ctypes.c_uint32(RELEASED), ctypes.c_uint(GREATER_OR_EQUAL))
            if self._library.cuStreamWaitValue32_v2(*wait) != 0:
                return None
        assert pair is not None
        try:
            self.record(pair[0], stream)
            call()
            self.record(pair[1], stream)
        finally:
            gate[0] = RELEASED
        self.synchronize()
        return self.elapsed_ms(pair)


class Marks:
    """Events around one sample: on torch's current stream where torch is in use, else on the legacy stream of every context.

    A revision can replace torch's events; those that then fail give no number, and nothing else.
    """

    def __init__(self, contexts: List[Context], event: Optional[Any]) -> None:
        self._torch: List[Any] = []
        if event is not None:
            try:
                self._torch = [event(enable_timing=True), event(enable_timing=True)]
            except Exception:
                self._torch = []
        self._pairs = [] if self._torch else [(one, pair) for one in contexts for pair in [one.events()] if pair]

    def _record(self, which: int) -> None:
        if self._torch:
            try:
                self._torch[which].record()
            except Exception:
                self._torch = []
        for context, pair in self._pairs:
            context.record(pair[which], LEGACY_STREAM)

    def begin(self) -> None:
        """Before the call."""
        self._record(0)

    def end(self) -> None:
        """After the call, before waiting for the devices."""
        self._record(1)

    def milliseconds(self) -> Optional[float]:
        """Between the two, of the device that took longest; the devices have been waited for."""
        if self._torch:
            try:
                return float(self._torch[0].elapsed_time(self._torch[1]))
            except Exception:
                return None
        found = [context.elapsed_ms(pair) for context, pair in self._pairs]
        known = [one for one in found if one is not None]
        return max(known) if known else None


class Devices:
    """Every device of this process whose primary context is active.

    Contexts are retained once each and waited for in turn, so all streams of all devices are covered.
    """

    def __init__(self) -> None:
        self._library: Optional[Any] = None
        self._contexts: Dict[int, Context] = {}
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
            state = library.cuDevicePrimaryCtxGetState(device, ctypes.byref(flags), ctypes.byref(active))
            if state == 0 and active.value and library.cuDevicePrimaryCtxRetain(ctypes.byref(context), device) == 0:
                self._contexts[index] = Context(library, device.value, context)

    def synchronize(self) -> None:
        """Wait until every retained context is idle."""
        for context in self._contexts.values():
            context.synchronize()
        if self._torch is not None:
            self._torch()

    def marks(self) -> Optional[Marks]:
        """Events for one sample, or None where no device is in use."""
        if self._torch is None and not self._contexts:
            return None
        cuda = getattr(sys.modules.get("torch"), "cuda", None) if self._torch is not None else None
        event = getattr(cuda, "Event", None)
        return Marks(list(self._contexts.values()), event)

    def flush(self) -> bool:
        """Leave nothing in the L2 of any device; whether that was done on all of them."""
        return bool(self._contexts) and False not in [context.flush() for context in self._contexts.values()]

    def queued_ms(self, call: Callable[[], Any]) -> Optional[float]:
        """`Context.queued_ms` on the stream that work goes to; None where more than one device is in use."""
        if len(self._contexts) != 1:
            return None
        stream = LEGACY_STREAM
        if self._torch is not None:
            stream = ctypes.c_void_p(sys.modules["torch"].cuda.current_stream().cuda_stream)
        [context] = self._contexts.values()
        return context.queued_ms(call, stream)
