"""The GPUs of this machine, as its driver's own tool tells of them; none where there is no driver."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import NamedTuple

QUERY = "name,compute_cap,memory.total"
SECONDS = 30.0
_LINE = re.compile(r"\s*(?P<name>.+?)\s*,\s*(?P<major>\d+)\.(?P<minor>\d+)\s*,\s*(?P<memory>\d+)\s*")


class Gpu(NamedTuple):
    """One GPU, its memory in MiB."""

    name: str
    capability: tuple[int, int]
    memory: int


def parse(text: str) -> tuple[Gpu, ...]:
    """What nvidia-smi printed for QUERY, without header and units."""
    found = filter(None, (_LINE.fullmatch(line) for line in text.splitlines()))
    return tuple(Gpu(one["name"], (int(one["major"]), int(one["minor"])), int(one["memory"])) for one in found)


def here() -> tuple[Gpu, ...]:
    """The GPUs of this machine, in the driver's order."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return ()
    try:
        done = subprocess.run(
            [tool, f"--query-gpu={QUERY}", "--format=csv,noheader,nounits"],
            capture_output=True, text=True, timeout=SECONDS, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return ()
    return parse(done.stdout)
