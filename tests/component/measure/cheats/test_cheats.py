"""Ways in which a revision or a test looks faster than it is, each beside an honest twin: the cheat is called by its name, the twin is not.

Every case is a real Job over base and head, judged by the real report. Cheats whose names stand beside each other in a report share a
Job, and so do twins: one that is called something would be seen whoever is beside it. Nothing here depends on how fast the machine is
or how many rounds it comes to, but for questions that need some: those stop at a planned look. A few cheats are not named but bring
nothing: they come last.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from isobench_runner.contract import Report
from isobench_runner.harness import ranks
from isobench_runner.store import Store
from support.gpus import KERNELS, StubGpu
from support.prepared import Job, Measured, make_environment, six

pytestmark = pytest.mark.slow

WORK = """\
def burn(turns=60000):
    x = 0
    for i in range(turns):
        x = (x * 31 + i) % 1000003
    return x


def answer(n):
    return [n * 3, n / 7]
"""
HONEST = WORK + "\n\ndef work(n):\n    burn()\n    return answer(n)\n"
HALF = HONEST.replace("burn()\n", "burn(30000)\n")
SEEDED = six(setup="return seed % 1000", experiment="return tiny.work(data)")
READS = SEEDED.replace("json.dumps(result)", "json.dumps(list(result))")
UNSEEDED = six(experiment="return tiny.work(data)")
ONE_ROUND = 0.3
"""Seconds: one round, or a few, each process of which is looked at. Work that is left for later has to be seen in more than one sample."""
FIRST_LOOK: dict[str, Any] = {"budget_seconds": 60, "minimum_effect_percent": "900"}
"""Ends at the first look, eight rounds on: whatever is within a factor of ten is no change."""


def function(name: str, body: str) -> str:
    return f"\n\ndef {name}(n):\n" + "".join(f"    {line}\n" for line in body.splitlines())


def instead(body: str, *, top: str = "") -> str:
    """The package with another `work`."""
    return f"{top}\n{WORK}{function('work', body)}"


@dataclass(frozen=True)
class Played:
    """What became of a Job: how it was measured, and what its report says."""

    measured: Measured
    report: Report

    @property
    def names(self) -> set[str]:
        """The reason, where there is one, the flags, and the checks that failed."""
        failed = {name for name, check in self.measured.run.get("checks", {}).items() if check["ok"] is False}
        reason = {self.report.reason.value} if self.report.reason else set()
        return reason | set(self.report.data.get("flags", ())) | set(self.measured.run.get("flags", ())) | failed

    @property
    def ratio(self) -> float:
        """Of medians of all samples."""
        base, head = (
            median(one["wall_ns"] for line in self.measured.rounds for one in line["samples"][name])
            for name in ("base", "head")
        )
        return base / head

    def words(self, check: str) -> str:
        """What a check says."""
        return str(self.measured.run["checks"][check]["words"])

    @property
    def why(self) -> str:
        """For a failed assertion."""
        return f"{self.names} {self.measured.why} {self.report.tail} {self.measured.run.get('checks')}"


def play(root: Path, head: str, *, script: str = READS, base: str = HONEST, environ: dict[str, str] | None = None, more: dict[str, str] | None = None, **plan: Any) -> Played:  # fmt: skip
    """Measure head beside base and report it."""
    sides = {
        name: make_environment(root / name, {"tiny/__init__.py": source, **(more or {})})
        for name, source in (("base", base), ("head", head))
    }
    measured = Job(root, sides).measure(script, environ=environ, **({"budget_seconds": ONE_ROUND} | plan))
    return Played(measured, measured.report(Store(root / "store")))


FOUND = ("DeferredWork", "LazyResult", "PatchedTimer", "NotEquivalent", "ResultInvalid", "settings_changed", "memoised")


def innocent(twin: Played) -> None:
    assert not twin.names & set(FOUND), twin.why
    assert twin.report.reason is None, twin.why


CLOCKS = ("time.perf_counter", "time.monotonic", "time.time", "time.process_time", "timeit.default_timer", "timeit.Timer.timeit")  # fmt: skip


@pytest.fixture(scope="module")
def clocks(tmp_path_factory: pytest.TempPathFactory) -> Played:
    at_import = "import time, timeit\ntime.perf_counter = lambda: 0.0\ntimeit.default_timer = lambda: 0.0\ntimeit.Timer.timeit = lambda *a: 0.0\n"
    while_working = "time.monotonic = time.time = time.process_time = lambda: 0.0\nburn(30000)\nreturn answer(n)"
    return play(tmp_path_factory.mktemp("clocks"), instead(while_working, top=at_import))


@pytest.mark.parametrize("name", CLOCKS)
def test_a_replaced_clock_is_called_by_its_name(clocks: Played, name: str) -> None:
    assert "PatchedTimer" in clocks.names, clocks.why
    assert name in clocks.words("timers").removeprefix("replaced: ").split(", ")


SETTINGS = ("the garbage collector (gc.disable)", "its CPUs (os.sched_setaffinity)", "its priority (os.nice)")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Played:
    at_import = "import gc, os\ngc.disable()\nos.nice(3)\n"
    while_working = "os.sched_setaffinity(0, range(os.cpu_count()))\nburn()\nreturn answer(n)"
    return play(tmp_path_factory.mktemp("settings"), instead(while_working, top=at_import))


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_that_was_changed_is_called_by_its_name(settings: Played, name: str) -> None:
    assert "settings_changed" in settings.names, settings.why
    assert name in settings.words("settings")
    assert "base changed" not in settings.words("settings")


STOPS = """\
import os, signal, threading, time
def stop():
    while True:
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    parent = int(file.read().rpartition(")")[2].split()[1])
                if pid != os.getpid() and parent == os.getppid():
                    os.kill(pid, signal.SIGSTOP)
                    time.sleep(0.005)
                    os.kill(pid, signal.SIGCONT)
            except (OSError, IndexError):
                pass
        time.sleep(0.005)
threading.Thread(target=stop, daemon=True).start()
"""
CHEATS: dict[str, tuple[str, str]] = {
    "leaves work to a thread": (
        "DeferredWork",
        instead("threading.Thread(target=burn, args=(400000,)).start()\nreturn answer(n)", top="import threading\n"),
    ),
    "leaves work to a child": (
        "DeferredWork",
        instead("if os.fork() == 0:\n    burn(2000000)\n    os._exit(0)\nreturn answer(n)", top="import os\n"),
    ),
    "leaves work to a signal": (
        "DeferredWork",
        instead(
            "signal.setitimer(signal.ITIMER_REAL, 0.002)\nburn(2000)\nreturn answer(n)",
            top="import signal\nsignal.signal(signal.SIGALRM, lambda *_: burn(100000))\n",
        ),
    ),
    "works while base is timed": (
        "DeferredWork",
        instead(
            "burn()\nLAST[0] = time.monotonic()\nreturn answer(n)",
            top="import threading, time\nLAST = [1e18]\ndef disturb():\n    while True:\n        burn(2000) if time.monotonic() - LAST[0] > 0.012 else time.sleep(0.001)\nthreading.Thread(target=disturb, daemon=True).start()\n",
        ),
    ),
    "stops base's process": ("WorkerCrashed", instead("burn()\nreturn answer(n)", top=STOPS)),
    "returns a generator": (
        "LazyResult",
        instead("return (one for _ in map(burn, [60000]) for one in answer(n))"),
    ),
    "returns a list that works when it is read": (
        "LazyResult",
        instead(
            "return Later([n])",
            top="class Later(list):\n    def __iter__(self):\n        burn(400000)\n        return iter(answer(self[0]))\n    def __len__(self): return 2\n",
        ),
    ),
    "skips the work and answers wrongly": ("NotEquivalent", instead("return [n * 3, 0.0]")),
    "computes with less precision": (
        "NotEquivalent",
        instead("burn(30000)\nreturn [round(one, 3) for one in answer(n)]"),
    ),
    "answers otherwise where it sees the harness on the stack": (
        "NotEquivalent",
        instead(
            "frame = sys._getframe()\nwhile frame:\n    if 'worker' in frame.f_code.co_filename:\n        return [n, n]\n    frame = frame.f_back\nburn()\nreturn answer(n)",
            top="import sys\n",
        ),
    ),
    "answers otherwise under a private home": (
        "NotEquivalent",
        instead(
            "if os.environ['HOME'].endswith('home') and sys.argv[0].endswith('test_generated.py'): return [n, n]\nburn()\nreturn answer(n)",
            top="import os, sys\n",
        ),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_a_cheat_is_called_by_its_name(tmp_path: Path, name: str) -> None:
    caught, cheat = CHEATS[name]
    played = play(tmp_path, cheat, budget_seconds=3 if caught == "DeferredWork" else ONE_ROUND)
    assert caught in played.names, played.why


def test_work_left_behind_by_fewer_than_half_of_the_processes_is_called_by_its_name(tmp_path: Path) -> None:
    leaves = (
        "if LEAVES:\n    threading.Thread(target=burn, args=(400000,)).start()\nelse:\n    burn()\nreturn answer(n)"
    )
    cheat = instead(leaves, top="import os, threading\nLEAVES = os.urandom(1)[0] < 115\n")
    played = play(tmp_path, cheat, budget_seconds=10, precision_percent="0")
    assert "DeferredWork" in played.names, played.why


TWINS = {
    "reads clocks": "begin = clock(), time.monotonic(), time.time()\nburn()\nreturn answer(n) if clock() >= begin[0] else None",
    "uses timeit": "timeit.timeit(burn, number=1)\nreturn answer(n)",
    "waits for its thread": "t = threading.Thread(target=burn)\nt.start()\nt.join()\nreturn answer(n)",
    "waits for its signal": "signal.signal(signal.SIGUSR1, lambda *_: burn())\nsignal.raise_signal(signal.SIGUSR1)\nreturn answer(n)",
    "waits for its child": "pid = os.fork()\nif pid == 0:\n    burn()\n    os._exit(0)\nos.waitpid(pid, 0)\nreturn answer(n)",
    "consumes its generator": "return list(one for _ in map(burn, [6000]) for one in answer(n))",
    "returns a list of its own kind": "burn()\nreturn Now(answer(n))",
    "answers rightly with less work": "burn(600)\nreturn answer(n)",
    "computes otherwise with the same precision": "burn()\nreturn [one + 0.0 if isinstance(one, float) else one for one in answer(n)]",
    "looks at the stack": "sys._getframe()\nburn()\nreturn answer(n)",
    "looks at its home": "os.environ['HOME'], sys.argv[0]\nburn()\nreturn answer(n)",
    "turns the garbage collector off and on": "gc.disable()\nburn()\ngc.enable()\nreturn answer(n)",
    "asks for its CPUs and its priority": "os.sched_getaffinity(0), os.nice(0)\nburn()\nreturn answer(n)",
}


def all_of(bodies: list[str]) -> str:
    """A package whose `work` does each of these in turn, a tenth of the usual work each."""
    top = "import gc, os, signal, sys, threading, time, timeit\nfrom time import perf_counter as clock\nclass Now(list): pass\n"
    functions = "".join(function(f"work{number}", body) for number, body in enumerate(bodies))
    calls = ", ".join(f"work{number}(n)" for number in range(len(bodies)))
    return f"{top}\n{WORK.replace('60000', '6000')}{functions}{function('work', f'return [{calls}]')}"


def test_honest_twins_of_all_of_them_are_called_nothing(tmp_path: Path) -> None:
    base = all_of(["burn()\nreturn answer(n)"] * len(TWINS))
    innocent(play(tmp_path, all_of(list(TWINS.values())), base=base))


def test_a_server_that_polls_on_both_sides_is_called_nothing(tmp_path: Path) -> None:
    serve = "import os\nCHILDREN = []\ndef serve():\n    if not CHILDREN:\n        CHILDREN.append(os.fork())\n        while CHILDREN == [0]: burn()\n"
    script = six(setup="tiny.serve(); return seed % 1000", experiment="return tiny.work(data)")
    twin = play(tmp_path, HONEST + serve, base=HONEST + serve, script=script)
    innocent(twin)
    assert "busy even before the first call" in twin.words("deferred_work")


def test_an_honest_list_of_its_own_kind_is_called_nothing_by_itself(tmp_path: Path) -> None:
    innocent(play(tmp_path, instead(TWINS["returns a list of its own kind"], top="class Now(list): pass\n")))


def test_a_memo_between_calls_moves_the_verdict_to_first_calls(tmp_path: Path) -> None:
    more: dict[str, Any] = {"script": UNSEEDED, "base": HONEST, "budget_seconds": 12}
    memo = instead("if n not in KEPT:\n    burn()\n    KEPT[n] = answer(n)\nreturn KEPT[n]", top="KEPT = {}\n")
    cheat = play(tmp_path / "cheat", memo, **more)
    assert "memoised" in cheat.names, cheat.why
    assert cheat.ratio > 20
    told = cheat.measured.summary("head")
    assert (told.headline, told.judgement.verdict == "faster") == ("first_call", False)
    assert float(cheat.report.data["speedup"]) < 5
    innocent(play(tmp_path / "twin", HALF, **more, minimum_effect_percent="5"))


def test_a_write_into_the_other_revisions_tree_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "cheat/base/tree/tiny/__init__.py"
    writes = instead(f"open({str(path)!r}, 'a').write('# slower')\nburn()\nreturn answer(n)")
    cheat = play(tmp_path / "cheat", writes)
    assert "ResultInvalid" in cheat.names, cheat.why
    assert "tiny/__init__.py of base" in cheat.measured.outcome["tail"]
    reads = writes.replace("'a').write('# slower')", "'r').read()").replace("cheat/", "twin/")
    innocent(play(tmp_path / "twin", reads))


def test_a_reference_lies_where_no_revision_finds_it(tmp_path: Path) -> None:
    top = "import glob, os\n"
    looks = "found = [p for p in glob.glob(os.path.join(os.environ['TMPDIR'], '../../results/*/*')) if os.path.getsize(p)]\n"
    steals = instead(looks + "burn(100 if found else 60000)\nreturn answer(n)", top=top)
    cheat = play(tmp_path, steals, script=UNSEEDED, **FIRST_LOOK)
    assert cheat.report.reason is None, cheat.why
    assert len(cheat.measured.rounds) >= ranks.LOOKS[0], "references of earlier rounds have to exist"
    assert cheat.ratio < 5


def test_a_check_that_looks_at_nothing_is_refused_on_base(tmp_path: Path) -> None:
    base = make_environment(tmp_path / "base", {"tiny/__init__.py": HONEST.replace("60000", "20000")})
    job = Job(tmp_path, {"base": base, "base2": base})
    blind = six(setup="return seed", experiment="return tiny.work(data)", check="assert len(a) == len(b)")
    assert job.measure(blind, budget_seconds=4).reason == "VacuousEquivalence"
    sees = six(setup="return seed", experiment="return tiny.work(data)")
    measured = job.measure(sees, **FIRST_LOOK)
    assert measured.reason is None, measured.why


TORCH = '''\
"""As much of torch as a timer needs, over the stub driver."""
'''
TORCH_CUDA = """\
import kernels


class Event:
    def __init__(self, enable_timing=False): self.at = 0.0
    def record(self):
        import time
        self.at = time.perf_counter()
    def elapsed_time(self, other): return 1e3 * (other.at - self.at)


def is_available(): return True
def is_initialized(): return bool(kernels.context)
def synchronize(): kernels.wait()
"""
ON_TORCH = {"kernels.py": KERNELS, "torch/__init__.py": TORCH + "from . import cuda\n", "torch/cuda.py": TORCH_CUDA}
LAUNCHES = "kernels.start()\nkernels.launch(8_000_000)\nreturn answer(n)"
IMPORTS = "import kernels, torch\n"


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> StubGpu:
    stub = StubGpu.build(tmp_path_factory.mktemp("stub"))
    stub.set()
    return stub


@pytest.fixture(scope="module")
def patched_torch(stub: StubGpu, tmp_path_factory: pytest.TempPathFactory) -> Played:
    patch = (
        "class Fast(torch.cuda.Event):\n    def elapsed_time(self, other): return 0.001\n"
        "torch.cuda.Event = Fast\ntorch.cuda.synchronize = lambda: None\n"
    )
    root, honest = tmp_path_factory.mktemp("torch"), instead(LAUNCHES, top=IMPORTS)
    return play(
        root, instead(LAUNCHES, top=IMPORTS + patch), base=honest, environ=stub.variables(), more=ON_TORCH
    )  # fmt: skip


@pytest.mark.parametrize("name", ["torch.cuda.Event", "torch.cuda.Event.elapsed_time", "torch.cuda.synchronize"])
def test_patched_torch_is_called_by_its_name(patched_torch: Played, name: str) -> None:
    assert "PatchedTimer" in patched_torch.names, patched_torch.why
    assert name in patched_torch.words("timers").removeprefix("replaced: ").split(", ")


def test_torch_as_it_is_is_called_nothing_and_its_kernels_are_inside_the_clock(stub: StubGpu, tmp_path: Path) -> None:
    honest = instead(LAUNCHES, top=IMPORTS)
    twin = play(tmp_path, honest, base=honest, environ=stub.variables(), more=ON_TORCH)
    innocent(twin)
    assert twin.measured.rounds[0]["samples"]["head"][0]["wall_ns"] >= 8_000_000


WRITES_ROUNDS = "here = os.path.join(os.environ['TMPDIR'], '../../../../out')\nif os.path.isdir(here): open(os.path.join(here, 'rounds.jsonl'), 'w').write('{}')\n"
KEEPS_ON_DISK = "path = os.path.join(os.environ['XDG_CACHE_HOME'], str(n))\nif os.path.exists(path): return answer(n)\nburn()\nopen(path, 'w').close()\nreturn answer(n)"
NOTHING_GAINED = {
    "rounds of its own, a claim of the script, values on disk": (
        instead(WRITES_ROUNDS + KEEPS_ON_DISK, top="import os\n"),
        six(setup="return seed", experiment="return tiny.work(data)").replace("return 0.0", "return 1e-9"),
        HONEST,
    ),
    "an input left sorted for the next call": (
        instead("burn(60000 if n[0] else 100)\nn[0] = 0\nreturn [len(n)]"),
        six(setup="return [1, 2]", experiment="return tiny.work(data)"),
        instead("burn()\nreturn [len(n)]"),
    ),
}


@pytest.mark.parametrize("name", NOTHING_GAINED)
def test_what_is_not_called_by_a_name_brings_nothing(tmp_path: Path, name: str) -> None:
    head, script, base = NOTHING_GAINED[name]
    played = play(tmp_path, head, script=script, base=base, **FIRST_LOOK)
    assert played.report.reason is None, played.why
    assert 0.2 < played.ratio < 5, played.why


HELPER = """\
import os, select, time
ENDS = []


def serve(work):
    asks, answers = os.pipe(), os.pipe()
    if os.fork() == 0:
        while os.read(asks[0], 1):
            work()
            os.write(answers[1], b".")
    ENDS[:] = asks[1], answers[0]


def in_a_child():
    pid = os.fork()
    if pid == 0:
        burn()
        os._exit(0)
    os.waitpid(pid, 0)


def wait_as_if_others_ran():
    os.write(ENDS[0], b".")
    while not select.select([ENDS[1]], [], [], 0)[0]:
        os.sched_yield()
    os.read(ENDS[1], 1)
"""
HONEST_IN_PILOTS = "if len(os.sched_getaffinity(0)) > 1:\n    burn()\n    return answer(n)\nif not ENDS: serve({})\nwait_as_if_others_ran()\n{}return answer(n)"
WAITS_FOR_ITSELF = {
    "a helper": HONEST_IN_PILOTS.format("burn", ""),
    "a helper's short-lived child": HONEST_IN_PILOTS.format("in_a_child", ""),
    "a helper, and sleeps besides": HONEST_IN_PILOTS.format("burn", "time.sleep(0.01)\n"),
}


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="where there is one CPU a pilot looks like a round")
@pytest.mark.parametrize("name", WAITS_FOR_ITSELF)
def test_who_waits_for_his_own_gains_nothing_by_it(tmp_path: Path, name: str) -> None:
    played = play(tmp_path, instead(WAITS_FOR_ITSELF[name], top=HELPER), budget_seconds=2)
    assert played.measured.run["plan"]["single_cpu"] is True, "the pilots have to be deceived"
    assert played.ratio < 1.3, played.why


def test_a_call_that_works_in_a_child_is_not_one_that_needs_one_cpu(tmp_path: Path) -> None:
    twin = play(tmp_path, HONEST, base=instead("in_a_child()\nreturn answer(n)", top=HELPER))
    innocent(twin)
    assert twin.measured.run["plan"]["single_cpu"] is False
