"""Scripts without the six functions are timed as whole processes, their start-up measured beside and taken off."""

from __future__ import annotations

import json
from statistics import median

import pytest

from isobench_runner.stats.rounds import parse_rounds
from isobench_runner.stats.summary import Rule, summarise
from support.prepared import Job, make_environment
from support.rivals import rivals

pytestmark = pytest.mark.slow

SLOW = """\
def work():
    x = 0
    for i in range(900000):
        x = (x * 31 + i) % 1000003
    return x
def added():
    raise RuntimeError("not yet")
"""
FAST = SLOW.replace("900000", "300000").replace('raise RuntimeError("not yet")', "return 1")


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    root = tmp_path_factory.mktemp("oldstyle")
    return Job(
        root,
        {
            "base": make_environment(
                root / "base", {"tiny/__init__.py": SLOW, "conftest.py": "raise SystemExit(5)"}, pytest=True
            ),
            "head": make_environment(root / "head", {"tiny/__init__.py": FAST}, pytest=True),
        },
    )


def test_a_bare_script_is_timed_without_its_start_up(job: Job) -> None:
    measured = job.measure("import tiny\nif __name__ == '__main__':\n    tiny.work()\n", budget_seconds=3)
    assert measured.reason is None, measured.why
    assert measured.run["plan"]["granularity"] == "process"
    assert measured.run["equivalence"]["equal"] is None
    samples = {name: [line["samples"][name][0] for line in measured.rounds] for name in ("base", "head")}
    assert all(min(line["startup_ns"].values()) > 5_000_000 for line in measured.rounds)
    content = "\n".join(json.dumps(line) for line in measured.rounds).encode()
    told = summarise(parse_rounds(content, base="base", other="head")[0], loops=1, rule=Rule(delta=0.02))
    assert told is not None
    assert not told.clock_mismatch
    kept = [line for line in measured.rounds if not line["discarded"]]
    assert told.base_ms == tuple(line["samples"]["base"][0]["wall_ns"] / 1e6 for line in kept)
    base, head = (median(one["cpu_ns"] for one in samples[name]) for name in ("base", "head"))
    assert base / head > 2, "three times the work; with the start-up in it, less than twice the time"


def test_a_script_that_needs_one_cpu_is_not_longer_for_others_that_hold_it(job: Job) -> None:
    with rivals():
        measured = job.measure(
            "import tiny\nif __name__ == '__main__':\n    tiny.work()\n", budget_seconds=3, alone=True
        )
    assert measured.reason is None, measured.why
    samples = [one for line in measured.rounds for side in line["samples"].values() for one in side]
    waited = [one for one in samples if one["wait_ns"] > 1_000_000]
    assert waited
    assert median(one["wall_ns"] / one["cpu_ns"] for one in waited) < 1.3


def test_of_a_pytest_file_the_tests_that_pass_on_both_sides_are_timed(job: Job) -> None:
    script = "import pytest, tiny\ndef test_work(): assert tiny.work() >= 0\ndef test_added(): tiny.added()\n@pytest.mark.skip\ndef test_no(): pass\n"
    measured = job.measure(script, budget_seconds=0.5)
    assert measured.reason is None, measured.why
    assert "partly_skipped" in measured.run["flags"]
    assert measured.run["checks"]["partly_skipped"]["words"].startswith("1 of 3")
    assert measured.rounds


def test_a_performance_assertion_that_fails_on_base_is_said_and_does_not_end_the_job(job: Job) -> None:
    script = "import tiny\ndef test_fast():\n    import inspect\n    tiny.work()\n    assert '300000' in inspect.getsource(tiny)\n"
    measured = job.measure(script, budget_seconds=0.5)
    assert measured.reason is None, measured.why
    assert measured.run["checks"]["performance_assertion"]["ok"] is False


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        (
            "import pytest\npytest.skip('no GPU', allow_module_level=True)\ndef test_a(): pass\n",
            "TestSkipped",
            "no GPU",
        ),
        ("import tiny\ndef test_a(): tiny.nothing()\n", "TestFailed", "nothing"),
        ("import not_there\ndef test_a(): pass\n", "TestFailed", "not_there"),
        ('import tiny, sys\nprint(\'{"skipped": "no GPU"}\')\nsys.exit(0)\n', "TestSkipped", "no GPU"),
        ('import tiny, sys\nprint(\'{"error": "no torch"}\')\nsys.exit(1)\n', "TestFailed", "no torch"),
        ("import tiny, unittest\nraise unittest.SkipTest('no CUDA')\n", "TestSkipped", "no CUDA"),
    ],
)
def test_a_script_that_fails_or_skips_itself_is_typed(job: Job, script: str, reason: str, words: str) -> None:
    measured = job.measure(script, budget_seconds=2)
    assert measured.reason == reason, measured.why
    assert words in measured.outcome["tail"]


def test_a_script_that_raises_on_head_alone_is_changed_behaviour(job: Job) -> None:
    measured = job.measure("import tiny\nassert '900000' in open(tiny.__file__).read()\n", budget_seconds=2)
    assert measured.reason == "BehaviourChanged", measured.why
