"""What live processes print, drained while the parent waits for one of them: nobody can stop a run by printing, and of each the end is kept."""

import math
import os
import select
import signal
import time
from typing import Callable, Dict, Optional

TAIL_BYTES = 16384


class Logs:
    """What every live process prints: drained while the parent waits for an answer, of each only the end is kept.

    Attributes:
        meanwhile: called about ten times a second while a process is waited for.
    """

    def __init__(self) -> None:
        self._poll = select.poll()
        self._tails: Dict[int, bytearray] = {}
        self._child_ended: Optional[int] = None
        self.meanwhile: Callable[[], None] = lambda: None

    def child_ended(self) -> int:
        """A pipe that becomes readable when any child ends."""
        if self._child_ended is None:
            self._child_ended, wake = os.pipe()
            os.set_blocking(self._child_ended, False)
            os.set_blocking(wake, False)
            signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
            signal.signal(signal.SIGCHLD, lambda *_: None)
        return self._child_ended

    def add(self, fd: int) -> bytearray:
        """Begin to drain a pipe; the returned buffer holds its last bytes."""
        os.set_blocking(fd, False)
        tail = bytearray()
        self._tails[fd] = tail
        self._poll.register(fd, select.POLLIN)
        return tail

    def remove(self, fd: int) -> None:
        """Drain what is left and forget the pipe."""
        if fd in self._tails:
            for _ in range(64):
                if not self._drain(fd):
                    break
            self._forget(fd)

    def _forget(self, fd: int) -> None:
        if self._tails.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def _drain(self, fd: int) -> bool:
        try:
            piece = os.read(fd, 65536)
        except BlockingIOError:
            return False
        except OSError:
            piece = b""
        if not piece:
            return False
        tail = self._tails[fd]
        tail += piece
        del tail[:-TAIL_BYTES]
        return True

    def settle(self) -> None:
        """Drain what has been printed up to now."""
        for ready, _ in self._poll.poll(0):
            if ready in self._tails and not self._drain(ready):
                self._forget(ready)

    def wait(self, fd: int, milliseconds: int) -> bool:
        """Drain until `fd` has something to read (True, at once) or the time is over (False)."""
        self._poll.register(fd, select.POLLIN)
        end = time.monotonic() + milliseconds / 1000
        try:
            while True:
                left = max(0, math.ceil((end - time.monotonic()) * 1000))
                events = self._poll.poll(left)
                if any(ready == fd for ready, _ in events):
                    return True
                for ready, _ in events:
                    if not self._drain(ready):
                        self._forget(ready)
                if time.monotonic() >= end:
                    return False
        finally:
            self._poll.unregister(fd)
