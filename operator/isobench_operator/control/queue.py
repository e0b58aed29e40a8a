"""The queue of keys: each key once, never two workers on one key, later where it failed. It knows nothing of what a key means."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Generic, TypeVar

K = TypeVar("K")

FIRST_BACKOFF = 0.5
MOST_BACKOFF = 60.0
"""Seconds: a cluster that is down is asked once a minute per key."""


class WorkQueue(Generic[K]):
    """Keys in the order in which they are due.

    A key that is added while it waits is there once, at the earlier of both times; one that is added while it is worked on waits for
    the end of that work; one that has failed comes no sooner than its backoff says, whatever is told of it. Every `get` is answered
    by one `done`.
    """

    def __init__(self, *, first_backoff: float = FIRST_BACKOFF, most_backoff: float = MOST_BACKOFF) -> None:
        self._first, self._most = first_backoff, most_backoff
        self._heap: list[tuple[float, int, K]] = []
        self._due: dict[K, float] = {}
        self._working: set[K] = set()
        self._again: dict[K, float] = {}
        self._failures: dict[K, tuple[int, float]] = {}
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait, those due later included."""
        return len(self._due) + len(self._again)

    @property
    def working(self) -> int:
        """Keys that are being worked on."""
        return len(self._working)

    def add(self, key: K, *, delay: float = 0.0) -> None:
        """Ask for work on a key.

        Args:
            delay: in seconds from now.
        """
        self._add(key, asyncio.get_running_loop().time() + delay)

    def _add(self, key: K, due: float) -> None:
        if key in self._working:
            self._again[key] = min(due, self._again.get(key, due))
            return
        if key in self._failures:
            due = max(due, self._failures[key][1])
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        heapq.heappush(self._heap, (due, next(self._numbers), key))
        self._changed.set()

    async def get(self) -> K:
        """The next key that is due, waiting for it."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            now = loop.time()
            alarm: asyncio.TimerHandle | None = None
            while self._heap:
                due, _, key = self._heap[0]
                if self._due.get(key) != due:
                    heapq.heappop(self._heap)
                elif due <= now:
                    heapq.heappop(self._heap)
                    del self._due[key]
                    self._working.add(key)
                    return key
                else:
                    # A timer and not wait_for, which before Python 3.12 loses a cancellation that comes with the timeout.
                    alarm = loop.call_later(due - now, self._changed.set)
                    break
            try:
                await self._changed.wait()
            finally:
                if alarm is not None:
                    alarm.cancel()

    def done(self, key: K) -> None:
        """End the work on a key; what was asked for meanwhile becomes due."""
        self._working.discard(key)
        due = self._again.pop(key, None)
        if due is not None:
            self._add(key, due)

    def succeeded(self, key: K) -> None:
        """Forget the failures of a key."""
        self._failures.pop(key, None)

    def failed(self, key: K) -> float:
        """Ask for work on a key again, later each time; returns the delay in seconds."""
        failures = self._failures.get(key, (0, 0.0))[0] + 1
        delay = min(self._most, self._first * 2.0 ** min(failures - 1, 30))
        self._failures[key] = failures, asyncio.get_running_loop().time() + delay
        self.add(key, delay=delay)
        return delay
