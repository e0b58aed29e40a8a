"""What a container leaves for the one who reads its status: its termination message or the end of its log, and times as Kubernetes
writes them.

What lies in a pod's folder may be anybody's: it is opened without following links, and cut.
"""

from __future__ import annotations

import os
import stat
from datetime import UTC, datetime
from pathlib import Path

MAX_MESSAGE_BYTES = 4096
"""What Kubernetes keeps of a termination message."""
MAX_LOG_MESSAGE = (2048, 80)
"""Bytes and lines of the log that Kubernetes takes instead, under FallbackToLogsOnError."""


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC, to the microsecond: two pods that end within a second are told apart."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def read_message(path: Path) -> str:
    """A termination message: no link, an ordinary file, cut as Kubernetes cuts it."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return ""
        return file.read(MAX_MESSAGE_BYTES).decode(errors="replace")


def log_tail(path: Path) -> str:
    """The end of a log, as Kubernetes takes it for a message."""
    size, lines = MAX_LOG_MESSAGE
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - size))
            return "\n".join(file.read(size).decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
