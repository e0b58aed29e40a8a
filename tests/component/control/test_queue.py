"""The queue: each key once, one worker per key, later after failures."""

from __future__ import annotations

import asyncio

import pytest

from isobench_operator.control.queue import WorkQueue


async def now_or_none(queue: WorkQueue[str]) -> str | None:
    """The key that is due, if one is."""
    try:
        return await asyncio.wait_for(queue.get(), 0.01)
    except TimeoutError:
        return None


async def test_a_key_added_often_is_there_once() -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in "abaab":
        queue.add(key)
    assert len(queue) == 2
    assert [await queue.get(), await queue.get(), await now_or_none(queue)] == ["a", "b", None]


async def test_a_key_under_work_is_given_to_nobody_else_and_comes_again_after() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    assert await now_or_none(queue) is None
    queue.done("a")
    assert await now_or_none(queue) == "a"
    queue.done("a")
    assert await now_or_none(queue) is None
    assert (len(queue), queue.working) == (0, 0)


async def test_the_earlier_of_two_times_counts() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", delay=60)
    queue.add("a", delay=0.02)
    queue.add("a", delay=30)
    assert await now_or_none(queue) is None
    assert await asyncio.wait_for(queue.get(), 5) == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_a_waiting_worker_hears_of_an_earlier_key() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("late", delay=60)
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add("early")
    assert await asyncio.wait_for(waiting, 5) == "early"


async def test_two_waiting_workers_get_two_keys() -> None:
    queue: WorkQueue[str] = WorkQueue()
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    assert sorted(await asyncio.wait_for(asyncio.gather(*workers), 5)) == ["a", "b"]


async def test_failures_double_the_delay_up_to_a_bound_and_success_forgets_them() -> None:
    queue: WorkQueue[str] = WorkQueue(first_backoff=1, most_backoff=5)
    assert [queue.failed("a") for _ in range(5)] == [1, 2, 4, 5, 5]
    assert queue.failed("b") == 1
    queue.succeeded("a")
    assert queue.failed("a") == pytest.approx(1)


@pytest.mark.parametrize(
    ("events", "sooner"),
    [
        ("work fail done", False),
        ("work fail done add", False),
        ("work add fail done", False),
        ("work fail add done", False),
        ("work fail done add add", False),
        ("work fail succeed done", True),
        ("work succeed done add", True),
        ("work add succeed done", True),
    ],
)
async def test_a_key_that_failed_is_not_asked_for_sooner_than_its_backoff(events: str, sooner: bool) -> None:
    queue: WorkQueue[str] = WorkQueue(first_backoff=0.05)
    queue.add("a")
    steps = {
        "work": queue.get,
        "add": lambda: queue.add("a"),
        "fail": lambda: queue.failed("a"),
        "succeed": lambda: queue.succeeded("a"),
        "done": lambda: queue.done("a"),
    }
    for event in events.split():
        done = steps[event]()
        if asyncio.iscoroutine(done):
            await done
    if events.startswith("work fail succeed"):
        queue.add("a")
    assert (await now_or_none(queue) == "a") is sooner
    if not sooner:
        assert await asyncio.wait_for(queue.get(), 5) == "a"


async def test_a_backoff_keeps_nobody_else_waiting() -> None:
    queue: WorkQueue[str] = WorkQueue(first_backoff=60)
    queue.add("a")
    await queue.get()
    queue.failed("a")
    queue.done("a")
    queue.add("b")
    assert await now_or_none(queue) == "b"


async def all_that_are_due(queue: WorkQueue[str]) -> str:
    """The keys that are due, in their order, each under work from then on."""
    found = ""
    while (key := await now_or_none(queue)) is not None:
        found += key
    return found


@pytest.mark.parametrize(
    ("added", "given"),
    [
        ("a b c", "abc"),
        ("a b C", "cab"),
        ("a B c D", "bdac"),
        ("a b B", "ba"),  # asked for again, and now before the others
        ("B a b", "ba"),  # asked for again, and not put back
    ],
)
async def test_what_goes_first_goes_before_what_waits_longer(added: str, given: str) -> None:
    queue: WorkQueue[str] = WorkQueue()
    for key in added.split():
        queue.add(key.lower(), first=key.isupper())
    assert await all_that_are_due(queue) == given
    assert len(queue) == 0


async def test_what_goes_first_is_not_due_before_its_time() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a", delay=0.02, first=True)
    queue.add("b")
    assert await now_or_none(queue) == "b"
    assert await now_or_none(queue) is None
    assert await asyncio.wait_for(queue.get(), 5) == "a"


async def test_what_was_asked_for_first_during_work_goes_first_after_it() -> None:
    queue: WorkQueue[str] = WorkQueue()
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("b")
    queue.add("a", first=True)
    queue.done("a")
    assert await all_that_are_due(queue) == "ab"


@pytest.mark.parametrize(
    ("added", "given", "ended", "then"),
    [
        ("a b c d", "ab", "a", "c"),  # two at once
        ("A B C D", "abcd", "", ""),  # what goes first, without a bound
        ("a b C D", "cda", "", ""),  # of the rest one beside it, which is half of two
        ("a b C D", "cda", "c", ""),  # even while but one of it is under way
        ("a b C D", "cda", "cd", "b"),
        ("a b C D", "cda", "a", "b"),
    ],
)
async def test_of_the_rest_few_are_worked_on_at_once_and_half_as_many_beside_what_goes_first(
    added: str, given: str, ended: str, then: str
) -> None:
    queue: WorkQueue[str] = WorkQueue(rest_at_once=2)
    for key in added.split():
        queue.add(key.lower(), first=key.isupper())
    assert await all_that_are_due(queue) == given
    for key in ended:
        queue.done(key)
    assert await all_that_are_due(queue) == then


async def test_a_waiting_worker_hears_that_there_is_room() -> None:
    queue: WorkQueue[str] = WorkQueue(rest_at_once=1)
    queue.add("a")
    queue.add("b")
    assert await queue.get() == "a"
    waiting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.done("a")
    assert await asyncio.wait_for(waiting, 5) == "b"
