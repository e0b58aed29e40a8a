"""The folder in which Secrets lie while a pod needs them: in memory, this user's alone, and gone with its runtime, killed or not.

A runtime holds a lock on its folder as long as it lives; folders that nobody holds were left by one that was killed, and whoever
comes next removes them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")  # noqa: S108 - nothing is ever put there but below a folder of mode 0700
_SWEPT = "isobench-secrets-"
_BEING_MADE = ".isobench-new-"


class PrivateFolder:
    """One runtime's folder for Secrets.

    Attributes:
        path: the folder, mode 0700.
    """

    def __init__(self, above: Path | None = None) -> None:
        """Remove what killed runtimes of this user left, and make a folder. Raises OSError."""
        if above is None:
            above = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
        sweep(above)
        made = Path(tempfile.mkdtemp(prefix=_BEING_MADE, dir=above))
        self._lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Only now, locked, does it get a name that others sweep.
        self.path = made.rename(above / f"{_SWEPT}{os.geteuid()}-{made.name.removeprefix(_BEING_MADE)}")

    def close(self) -> None:
        """Remove it."""
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.close(self._lock)


def sweep(above: Path) -> None:
    """Remove this user's folders that no living runtime holds."""
    for folder in above.glob(f"{_SWEPT}{os.geteuid()}-*"):
        with contextlib.suppress(OSError):
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                info = os.fstat(handle)
                if info.st_uid == os.geteuid() and stat.S_IMODE(info.st_mode) == 0o700:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(handle)
