"""What a measuring run says of itself, and what the tests in it print: shown at once, and kept for the log that is left behind.

Bounded, for the parent has to stay small, and said between samples alone. Nothing in it is ever believed.
"""

import sys
import time
from typing import Dict, List

LOG = "measure.log"
MAX_BYTES = 256 << 10
CUT = b"... the log ends here, at its limit\n"


class Said:
    """The log of one run."""

    def __init__(self) -> None:
        self._begin = time.monotonic()
        self._pieces: List[bytes] = []
        self._room = MAX_BYTES
        self._last: Dict[str, str] = {}

    def say(self, words: str) -> None:
        """Add a line of the parent's own, with the seconds since the beginning."""
        self._add("measure: {:7.1f} s  {}\n".format(time.monotonic() - self._begin, words))

    def printed(self, name: str, text: str) -> None:
        """Add what a revision's process printed, unless the one before it of that revision printed the same."""
        if text.strip() and self._last.get(name) != text:
            self._last[name] = text
            self._add("".join("{} | {}\n".format(name, line) for line in text.splitlines()))

    def _add(self, text: str) -> None:
        if self._room <= 0:
            return
        raw = text.encode("utf-8", "replace")
        piece = raw[: self._room]
        self._room -= len(piece)
        if self._room <= 0:
            piece += CUT
        self._pieces.append(piece)
        try:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        except OSError:
            pass

    def log(self) -> bytes:
        """All of it."""
        return b"".join(self._pieces)
