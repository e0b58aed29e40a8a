"""The queue of keys: each key once, never two workers on one key, later where it failed. It knows nothing of what a key means.

Work of two ranks: what goes first, and the rest, which makes more of what goes first. Were all of it begun at once, the cluster would be
busy with that, and every answer late; so the rest is begun at the pace at which the cluster answers, few at once, and half as many while
anything that goes first is under way.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from typing import Generic, NamedTuple, TypeVar

K = TypeVar("K")

FIRST_BACKOFF = 0.5
MOST_BACKOFF = 60.0
"""Seconds: a cluster that is down is asked once a minute per key."""


class _Wish(NamedTuple):
    """When a key is due, and whether it goes before those that are due and were not asked for so."""

    due: float
    first: bool

    def joined(self, other: _Wish) -> _Wish:
        """One wish for two."""
        return _Wish(min(self.due, other.due), self.first or other.first)


class WorkQueue(Generic[K]):
    """Keys in the order in which they are due, those that go first before the rest of what is due.

    A key that is added while it waits is there once, at the earlier of both times; one that is added while it is worked on waits for
    the end of that work; one that has failed comes no sooner than its backoff says, whatever is told of it. Every `get` is answered
    by one `done`.

    Args:
        first_backoff: seconds after one failure; each further one doubles them.
        most_backoff: seconds at most.
        rest_at_once: how many keys that do not go first may be worked on at once, and half as many while any is that does; None for any number.
    """

    def __init__(
        self, *, first_backoff: float = FIRST_BACKOFF, most_backoff: float = MOST_BACKOFF, rest_at_once: int | None = None
    ) -> None:  # fmt: skip
        self._first, self._most, self._rest_at_once = first_backoff, most_backoff, rest_at_once
        self._later: list[tuple[float, int, K]] = []
        self._ready: list[tuple[bool, float, int, K]] = []
        self._waiting: dict[K, tuple[_Wish, int]] = {}
        self._working: dict[K, bool] = {}
        self._again: dict[K, _Wish] = {}
        self._failures: dict[K, tuple[int, float]] = {}
        self._numbers = itertools.count()
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Keys that wait, those due later included."""
        return len(self._waiting) + len(self._again)

    @property
    def working(self) -> int:
        """Keys that are being worked on."""
        return len(self._working)

    def add(self, key: K, *, delay: float = 0.0, first: bool = False) -> None:
        """Ask for work on a key.

        Args:
            delay: in seconds from now.
            first: whether, once due, it goes before what is due and was not asked for so.
        """
        self._add(key, _Wish(asyncio.get_running_loop().time() + delay, first))

    def _add(self, key: K, wish: _Wish) -> None:
        if key in self._working:
            self._again[key] = self._again.get(key, wish).joined(wish)
            return
        if key in self._failures:
            wish = wish._replace(due=max(wish.due, self._failures[key][1]))
        if key in self._waiting:
            before = self._waiting[key][0]
            wish = wish.joined(before)
            if wish == before:
                return
        number = next(self._numbers)
        # An entry of an earlier wish stays where it is and counts no longer.
        self._waiting[key] = wish, number
        heapq.heappush(self._later, (wish.due, number, key))
        self._changed.set()

    async def get(self) -> K:
        """The next key that is due, waiting for it."""
        loop = asyncio.get_running_loop()
        while True:
            self._changed.clear()
            key = self._next(loop.time())
            if key is not None:
                return key
            alarm: asyncio.TimerHandle | None = None
            if self._later:
                # A timer and not wait_for, which before Python 3.12 loses a cancellation that comes with the timeout.
                alarm = loop.call_at(self._later[0][0], self._changed.set)
            try:
                await self._changed.wait()
            finally:
                if alarm is not None:
                    alarm.cancel()

    def _next(self, now: float) -> K | None:
        while self._later and self._later[0][0] <= now:
            due, number, key = heapq.heappop(self._later)
            if self._waits(key, number):
                heapq.heappush(self._ready, (not self._waiting[key][0].first, due, number, key))
        while self._ready:
            rest, _, number, key = self._ready[0]
            waits = self._waits(key, number)
            if waits and rest and not self._room():
                return None
            heapq.heappop(self._ready)
            if waits:
                del self._waiting[key]
                self._working[key] = rest
                return key
        return None

    def _waits(self, key: K, number: int) -> bool:
        return key in self._waiting and self._waiting[key][1] == number

    def _room(self) -> bool:
        """Whether one more of the rest may be worked on."""
        rest = sum(self._working.values())
        if self._rest_at_once is None:
            return True
        return rest < (max(1, self._rest_at_once // 2) if rest < len(self._working) else self._rest_at_once)

    def done(self, key: K) -> None:
        """End the work on a key; what was asked for meanwhile becomes due."""
        self._working.pop(key, None)
        self._changed.set()  # there may be room for more of the rest
        wish = self._again.pop(key, None)
        if wish is not None:
            self._add(key, wish)

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
