"""Who is below a process, as the kernel tells it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from isobench_runner.harness import reaping

PARENT = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); print('ready', flush=True); time.sleep(60)"


def until(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def parent() -> Iterator[tuple[subprocess.Popen[str], reaping.Family]]:
    before = reaping.last_pid()
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as process:
        family = reaping.Family(process.pid, before)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        try:
            yield process, family
        finally:
            for pid in reaping.descendants(process.pid):
                subprocess.run(["kill", "-9", str(pid)], check=False)
            process.kill()
            family.end()


def test_a_family_is_what_a_look_at_every_process_finds(parent: tuple[subprocess.Popen[str], reaping.Family]) -> None:
    process, family = parent
    everything = reaping.descendants(process.pid)
    assert len(everything) == 1
    assert family.members() >= everything
    assert family.members() >= everything
    assert process.pid not in family.members()


def test_a_member_that_ends_is_no_member_after_the_next_birth(
    parent: tuple[subprocess.Popen[str], reaping.Family],
) -> None:
    process, family = parent
    (child,) = reaping.descendants(process.pid)
    assert child in family.members()
    subprocess.run(["kill", "-9", str(child)], check=True)
    process.kill()
    process.wait()
    assert until(lambda: subprocess.run(["true"], check=True).returncode == 0 and child not in family.members())


def test_a_kernel_that_tells_no_numbers_is_asked_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = []
    monkeypatch.setattr(reaping, "last_pid", lambda: None)
    monkeypatch.setattr(reaping.Family, "_look", lambda self: looks.append(1))
    family = reaping.Family(2**30, None)
    family.members()
    family.members()
    family.end()
    assert len(looks) == 2


def test_what_this_process_used_is_told_and_what_is_gone_is_nothing() -> None:
    import os

    assert reaping.cpu_ns([os.getpid()]) > 0
    assert reaping.peak_bytes(os.getpid()) > 1 << 20
    assert (reaping.cpu_ns([2**30]), reaping.peak_bytes(2**30), reaping.run_delay_ns(2**30)) == (0, 0, 0)


@pytest.mark.parametrize(
    ("before", "now", "elsewhere"),
    [
        pytest.param(({1: 5}, 5, 7), ({1: 9}, 9, 7), 0, id="one thread did it all"),
        pytest.param(({1: 5, 2: 1}, 5, 7), ({1: 9, 2: 4}, 9, 7), 3, id="a child worked, too"),
        pytest.param(({1: 5}, 5, 7), ({1: 9}, 7, 7), 2, id="another thread of it worked, too"),
        pytest.param(({1: 5}, 5, 7), ({1: 9}, 9, 8), None, id="something was born"),
        pytest.param(({1: 5, 2: 1}, 5, 7), ({1: 9}, 9, 7), None, id="something has ended"),
        pytest.param(({1: 5}, 5, None), ({1: 9}, 9, None), None, id="the kernel does not tell"),
        pytest.param(({}, 5, 7), ({}, 9, 7), None, id="the kernel does not count"),
    ],
)
def test_what_ran_beside_the_first_thread_is_known_unless_something_came_or_went(
    before: tuple[dict[int, int], int, int | None], now: tuple[dict[int, int], int, int | None], elsewhere: int | None
) -> None:
    earlier, later = (reaping.Usage(cpu, own, 0, number) for cpu, own, number in (before, now))
    assert later.elsewhere_since(earlier) == elsewhere


def test_a_process_clock_keeps_what_threads_used_that_have_ended() -> None:
    code = "import threading\nt = threading.Thread(target=lambda: sum(range(2000000)))\nt.start()\nt.join()\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert reaping.asleep(process.pid)
        everything, (first, _) = reaping.cpu_ns([process.pid]), reaping.scheduled(process.pid, process.pid)
        assert everything > first + 5_000_000
        process.kill()
