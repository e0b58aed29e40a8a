"""Whatever a test does to the harness, the Job ends by itself with a typed reason, exit code 0, and nothing left running."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from support.prepared import Job, Measured, make_environment, six

pytestmark = pytest.mark.slow

TINY = "def work(n):\n    x = 0\n    for i in range(20000):\n        x = (x * 31 + i) % 1000003\n    return x\n"


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    root = tmp_path_factory.mktemp("hostile")
    base = make_environment(root / "base", {"tiny/__init__.py": TINY})
    return Job(root, {"base": base, "base2": base})


def measure(job: Job, experiment: str, **plan: object) -> Measured:
    plan.setdefault("budget_seconds", 2)
    script = six(experiment=f"import os, sys, time; {experiment}; return tiny.work(data)")
    return job.measure(script, **plan)  # type: ignore[arg-type]


def no_process_mentions(path: Path) -> bool:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_bytes()
        except OSError:
            continue
        if os.fsencode(path) in line:
            return False
    return True


@pytest.mark.parametrize(
    ("experiment", "reason", "words"),
    [
        ("time.sleep(1000)", "SampleTooLong", "had not returned"),
        ("sys.exit(0)", "TestSkipped", "SystemExit"),
        ("os._exit(0)", "TestSkipped", "exit code 0 and without a result"),
        ('print(\'{"error": "no torch"}\'); sys.exit(1)', "TestFailed", "no torch"),
        ("os._exit(3)", "WorkerCrashed", "exit code 3"),
        ("os.abort()", "WorkerCrashed", "signal 6"),
        ("os.kill(os.getpid(), 11)", "WorkerCrashed", "signal 11"),
        ("os.kill(os.getppid(), 9)", "WorkerCrashed", "sends signals"),
        ("os.closerange(3, 100)", "WorkerCrashed", "exit code 9"),
        (
            "[os.write(fd, b'{}\\n') for fd in range(3, 20) if os.path.exists('/proc/self/fd/%d' % fd) and not os.isatty(fd) and 'w' in open('/proc/self/fdinfo/%d' % fd).read().replace('flags:\\t01', 'w')]",
            "WorkerCrashed",
            "spoke out of turn",
        ),
        (
            "import tempfile; place = tempfile.mkdtemp(); os.chdir(place); os.rmdir(place); open('data.txt')",
            "TestFailed",
            "FileNotFoundError",
        ),
        ("b = bytearray(1 << 45)", "TestFailed", "MemoryError"),
        ("raise ValueError('no' * 3)", "TestFailed", "ValueError: nonono"),
        ("time.perf_counter = lambda: 0.0", "PatchedTimer", "time.perf_counter"),
        ("import unittest; raise unittest.SkipTest('needs a GPU')", "TestSkipped", "needs a GPU"),
        ("time.sleep = time.time = time.monotonic = lambda *_: 0.0", "PatchedTimer", "time.time"),
        ("os.close(1); os.close(2); os.closerange(3, 100)", "WorkerCrashed", "exit code 9"),
        (
            "sys.stdout.write('y' * 3_000_000); sys.stdout.flush(); raise ValueError('after megabytes')",
            "TestFailed",
            "after megabytes",
        ),
    ],
)
def test_what_a_test_does_wrong_is_typed(job: Job, experiment: str, reason: str, words: str) -> None:
    measured = measure(job, experiment)
    assert measured.code == 0, measured.why
    assert measured.reason == reason, measured.why
    assert words in measured.outcome["tail"], measured.why
    assert no_process_mentions(job.root)


@pytest.mark.parametrize(
    "experiment",
    [
        pytest.param("print('x' * 5_000_000)", id="floods its output"),
        pytest.param(
            "sys.stderr.write('no line ends here' * 300_000)", id="floods standard error without an end of line"
        ),
        pytest.param("os.chdir('/')", id="changes directory"),
        pytest.param(
            "import tempfile; place = tempfile.mkdtemp(); os.chdir(place); os.rmdir(place)",
            id="stands in a folder that is gone",
        ),
        pytest.param(
            "[os.fork() or (time.sleep(1000), os._exit(0)) for _ in range(3)]",
            id="leaves sleeping children behind",
        ),
        pytest.param("os.closerange(1, 3)", id="closes its output"),
        pytest.param(
            "pid = os.fork(); pid and os.waitpid(pid, 0)", id="forks and lets the child return into the harness"
        ),
        pytest.param("os.kill(os.getppid(), 15); os.kill(os.getppid(), 2)", id="sends its parent polite signals"),
        pytest.param(
            "import gc; sys.stdout = gc.collect = os.write = os.read = os.getpid = None",
            id="breaks modules that the harness uses",
        ),
        pytest.param(
            "sys.setrecursionlimit(100); import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)",
            id="changes the interpreter's settings",
        ),
    ],
)
def test_what_a_test_may_do_is_survived(job: Job, experiment: str) -> None:
    """The budget leaves room for calls that print megabytes; the first look ends it."""
    measured = measure(job, experiment, budget_seconds=8, minimum_effect_percent="900")
    assert measured.reason is None, measured.why
    assert len(measured.rounds) >= 1
    assert measured.run["equivalence"]["equal"] is True
    assert no_process_mentions(job.root)


def test_a_test_that_eats_the_memory_fails_alone_with_its_traceback(job: Job) -> None:
    script = six(experiment="return [bytearray(1 << 20) for _ in iter(int, 1)]")
    measured = job.measure(script, memory=400 << 20, budget_seconds=1)
    assert measured.reason == "TestFailed", measured.why
    assert "MemoryError" in measured.outcome["tail"]
    assert no_process_mentions(job.root)


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        (six(head="import tiny, sys; sys.exit(0)", experiment="return 1"), "TestSkipped", "SystemExit"),
        (
            six(head="import tiny, os; os._exit(0)", experiment="return 1"),
            "TestSkipped",
            "exit code 0 and without a result",
        ),
        (six(setup="import os; os._exit(0)", experiment="return 1"), "TestSkipped", "in setup"),
        (six(setup="import time; time.sleep(1000)", experiment="return 1"), "MeasureTimeout", "no answer"),
        (six(experiment="return tiny.work(1)").replace("json.dumps(result)", "[][0]"), "TestFailed", "IndexError"),
        (
            six(experiment="return tiny.work(1)").replace("open(path, 'w').write(json.dumps(result))", "None"),
            "TestFailed",
            "wrote nothing",
        ),
    ],
    ids=["exits at import", "leaves at import", "leaves in setup", "sleeps in setup", "cannot store", "stores nothing"],
)
def test_what_happens_outside_of_experiment_is_typed_too(job: Job, script: str, reason: str, words: str) -> None:
    measured = job.measure(script, budget_seconds=1, timeout_seconds=8)
    assert measured.code == 0
    assert measured.reason == reason, measured.why
    assert words in measured.outcome["tail"], measured.why
    assert no_process_mentions(job.root)


def test_children_that_work_on_are_flagged_and_killed(job: Job) -> None:
    spin = "import subprocess; subprocess.Popen([sys.executable, '-c', 'while True: pass'])"
    measured = measure(job, spin, budget_seconds=8, minimum_effect_percent="900")
    assert measured.reason is None, measured.why
    assert "deferred_work" in measured.run["flags"]
    assert no_process_mentions(job.root)


def test_threads_that_work_on_are_flagged(job: Job) -> None:
    spin = "import threading; threading.Thread(target=lambda: [tiny.work(1) for _ in range(20)]).start()"
    measured = measure(job, spin, budget_seconds=8, minimum_effect_percent="900")
    assert measured.reason is None, measured.why
    assert "deferred_work" in measured.run["flags"]


def test_a_lazy_result_ends_the_job(job: Job) -> None:
    measured = job.measure(six(experiment="return (tiny.work(i) for i in range(3))"), budget_seconds=2)
    assert measured.reason == "LazyResult", measured.why
    assert "generator" in measured.outcome["tail"]


def test_the_time_limit_ends_a_job_that_hangs_later_with_what_was_done(job: Job) -> None:
    script = six(
        extra=["import os, time"],
        experiment="(len(os.environ['PADDING']) and os.path.exists(data) and time.sleep(1000)); return tiny.work(1)",
        setup="return '/proc/%d/nothing' % os.getpid()",
        check="assert a == b or time.sleep(1000)",
    ).replace("def check_equivalence(a, b): ", "def check_equivalence(a, b):\n    time.sleep(1000)\n    ")
    measured = job.measure(script, budget_seconds=2, timeout_seconds=8)
    assert measured.code == 0
    assert measured.reason == "MeasureTimeout", measured.why


def test_files_that_a_test_leaves_in_the_output_folder_are_gone(job: Job) -> None:
    out = "sys.argv[0]"
    plant = f"root = {out}; [open(os.path.join(d, 'outcome.json'), 'w').write('{{}}') for d in [os.path.abspath(os.path.join(os.environ['TMPDIR'], '../../../../out'))] if os.path.isdir(d)]"
    measured = measure(job, plant)
    assert measured.names == ["measure.log", "outcome.json", "rounds.jsonl", "run.json"]
    assert measured.outcome["stage"] == "measure"
