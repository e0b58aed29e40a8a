"""A GPU that is not there: the stub driver and NVML, compiled once, and the environment variables under which a process finds them."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).with_name("stub_gpu")
LIBRARIES = {"cuda.c": "libcuda.so.1", "nvml.c": "libnvidia-ml.so.1"}

KERNELS = '''\
"""Launches on the stub driver as a runtime would: `launch(ns, stream)` in the primary context of the first device."""
import ctypes

cuda = ctypes.CDLL("libcuda.so.1")
context = ctypes.c_void_p()


def start():
    if not context:
        cuda.cuInit(0)
        cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
        cuda.cuCtxSetCurrent(context)


def stream(flags=1):
    handle = ctypes.c_void_p()
    cuda.cuStreamCreate(ctypes.byref(handle), flags)
    return handle


def launch(ns, on=None):
    cuda.cuCtxSetCurrent(context)
    ones = [ctypes.c_uint(1)] * 6
    cuda.cuLaunchKernel(ctypes.c_void_p(ns), *ones, ctypes.c_uint(0), on, None, None)


def wait(on=None):
    cuda.cuStreamSynchronize(on)
'''


@dataclass(frozen=True)
class StubGpu:
    """A folder with both libraries and the file of knobs."""

    folder: Path

    @classmethod
    def build(cls, folder: Path) -> StubGpu:
        """Compile both; needs gcc."""
        folder.mkdir(parents=True, exist_ok=True)
        for source, library in LIBRARIES.items():
            command = ["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
            subprocess.run([*command, "-o", str(folder / library), str(SOURCES / source)], check=True)
        return cls(folder)

    def set(self, **knobs: object) -> None:
        """Replace every knob of NVML: a number, a text, or "unsupported"."""
        text = "".join(f"{name} {value}\n" for name, value in knobs.items())
        new = self.folder / "knobs.new"
        new.write_text(text)
        new.replace(self.folder / "knobs")

    def variables(self, **more: str) -> dict[str, str]:
        """What a process needs to find it."""
        return {"LD_LIBRARY_PATH": str(self.folder), "NVIDIA_STUB_NVML": str(self.folder / "knobs"), **more}

    def environ(self, **more: str) -> dict[str, str]:
        """The same on top of this process's own."""
        return {**os.environ, **self.variables(**more)}
