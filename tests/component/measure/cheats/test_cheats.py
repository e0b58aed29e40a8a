"""Ways in which a revision or a test looks faster than it is, each beside an honest twin: the cheat is called by its name, the twin is not.

Every case is a real Job over base and head, judged by the real report. A few cheats are not named but bring nothing: those come last.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from isobench_runner.contract import Report
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


def instead(body: str, *, top: str = "") -> str:
    """The package with another `work`."""
    return f"{top}\n{WORK}\n\ndef work(n):\n" + "".join(f"    {line}\n" for line in body.splitlines())


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

    @property
    def why(self) -> str:
        """For a failed assertion."""
        return f"{self.names} {self.measured.why} {self.report.tail}"


def play(root: Path, head: str, *, script: str = SEEDED, base: str = HONEST, environ: dict[str, str] | None = None, more: dict[str, str] | None = None, **plan: Any) -> Played:  # fmt: skip
    """Measure head beside base and report it."""
    sides = {
        name: make_environment(root / name, {"tiny/__init__.py": source, **(more or {})})
        for name, source in (("base", base), ("head", head))
    }
    measured = Job(root, sides).measure(script, environ=environ, **({"budget_seconds": 2} | plan))
    return Played(measured, measured.report(Store(root / "store")))


FOUND = ("DeferredWork", "LazyResult", "PatchedTimer", "NotEquivalent", "ResultInvalid", "settings_changed", "memoised")

CASES: dict[str, tuple[str, str, str]] = {
    "replaces time.perf_counter": (
        "PatchedTimer",
        instead("burn(30000)\nreturn answer(n)", top="import time\ntime.perf_counter = lambda: 0.0\n"),
        instead(
            "begin = clock()\nburn()\nreturn answer(n) if clock() >= begin else None",
            top="from time import perf_counter as clock\n",
        ),
    ),
    "replaces timeit's timer": (
        "PatchedTimer",
        instead("burn(30000)\nreturn answer(n)", top="import timeit\ntimeit.default_timer = lambda: 0.0\n"),
        instead("timeit.timeit(burn, number=1)\nreturn answer(n)", top="import timeit\n"),
    ),
    "replaces time.monotonic while it works": (
        "PatchedTimer",
        instead("import time\ntime.monotonic = lambda: 0.0\nburn(30000)\nreturn answer(n)"),
        instead("import time\ntime.monotonic()\nburn()\nreturn answer(n)"),
    ),
    "leaves work to a thread": (
        "DeferredWork",
        instead("threading.Thread(target=burn, args=(400000,)).start()\nreturn answer(n)", top="import threading\n"),
        instead("t = threading.Thread(target=burn)\nt.start()\nt.join()\nreturn answer(n)", top="import threading\n"),
    ),
    "leaves work to a child": (
        "DeferredWork",
        instead("if os.fork() == 0:\n    burn(2000000)\n    os._exit(0)\nreturn answer(n)", top="import os\n"),
        instead(
            "pid = os.fork()\nif pid == 0:\n    burn()\n    os._exit(0)\nos.waitpid(pid, 0)\nreturn answer(n)",
            top="import os\n",
        ),
    ),
    "returns a generator": (
        "LazyResult",
        instead("return (one for _ in [burn()] for one in answer(n))").replace("[burn()]", "map(burn, [60000])"),
        instead("return list(one for _ in map(burn, [60000]) for one in answer(n))"),
    ),
    "returns a list that works when it is read": (
        "LazyResult",
        instead(
            "return Later([n])",
            top="class Later(list):\n    def __iter__(self):\n        burn(400000)\n        return iter(answer(self[0]))\n    def __len__(self): return 2\n",
        ),
        instead("burn()\nreturn Now(answer(n))", top="class Now(list): pass\n"),
    ),
    "skips the work and answers wrongly": (
        "NotEquivalent",
        instead("return [n * 3, 0.0]"),
        instead("burn(30000)\nreturn answer(n)"),
    ),
    "computes with less precision": (
        "NotEquivalent",
        instead("burn(30000)\nreturn [round(one, 3) for one in answer(n)]"),
        instead("burn(30000)\nreturn [one + 0.0 if isinstance(one, float) else one for one in answer(n)]"),
    ),
    "answers otherwise where it sees the harness on the stack": (
        "NotEquivalent",
        instead(
            "frame = sys._getframe()\nwhile frame:\n    if 'worker' in frame.f_code.co_filename:\n        return [n, n]\n    frame = frame.f_back\nburn()\nreturn answer(n)",
            top="import sys\n",
        ),
        instead("sys._getframe()\nburn()\nreturn answer(n)", top="import sys\n"),
    ),
    "answers otherwise under a private home": (
        "NotEquivalent",
        instead(
            "if os.environ['HOME'].endswith('home') and sys.argv[0].endswith('test_generated.py'): return [n, n]\nburn()\nreturn answer(n)",
            top="import os, sys\n",
        ),
        instead("os.environ['HOME']\nburn()\nreturn answer(n)", top="import os, sys\n"),
    ),
    "turns the garbage collector off": (
        "settings_changed",
        instead("burn()\nreturn answer(n)", top="import gc\ngc.disable()\n"),
        instead("gc.disable()\nburn()\ngc.enable()\nreturn answer(n)", top="import gc\n"),
    ),
    "takes other CPUs": (
        "settings_changed",
        instead(
            "os.sched_setaffinity(0, range(os.cpu_count()))\nburn()\nreturn answer(n)", top="import os\n"
        ),
        instead("os.sched_getaffinity(0)\nburn()\nreturn answer(n)", top="import os\n"),
    ),
    "changes its priority": (
        "settings_changed",
        instead("burn()\nreturn answer(n)", top="import os\nos.nice(3)\n"),
        instead("burn()\nreturn answer(n)", top="import os\nos.nice(0)\n"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_cheat_is_called_by_its_name_and_its_honest_twin_is_not(tmp_path: Path, name: str) -> None:
    caught, cheat, honest = CASES[name]
    played = play(tmp_path / "cheat", cheat, script=READS)
    assert caught in played.names, played.why
    twin = play(tmp_path / "twin", honest, script=READS)
    assert not twin.names & set(FOUND), twin.why
    assert twin.report.reason is None, twin.why


def test_a_memo_between_calls_moves_the_verdict_to_first_calls(tmp_path: Path) -> None:
    longer = {"script": UNSEEDED, "base": HONEST.replace("60000", "240000"), "budget_seconds": 8}
    memo = instead("if n not in KEPT:\n    burn()\n    KEPT[n] = answer(n)\nreturn KEPT[n]", top="KEPT = {}\n")
    cheat = play(tmp_path / "cheat", memo.replace("60000", "240000"), **longer)
    assert "memoised" in cheat.names, cheat.why
    assert cheat.ratio > 20
    assert float(cheat.report.data["speedup"]) < 5
    assert "memoised" not in play(tmp_path / "twin", HALF.replace("30000", "120000"), **longer).names


def test_a_write_into_the_other_revisions_tree_ends_the_run(tmp_path: Path) -> None:
    path = tmp_path / "cheat/base/tree/tiny/__init__.py"
    writes = instead(f"open({str(path)!r}, 'a').write('# slower')\nburn()\nreturn answer(n)")
    cheat = play(tmp_path / "cheat", writes)
    assert "ResultInvalid" in cheat.names, cheat.why
    assert "tiny/__init__.py of base" in cheat.measured.outcome["tail"]
    reads = writes.replace("'a').write('# slower')", "'r').read()").replace("cheat/", "twin/")
    assert play(tmp_path / "twin", reads).report.reason is None


def test_a_reference_lies_where_no_revision_finds_it(tmp_path: Path) -> None:
    top = "import glob, os\n"
    looks = "found = [p for p in glob.glob(os.path.join(os.environ['TMPDIR'], '../../results/*/*')) if os.path.getsize(p)]\n"
    steals = instead(looks + "burn(100 if found else 60000)\nreturn answer(n)", top=top)
    cheat = play(tmp_path, steals, script=UNSEEDED, budget_seconds=4)
    assert cheat.report.reason is None, cheat.why
    assert cheat.ratio < 3


def test_a_check_that_looks_at_nothing_is_refused_on_base(tmp_path: Path) -> None:
    base = make_environment(tmp_path / "base", {"tiny/__init__.py": HONEST})
    job = Job(tmp_path, {"base": base, "base2": base})
    blind = six(setup="return seed", experiment="return tiny.work(data)", check="assert len(a) == len(b)")
    assert job.measure(blind, budget_seconds=2).reason == "VacuousEquivalence"
    sees = six(setup="return seed", experiment="return tiny.work(data)")
    assert job.measure(sees, budget_seconds=1).reason is None


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


@pytest.mark.parametrize(
    "patch",
    ["torch.cuda.Event = object", "torch.cuda.Event.elapsed_time = lambda a, b: 0.001", "torch.cuda.synchronize = lambda: None"],
)  # fmt: skip
def test_patched_torch_is_called_by_its_name(tmp_path: Path, patch: str) -> None:
    stub = StubGpu.build(tmp_path / "stub")
    stub.set()
    more = {"kernels.py": KERNELS, "torch/__init__.py": TORCH + "from . import cuda\n", "torch/cuda.py": TORCH_CUDA}
    body = "kernels.start()\nkernels.launch(8_000_000)\nreturn answer(n)"
    top = "import kernels, torch\n"
    honest = instead(body, top=top)
    cheat = play(
        tmp_path / "cheat",
        instead(body + "\n", top=top + patch + "\n"),
        base=honest,
        environ=stub.variables(),
        more=more,
    )
    assert "PatchedTimer" in cheat.names, cheat.why
    twin = play(tmp_path / "twin", honest, base=honest, environ=stub.variables(), more=more)
    assert not twin.names & set(FOUND), twin.why
    assert twin.measured.rounds[0]["samples"]["head"][0]["wall_ns"] >= 8_000_000


NOTHING_GAINED = {
    "the script says how fast it is": (HONEST, SEEDED.replace("return 0.0", "return 1e-9")),
    "writes rounds of its own": (
        instead(
            "here = os.path.join(os.environ['TMPDIR'], '../../../../out')\nif os.path.isdir(here): open(os.path.join(here, 'rounds.jsonl'), 'w').write('{}')\nburn()\nreturn answer(n)",
            top="import os\n",
        ),
        SEEDED,
    ),
    "keeps values on disk": (
        instead(
            "path = os.path.join(os.environ['XDG_CACHE_HOME'], str(n))\nif os.path.exists(path): return answer(n)\nburn()\nopen(path, 'w').close()\nreturn answer(n)",
            top="import os\n",
        ),
        six(setup="return seed", experiment="return tiny.work(data)"),
    ),
    "leaves its input sorted for the next call": (
        instead("burn(60000 if n[0] else 100)\nn[0] = 0\nreturn [len(n)]"),
        six(setup="return [1, 2]", experiment="return tiny.work(data)"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING_GAINED)
def test_what_is_not_called_by_a_name_brings_nothing(tmp_path: Path, name: str) -> None:
    head, script = NOTHING_GAINED[name]
    base = instead("burn()\nreturn [len(n)]") if "sorted" in name else HONEST
    played = play(tmp_path, head, script=script, base=base)
    assert played.report.reason is None, played.why
    assert 0.4 < played.ratio < 2.5, played.why
