"""Whose turn it is: at most N pods at once, an exclusive one alone, in the order in which they asked. Nothing of pods may enter.

Strictly first come, first served: an exclusive pod that waits lets nothing pass it, so that neither kind can starve the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Gate:
    """Turns on one machine."""

    def __init__(self, parallelism: int) -> None:
        if parallelism < 1:
            raise ValueError(f"parallelism {parallelism} is below 1")
        self._most = parallelism
        self._running = 0
        self._alone = False
        self._waiting: deque[tuple[asyncio.Future[None], bool]] = deque()

    @asynccontextmanager
    async def turn(self, *, exclusive: bool) -> AsyncIterator[None]:
        """Wait for a turn, hold it, give it back."""
        ticket: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((ticket, exclusive))
        self._advance()
        try:
            await ticket
        except asyncio.CancelledError:
            if ticket.done() and not ticket.cancelled():
                self._leave(exclusive=exclusive)
            else:
                self._waiting = deque(entry for entry in self._waiting if entry[0] is not ticket)
                self._advance()
            raise
        try:
            yield
        finally:
            self._leave(exclusive=exclusive)

    def _leave(self, *, exclusive: bool) -> None:
        self._running -= 1
        if exclusive:
            self._alone = False
        self._advance()

    def _advance(self) -> None:
        while self._waiting and not self._alone:
            ticket, exclusive = self._waiting[0]
            if self._running >= (1 if exclusive else self._most):
                return
            self._waiting.popleft()
            if ticket.cancelled():
                continue
            self._running += 1
            self._alone = exclusive
            ticket.set_result(None)
