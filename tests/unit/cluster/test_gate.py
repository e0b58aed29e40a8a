"""Turns: never more than N, an exclusive one alone, nobody passes an exclusive one, and a cancelled wait costs nobody anything."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_operator.cluster.embedded.gate import Gate


@given(
    st.integers(min_value=1, max_value=4),
    st.lists(st.tuples(st.booleans(), st.integers(min_value=0, max_value=4), st.booleans()), max_size=12),
)
def test_turns_keep_their_promises(parallelism: int, asked: list[tuple[bool, int, bool]]) -> None:
    order: list[int] = []
    running: set[int] = set()

    async def one(gate: Gate, number: int, *, exclusive: bool, steps: int) -> None:
        async with gate.turn(exclusive=exclusive):
            order.append(number)
            running.add(number)
            for _ in range(steps + 1):
                assert len(running) <= (1 if exclusive else parallelism)
                assert not any(asked[other][0] for other in running - {number})
                await asyncio.sleep(0)
            running.discard(number)

    async def everyone() -> None:
        gate = Gate(parallelism)
        tasks = []
        for number, (exclusive, steps, cancelled) in enumerate(asked):
            task = asyncio.create_task(one(gate, number, exclusive=exclusive, steps=steps))
            tasks.append(task)
            await asyncio.sleep(0)
            if cancelled and number not in order:
                task.cancel()
        done = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)
        assert all(result is None or isinstance(result, asyncio.CancelledError) for result in done)
        async with asyncio.timeout(1), gate.turn(exclusive=True):
            pass

    asyncio.run(everyone())
    for place, number in enumerate(order):
        if asked[number][0]:
            assert all(other < number for other in order[:place])
            assert all(other > number for other in order[place + 1 :])


def test_a_gate_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="parallelism 0"):
        Gate(0)
