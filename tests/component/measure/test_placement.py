"""How revisions share the machine: one after the other where memory does not hold both, and work that was moved instead of saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.prepared import Job, make_environment, six

pytestmark = pytest.mark.slow

SPIN = """\
def spin(n):
    x = 0
    for i in range(n):
        x = (x * 31 + i) % 1000003
    return x
"""
WHOLE = SPIN + "\ndef work(seed):\n    return [spin(150000 + seed % 7), spin(150000)]\n"
AT_IMPORT = (
    SPIN
    + "\nREADY = [spin(150000) for _ in range(6)]\ndef work(seed):\n    return [spin(150000 + seed % 7), READY[0]]\n"
)
WITH_CHILDREN = (
    SPIN
    + "\nfrom multiprocessing import get_context\nPOOL = None\ndef work(seed):\n    global POOL\n    POOL = POOL or get_context('fork').Pool(2)\n    return POOL.map(spin, [150000 + seed % 7, 150000])\n"
)
SEEDED = six(setup="return seed", experiment="return tiny.work(data)")


def job_of(root: Path, base: str, head: str) -> Job:
    sides = {
        name: make_environment(root / name, {"tiny/__init__.py": body})
        for name, body in (("base", base), ("head", head))
    }
    return Job(root, sides)


@pytest.mark.parametrize(
    "words",
    [
        "MemoryError('the other has it')",
        "ValueError('Free memory on device (1.2/79.2 GiB) on startup is less than desired GPU memory utilization (0.9, 71.3 GiB)')",
        "SystemExit('port 8000 is taken')",
    ],
)
def test_revisions_that_cannot_run_side_by_side_run_one_after_the_other(tmp_path: Path, words: str) -> None:
    script = six(
        extra=["import fcntl", f"FILE = open({str(tmp_path / 'memory')!r}, 'w')"],
        setup="return take(seed)",
        experiment="return tiny.work(data)",
    ).replace(
        "def setup",
        f"def take(seed):\n    try:\n        fcntl.flock(FILE, fcntl.LOCK_EX | fcntl.LOCK_NB)\n    except OSError:\n        raise {words} from None\n    return seed\ndef setup",
        1,
    )
    measured = job_of(tmp_path, WHOLE, WHOLE).measure(script, budget_seconds=2)
    assert measured.reason is None, measured.why
    assert measured.run["plan"]["order"] == "process"
    assert measured.run["checks"]["memory"]["ok"] is False
    assert "runs alone" in measured.run["checks"]["memory"]["words"]
    assert all(
        len(line["samples"][name]) == measured.run["plan"]["k"] for line in measured.rounds for name in ("base", "head")
    )


def test_work_at_import_is_work_moved_to_the_start(tmp_path: Path) -> None:
    measured = job_of(tmp_path, WHOLE, AT_IMPORT).measure(SEEDED, budget_seconds=40)
    assert measured.reason is None, measured.why
    told = measured.summary("head")
    assert told.shifts.to_startup, told.shifts
    assert told.flags["shifted_work"]
    assert told.shifts.gains.startup is not None
    assert told.shifts.gains.startup < 0


def test_work_in_a_pool_of_processes_is_seen_as_cpu_time_on_more_cores(tmp_path: Path) -> None:
    measured = job_of(tmp_path, WHOLE, WITH_CHILDREN).measure(SEEDED, budget_seconds=4)
    assert measured.reason is None, measured.why
    assert measured.run["plan"]["single_cpu"] is (len(measured.run["plan"]["cpus"]) == 1)
    told = measured.summary("head")
    assert told.cpu is not None
    assert 0.6 < told.cpu.speedup < 1.4, told.cpu


def test_an_input_that_cannot_be_copied_and_costs_too_much_is_used_once_per_process(tmp_path: Path) -> None:
    script = six(
        extra=["import threading"],
        setup="return (tiny.spin(1500000 + seed % 3), threading.Lock())",
        experiment="return tiny.spin(20000)",
    )
    measured = job_of(tmp_path, WHOLE, WHOLE).measure(script, budget_seconds=2)
    assert measured.reason is None, measured.why
    assert (measured.run["plan"]["inputs"], measured.run["plan"]["k"]) == ("once", 1)


@pytest.mark.parametrize(
    ("setup", "sides", "reason"),
    [
        ("return [seed, tiny.SIZE]", ("head", 3), "Incomparable"),
        ("return [seed, tiny.SIZE + os.getpid()]", ("base2", 2), "NotDeterministic"),
    ],
)
def test_revisions_that_are_not_given_the_same_inputs_are_not_compared(
    tmp_path: Path, setup: str, sides: tuple[str, int], reason: str
) -> None:
    name, size = sides
    folders = {
        side: make_environment(tmp_path / side, {"tiny/__init__.py": f"{WHOLE}\nSIZE = {value}\n"})
        for side, value in (("base", 2), (name, size))
    }
    script = six(extra=["import os"], setup=setup, experiment="return tiny.work(data[0])")
    measured = Job(tmp_path, folders).measure(script, budget_seconds=1)
    assert (measured.reason, measured.rounds) == (reason, [])
    assert "different inputs" in measured.outcome["tail"]
    assert measured.run["checks"]["same_inputs"]["ok"] is False
