"""Kernels of known length by the CUDA driver alone (ctypes, PTX): no torch, no compiler. Imported here and copied into measured packages.

`spin(ns)` keeps one block busy for a number of nanoseconds of the card's own clock, so k launches are exactly k times the work. `burn`
keeps every multiprocessor at multiply-adds, `copy` the memory. Standard library alone, CPython 3.8.
"""

import ctypes

PTX = b"""
.version 6.0
.target sm_50
.address_size 64

.visible .entry spin(.param .u64 wanted)
{
    .reg .u64 %w, %begin, %now, %spent;
    .reg .pred %more;
    ld.param.u64 %w, [wanted];
    mov.u64 %begin, %globaltimer;
again:
    mov.u64 %now, %globaltimer;
    sub.u64 %spent, %now, %begin;
    setp.lt.u64 %more, %spent, %w;
    @%more bra again;
    ret;
}

.visible .entry burn(.param .u64 turns, .param .u64 target)
{
    .reg .u64 %n, %i, %out;
    .reg .f32 %a, %b, %c, %d;
    .reg .pred %more, %never;
    ld.param.u64 %n, [turns];
    ld.param.u64 %out, [target];
    mov.u64 %i, 0;
    mov.f32 %a, 0f3F800001;
    mov.f32 %b, 0f3F7FFFFE;
    mov.f32 %c, 0f3A83126F;
    mov.f32 %d, 0f3F000000;
turn:
    fma.rn.f32 %a, %a, %b, %c;
    fma.rn.f32 %d, %d, %b, %c;
    fma.rn.f32 %a, %a, %b, %d;
    fma.rn.f32 %d, %d, %b, %a;
    add.u64 %i, %i, 1;
    setp.lt.u64 %more, %i, %n;
    @%more bra turn;
    setp.eq.f32 %never, %a, 0f7F800000;
    @%never st.global.f32 [%out], %d;
    ret;
}
"""
BLOCKS, THREADS = 2048, 256
NON_BLOCKING = 1

_driver = []
_context = ctypes.c_void_p()
_spin, _burn = ctypes.c_void_p(), ctypes.c_void_p()
_buffers = {}


class CudaError(Exception):
    """A call of the driver failed."""


def _call(name, *arguments):
    code = getattr(_driver[0], name)(*arguments)
    if code != 0:
        raise CudaError(f"{name} returned {code}")


def start():
    """The primary context of the first device, current in this thread, with both kernels loaded; does nothing the second time."""
    if not _driver:
        _driver.append(ctypes.CDLL("libcuda.so.1"))
        device, module = ctypes.c_int(), ctypes.c_void_p()
        _call("cuInit", 0)
        _call("cuDeviceGet", ctypes.byref(device), 0)
        _call("cuDevicePrimaryCtxRetain", ctypes.byref(_context), device)
        _call("cuCtxSetCurrent", _context)
        _call("cuModuleLoadData", ctypes.byref(module), ctypes.c_char_p(PTX))
        _call("cuModuleGetFunction", ctypes.byref(_spin), module, b"spin")
        _call("cuModuleGetFunction", ctypes.byref(_burn), module, b"burn")
    _call("cuCtxSetCurrent", _context)


def stream():
    """One that does not wait for the legacy stream."""
    handle = ctypes.c_void_p()
    _call("cuStreamCreate", ctypes.byref(handle), NON_BLOCKING)
    return handle


def _launch(function, blocks, threads, on, *values):
    numbers = [ctypes.c_uint64(value) for value in values]
    pointers = (ctypes.c_void_p * len(numbers))(*[ctypes.addressof(one) for one in numbers])
    sizes = [ctypes.c_uint(one) for one in (blocks, 1, 1, threads, 1, 1, 0)]
    _call("cuLaunchKernel", function, *sizes, on, pointers, None)


def spin(ns, on=None):
    """Keep one block busy."""
    _launch(_spin, 1, 1, on, int(ns))


def burn(turns, on=None):
    """Keep the whole card busy."""
    _launch(_burn, BLOCKS, THREADS, on, int(turns), _buffer("burn", 256))


def copy(size, on=None):
    """Copy so many bytes on the card."""
    source, target = _buffer("source", size), _buffer("target", size)
    _call("cuMemcpyDtoDAsync_v2", ctypes.c_uint64(target), ctypes.c_uint64(source), ctypes.c_size_t(size), on)


def overwrite(size):
    """Write so many bytes, to leave nothing else in a cache."""
    _call("cuMemsetD8_v2", ctypes.c_uint64(_buffer("overwritten", size)), ctypes.c_ubyte(0), ctypes.c_size_t(size))


def attribute(number):
    """One of the device's."""
    value = ctypes.c_int()
    _call("cuDeviceGetAttribute", ctypes.byref(value), number, 0)
    return value.value


def _buffer(name, size):
    pointer, held = _buffers.get(name, (0, 0))
    if held < size:
        fresh = ctypes.c_uint64()
        _call("cuMemAlloc_v2", ctypes.byref(fresh), ctypes.c_size_t(size))
        _buffers[name] = (fresh.value, size)
        return fresh.value
    return pointer


def wait():
    """Until everything is done."""
    _call("cuCtxSynchronize")
