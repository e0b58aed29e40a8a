"""One container as a process: hands a command to a warden, waits for what it says, and sees to it that it ends when it is told to.

Never blocks the loop. What a container may see and is told has been decided before.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LOG_BYTES = 4 << 20
_PATIENCE_SECONDS = 10.0
_WARDEN = Path(__file__).with_name("warden.py")


def base_interpreter() -> Path:
    """The interpreter below every virtual environment that this process runs in."""
    return Path(getattr(sys, "_base_executable", None) or sys.executable).resolve()


def interpreter_folders() -> tuple[Path, ...]:
    """What that interpreter needs to start: its prefix, under the name that it knows and where it really lies."""
    return tuple(dict.fromkeys((Path(sys.base_prefix), base_interpreter().parent.parent)))


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a warden is asked to run.

    Attributes:
        limits: rlimits by name (nproc, nofile, fsize, core); nproc is the container's own, whatever else its user runs.
        uid: whose processes nproc counts, None for this user's.
        memory_bytes: of all its processes together, None for no limit.
        log_bytes: of output kept from the beginning.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    folder: Path
    log: Path
    limits: Mapping[str, int] = field(default_factory=dict)
    uid: int | None = None
    memory_bytes: int | None = None
    grace_seconds: float = 30.0
    log_bytes: int = LOG_BYTES


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a container ended.

    Attributes:
        exit_code: as a container's: 128 + signal where it was killed, 128 where it could not start.
        oom: killed for its memory.
        error: why it could not start.
    """

    exit_code: int
    oom: bool = False
    error: str | None = None


def _answer(output: bytes, complaint: bytes) -> Ended:
    try:
        body = json.loads(output)
        return Ended(exit_code=int(body["exitCode"]), oom=bool(body["oom"]), error=body["error"])
    except (ValueError, KeyError, TypeError):
        last = complaint.decode(errors="replace").strip().splitlines()[-1:]
        return Ended(exit_code=137, error="its warden was killed" + "".join(f": {line}" for line in last))


async def run(command: Command) -> tuple[Ended, bool]:
    """Run to the end; returns how it ended, and whether it was cut short by a cancellation, which the caller has to pass on.

    Raises:
        OSError: the warden itself cannot be started.
    """
    spec: dict[str, Any] = {
        "argv": list(command.argv),
        "env": dict(command.env),
        "cwd": str(command.folder),
        "log": str(command.log),
        "log_bytes": command.log_bytes,
        "umask": 0o022,
        "limits": dict(command.limits),
        "uid": command.uid,
        "memory_bytes": command.memory_bytes,
        "grace_seconds": command.grace_seconds,
    }
    process = await asyncio.create_subprocess_exec(
        str(base_interpreter()),
        *("-I", "-S", str(_WARDEN)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        # A parent's environment is what hostile code would read first.
        env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd="/",
        start_new_session=True,
    )
    waiting = asyncio.ensure_future(_talk(process, json.dumps(spec).encode() + b"\n"))
    cut = False
    while True:
        try:
            if cut:
                await asyncio.wait({waiting}, timeout=command.grace_seconds + _PATIENCE_SECONDS)
                if not waiting.done():
                    process.kill()
            return await asyncio.shield(waiting), cut
        except asyncio.CancelledError:
            cut = True
            with contextlib.suppress(ProcessLookupError):
                process.terminate()


async def _talk(process: asyncio.subprocess.Process, spec: bytes) -> Ended:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(spec)
        await process.stdin.drain()
    # Standard input stays open: its end is how a warden learns that the runtime is gone.
    output, complaint, _ = await asyncio.gather(process.stdout.read(), process.stderr.read(), process.wait())
    process.stdin.close()
    with contextlib.suppress(ConnectionError):
        await process.stdin.wait_closed()
    return _answer(output, complaint)
