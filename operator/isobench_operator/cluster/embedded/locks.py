"""One builder per environment: a lock beside each key's folder in the user's cache, held across runs and output folders.

The kernel lets go of it when its holder dies. Taken by the runtime, because untrusted builders cannot reach it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

_POLL_SECONDS = 0.2


class KeyLocks:
    """The locks that one pod holds."""

    def __init__(self) -> None:
        self._held: dict[Path, int] = {}

    async def take(self, folders: Iterable[Path]) -> float | None:
        """Lock folders, in one order for everybody; returns seconds waited, or None where all were held already. Raises OSError."""
        missing = sorted(set(folders) - self._held.keys())
        if not missing:
            return None
        loop = asyncio.get_running_loop()
        began = loop.time()
        waited = False
        for folder in missing:
            folder.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder.with_name(folder.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                while not _locked(handle):
                    waited = True
                    await asyncio.sleep(_POLL_SECONDS)
            except BaseException:
                os.close(handle)
                raise
            self._held[folder] = handle
        return loop.time() - began if waited else 0.0

    def release(self) -> None:
        """Let go of all."""
        for handle in self._held.values():
            with contextlib.suppress(OSError):
                os.close(handle)
        self._held.clear()


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
