"""Who may read this process: one that holds a key can be neither traced nor dumped, not even by another one of its user (PR_SET_DUMPABLE).

Elsewhere than on Linux nothing is done. The harness, which has to stand alone, has its own in `harness.reaping`.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4


def _prctl(option: int, value: int = 0) -> int:
    if sys.platform != "linux":
        return -1
    return int(ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0))


def keep_to_itself() -> None:
    """Keep this process's memory from others for good."""
    _prctl(_PR_SET_DUMPABLE, 0)


@contextmanager
def not_dumpable() -> Iterator[None]:
    """Keep it from others while the block runs."""
    before = _prctl(_PR_GET_DUMPABLE)
    keep_to_itself()
    try:
        yield
    finally:
        if before == 1:
            _prctl(_PR_SET_DUMPABLE, 1)
