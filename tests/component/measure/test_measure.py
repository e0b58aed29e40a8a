"""A measuring Job over tiny prepared packages, run as its container runs: real interpreters, real workers, the raw files it leaves."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

import pytest

from isobench_runner.harness.said import CUT, MAX_BYTES
from support.prepared import Job, Measured, changed_function, found_interpreters, make_environment, six
from support.rivals import rivals

pytestmark = pytest.mark.slow

BASE = """\
CACHE = {}
def work(seed):
    x = seed
    for i in range(30000):
        x = (x * 31 + i) % 1000003
    return x

def kept(seed):
    if "it" not in CACHE:
        CACHE["it"] = [work(seed) for _ in range(8)]
    return CACHE["it"][0]

def untouched(seed):
    return seed
"""
FAST = BASE.replace("range(30000)", "range(10000)").replace("return x\n", "return x if False else seed * 7\n")
SLOW = BASE.replace("return x\n", "return x if False else seed * 7\n")
RAISES = BASE.replace("    return x\n", "    raise TypeError('renamed argument')\n")
OTHER = SLOW.replace("seed * 7", "seed * 8")
FIRST_LOOK: dict[str, Any] = {"budget_seconds": 60, "minimum_effect_percent": "900"}
"""Ends at the first look, eight rounds on: whatever is within a factor of ten is no change."""
SEEDED = six(setup="return seed % 1000", experiment="return [tiny.work(data)]")


def job_of(root: Path, *, base: str = SLOW, other: str | None = None, name: str = "head") -> Job:
    first = make_environment(root / "base", {"tiny/__init__.py": base})
    if other is None:
        return Job(root, {"base": first, "base2": first})
    return Job(root, {"base": first, name: make_environment(root / name, {"tiny/__init__.py": other})})


def speedup(measured: Measured, other: str = "head") -> float:
    sides = {
        name: median(sample["wall_ns"] for line in measured.rounds for sample in line["samples"][name])
        for name in ("base", other)
    }
    return sides["base"] / sides[other]


def test_a_head_that_does_a_third_of_the_work_is_measured_as_such(tmp_path: Path) -> None:
    measured = job_of(tmp_path, other=FAST).measure(SEEDED, **FIRST_LOOK)
    assert measured.reason is None, measured.why
    cpu = measured.summary("head").cpu
    assert cpu is not None
    assert 2 < cpu.speedup < 4.5
    assert speedup(measured) > 1.5
    assert measured.run["equivalence"] == {"equal": True, "words": measured.run["equivalence"]["words"]}
    assert measured.run["checks"]["unseen_seed"]["ok"] is True
    assert measured.run["plan"]["granularity"] == "function"
    assert {"memoised", "clock_mismatch", "deferred_work", "patched_timer", "lazy_result"}.isdisjoint(
        measured.run["flags"]
    )


def test_a_cpu_that_others_hold_does_not_lengthen_work_that_needs_one(tmp_path: Path) -> None:
    longer = job_of(tmp_path, base=SLOW.replace("30000", "300000"), other=FAST.replace("10000", "100000"))
    with rivals():
        measured = longer.measure(SEEDED, alone=True, **FIRST_LOOK)
    assert measured.reason is None, measured.why
    samples = [one for line in measured.rounds for side in line["samples"].values() for one in side]
    waited = [one for one in samples if one["wait_ns"] > 1_000_000]
    assert waited
    assert 0.99 < median(one["wall_ns"] / one["cpu_ns"] for one in waited) < 1.1
    for one in waited:
        assert one["wall_ns"] > 0.99 * one["cpu_ns"]
        assert one["wall_ns"] + one["wait_ns"] <= one["parent_ns"]
        assert one["wait_ns"] <= one["run_delay_ns"]
    assert [line["cause"] for line in measured.rounds if "waited" in (line["cause"] or "")] == []
    assert "clock_mismatch" not in measured.run["flags"]


def test_raw_rounds_have_the_fields_that_the_report_recomputes_from(tmp_path: Path) -> None:
    measured = job_of(tmp_path, other=FAST, name="main").measure(SEEDED, budget_seconds=2)
    line = measured.rounds[0]
    assert set(line) == {
        "round",
        "order",
        "hashseed",
        "pad",
        "samples",
        "cold",
        "startup_ns",
        "startup_cpu_ns",
        "spent_ns",
        "pressure",
        "gpu",
        "discarded",
        "cause",
    }
    assert sorted(line["order"]) == ["base", "main"]
    sample = line["samples"]["main"][0]
    fields = {
        "wall_ns",
        "parent_ns",
        "cpu_ns",
        "gpu_ms",
        "run_delay_ns",
        "minflt",
        "majflt",
        "nvcsw",
        "nivcsw",
        "wait_ns",
    }
    assert set(sample) == fields | {"parent_delay_ns", "threads_before", "threads_after", "drain_ns", "keep"}
    assert len(line["samples"]["base"]) == measured.run["plan"]["k"]
    assert [sum(one["keep"] for one in samples) for samples in line["samples"].values()] == [1, 1]
    assert set(measured.run) == {
        "v", "plan", "fingerprint", "checks", "flags", "equivalence", "changed_share", "calibration", "stopped", "gpu_seconds",
    }  # fmt: skip
    assert measured.run["fingerprint"]["pythons"]["main"]["python"]


def test_orders_and_seeds_follow_from_the_plans_seed(tmp_path: Path) -> None:
    job = job_of(tmp_path, other=FAST)
    drawn = [
        [
            (line["order"], line["hashseed"], line["pad"])
            for line in job.measure(SEEDED, budget_seconds=0.5, seed=seed).rounds
        ]
        for seed in (5, 5, 6)
    ]
    rounds = min(map(len, drawn))
    first, again, another = (one[:rounds] for one in drawn)
    assert first
    assert first == again != another


def test_base_against_itself_passes_every_check_and_is_no_change(tmp_path: Path) -> None:
    measured = job_of(tmp_path).measure(SEEDED, changed=changed_function(SLOW, "work"), **FIRST_LOOK)
    assert measured.reason is None, measured.why
    checks = measured.run["checks"]
    for name in (
        "runs",
        "package",
        "sample_size",
        "determinism",
        "mutated_reference",
        "changed_lines",
        "changed_share",
        "equivalence",
    ):
        assert checks[name]["ok"] is True, (name, checks[name])
    assert measured.run["changed_share"] > 0.9
    cpu = measured.summary("base2").cpu
    assert cpu is not None
    assert 0.7 < cpu.speedup < 1.4


@pytest.mark.parametrize(
    ("script", "reason", "words"),
    [
        (six(setup="return seed", experiment="return [tiny.work(data)]", check="assert len(a) == len(b)"), "VacuousEquivalence", "every value was changed"),
        (six(setup="import os; return os.urandom(4).hex()", experiment="return data + str(tiny.work(1))"), "NotDeterministic", "differ"),
        (six(experiment="return list({str(i) for i in range(50)}) + [tiny.work(1)]"), "NotDeterministic", "differ"),
        (six(experiment="return missing_name"), "TestFailed", "NameError"),
        (six(head="import not_there", experiment="return 1"), "TestFailed", "No module named 'not_there'"),
        (six(experiment="return [tiny.work(1) for _ in range(200)]"), "SampleTooLong", "with a budget of"),
        ("def setup(:", "TestFailed", "SyntaxError"),
    ],
)  # fmt: skip
def test_a_test_that_cannot_be_trusted_is_refused(tmp_path: Path, script: str, reason: str, words: str) -> None:
    measured = job_of(tmp_path).measure(script, budget_seconds=8)
    assert measured.reason == reason, measured.why
    assert words in measured.outcome["tail"]
    assert measured.rounds == []


def test_a_low_share_asks_once_for_a_better_test_and_is_a_flag_otherwise(tmp_path: Path) -> None:
    job, changed = job_of(tmp_path), changed_function(SLOW, "untouched")
    asked = job.measure(SEEDED, changed=changed, ask_better=True, origin="generated")
    assert asked.reason == "LowShare", asked.why
    assert "work (tiny/__init__.py" in asked.outcome["tail"]
    assert asked.run["changed_share"] == 0
    flagged = job.measure(SEEDED, changed=changed, budget_seconds=1)
    assert flagged.reason is None, flagged.why
    assert {"low_share", "does_not_hit_change"} <= set(flagged.run["flags"])


def test_work_that_only_the_first_call_does_gets_a_process_per_sample(tmp_path: Path) -> None:
    measured = job_of(tmp_path).measure(six(experiment="return [tiny.kept(1)]"), budget_seconds=2)
    assert measured.reason is None, measured.why
    assert "state_between_calls" in measured.run["flags"]
    assert (measured.run["plan"]["k"], measured.run["plan"]["warmups"]) == (1, 0)
    whole = job_of(tmp_path / "plain").measure(six(experiment="return [tiny.work(1)]"), budget_seconds=1)
    typical = median(s["wall_ns"] for line in measured.rounds for s in line["samples"]["base"])
    assert typical > 3 * median(s["wall_ns"] for line in whole.rounds for s in line["samples"]["base"])


def test_a_call_of_microseconds_is_looped_and_flagged(tmp_path: Path) -> None:
    measured = job_of(tmp_path).measure(
        six(setup="return seed", experiment="return [tiny.untouched(data)]"), budget_seconds=2
    )
    assert measured.reason is None, measured.why
    assert "short_sample" in measured.run["flags"]
    assert measured.run["plan"]["loops"] > 1000
    assert measured.run["calibration"]["distinct"] is False, "a ring holds 512 inputs"
    assert measured.rounds[0]["samples"]["base"][0]["wall_ns"] > 2_000_000


def test_inputs_are_fresh_for_every_call_of_a_setup_without_a_seed(tmp_path: Path) -> None:
    script = six(
        setup="return [3, 1, 2]", experiment="assert data == [3, 1, 2]; data.sort(); return [tiny.work(1), *data]"
    )
    measured = job_of(tmp_path).measure(script, budget_seconds=1)
    assert measured.reason is None, measured.why
    assert measured.run["plan"]["inputs"] == "copy"


def test_head_that_raises_is_changed_behaviour(tmp_path: Path) -> None:
    measured = job_of(tmp_path, other=RAISES).measure(SEEDED)
    assert measured.reason == "BehaviourChanged", measured.why
    assert "renamed argument" in measured.outcome["tail"]
    assert measured.outcome["detail"]["revision"] == "head"


def test_head_that_computes_something_else_is_not_equivalent(tmp_path: Path) -> None:
    measured = job_of(tmp_path, other=OTHER).measure(SEEDED, budget_seconds=0.5)
    assert measured.reason is None, measured.why
    assert measured.run["equivalence"]["equal"] is False


def test_a_check_that_raises_over_a_result_of_head_refuses_it(tmp_path: Path) -> None:
    script = six(
        setup="return seed % 1000", experiment="return [tiny.work(data)]", check="assert a[0] + b[0] == 2 * a[0]"
    )
    measured = job_of(tmp_path, other=SLOW.replace("seed * 7", "None")).measure(script, budget_seconds=0.5)
    assert measured.reason is None, measured.why
    assert measured.run["equivalence"]["equal"] is False
    assert "TypeError" in measured.run["equivalence"]["words"]


def test_a_result_of_another_type_is_told_where_the_check_lets_it_pass(tmp_path: Path) -> None:
    script = six(setup="return seed % 1000", experiment="return tiny.work(data)")
    other = SLOW.replace("seed * 7", "float(seed * 7)")
    measured = job_of(tmp_path, other=other).measure(script, budget_seconds=0.5)
    assert measured.reason is None, measured.why
    assert measured.run["equivalence"]["equal"] is True
    assert measured.run["checks"]["result_types"] == {"ok": False, "words": "base returns a int, head a float"}


def test_what_a_loop_returns_is_what_is_compared(tmp_path: Path) -> None:
    looped = "import sys\ndef work(seed):\n    return seed * 7\n"
    skips = looped.replace("    return", "    if sys._getframe(2).f_code.co_name == 'run': return 0\n    return")
    measured = job_of(tmp_path, base=looped, other=skips).measure(SEEDED, budget_seconds=0.5)
    assert measured.reason is None, measured.why
    assert measured.run["plan"]["loops"] > 1
    assert measured.run["equivalence"]["equal"] is False


def test_a_setup_that_fills_the_memory_is_never_run_beside_what_it_made_before(tmp_path: Path) -> None:
    engine = """
import time
class Engine:
    alive = 0
    def __init__(self, *_):
        if Engine.alive: raise MemoryError("less free memory than desired")
        Engine.alive += 1
        time.sleep(0.3)
    def __del__(self): Engine.alive -= 1
    def __deepcopy__(self, memo): raise TypeError("an engine")
"""
    for setup in ("return tiny.Engine()", "return tiny.Engine(seed)"):
        script = six(setup=setup, experiment="return [tiny.work(1)]")
        measured = job_of(tmp_path / setup[-5:-1], base=SLOW + engine).measure(script, budget_seconds=1)
        assert measured.reason is None, measured.why
        assert measured.run["plan"]["inputs"] == "once"


def test_calls_that_change_their_input_share_none(tmp_path: Path) -> None:
    script = six(
        setup="time.sleep(0.02); return random.Random(seed).sample(range(2000), 2000)",
        experiment="assert data[:3] != [0, 1, 2]; data.sort(); return data[:3]",
        head="import random, time",
    )
    measured = job_of(tmp_path).measure(script, budget_seconds=2)
    assert measured.reason is None, measured.why
    assert measured.run["plan"]["loops"] == 8
    assert "share one of the" in measured.run["checks"]["inputs_change"]["words"]
    assert measured.run["equivalence"]["equal"] is True


def test_an_input_may_be_the_path_of_a_file_of_its_own(tmp_path: Path) -> None:
    script = six(
        setup="f = tempfile.NamedTemporaryFile('w', delete=False); f.write(str(seed % 1000)); f.close(); return f.name",
        experiment="return [tiny.work(int(open(data).read()))]",
        head="import tempfile, tiny",
    )
    measured = job_of(tmp_path).measure(script, budget_seconds=0.5)
    assert measured.reason is None, measured.why
    assert measured.run["checks"]["same_inputs"]["ok"] is None


def test_a_check_with_the_reference_second_gets_it_there(tmp_path: Path) -> None:
    script = six(setup="return seed", experiment="return [tiny.work(data)]").replace(
        "check_equivalence(a, b): assert a == b",
        "check_equivalence(current_result, reference_result): assert reference_result == current_result",
    )
    assert job_of(tmp_path).measure(script, budget_seconds=1).reason is None


def test_a_package_from_elsewhere_is_refused(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "tiny").mkdir(parents=True)
    (elsewhere / "tiny/__init__.py").write_text(SLOW)
    script = SEEDED.replace("import json\n", f"import json, sys\nsys.path.insert(0, {str(elsewhere)!r})\n", 1)
    measured = job_of(tmp_path).measure(script)
    assert measured.reason == "PackageNotFromRevision", measured.why
    assert str(elsewhere) in measured.outcome["tail"]


def test_a_mock_in_place_of_the_package_is_flagged_where_given_and_refused_where_generated(tmp_path: Path) -> None:
    job = job_of(tmp_path)
    mock = six(head="import time", experiment="return [sum(i * i for i in range(20000))]")
    assert "target_mocked" in job.measure(mock, budget_seconds=1).run["flags"]
    assert job.measure(mock, origin="generated").reason == "TargetMocked"


def test_the_tree_is_importable_only_by_path(tmp_path: Path) -> None:
    measured = job_of(tmp_path).measure(SEEDED, path=[])
    assert measured.reason == "TestFailed", measured.why
    assert "No module named 'tiny'" in measured.outcome["tail"]


def test_the_work_folder_looks_like_the_checkout_and_the_tree_stays_as_it_was(tmp_path: Path) -> None:
    base = make_environment(tmp_path / "base", {"tiny/__init__.py": SLOW, "data/input.txt": "42"})
    script = six(
        extra=["import os"],
        experiment="open('new.txt', 'w').write('x'); return [tiny.work(int(open('data/input.txt').read())), os.path.exists('_generated_perf_tests/test_generated.py')]",
    )
    before = sorted(path for path in (base / "tree").rglob("*"))
    measured = Job(tmp_path, {"base": base, "base2": base}).measure(script, budget_seconds=1)
    assert measured.reason is None, measured.why
    assert sorted(path for path in (base / "tree").rglob("*")) == before


@pytest.mark.parametrize("interpreter", found_interpreters(), ids=lambda path: path.parent.parent.name)
def test_every_interpreter_found_measures(tmp_path: Path, interpreter: Path) -> None:
    python = str(interpreter)
    base = make_environment(tmp_path / "base", {"tiny/__init__.py": SLOW}, python=python)
    measured = Job(tmp_path, {"base": base, "base2": base}).measure(
        SEEDED, parent=python, budget_seconds=1, changed=changed_function(SLOW, "work")
    )
    assert measured.reason is None, measured.why
    assert measured.run["equivalence"]["equal"] is True
    assert measured.run["changed_share"] > 0.9


def test_what_a_run_says_and_a_test_prints_is_shown_and_kept_alike(tmp_path: Path) -> None:
    loud = SEEDED.replace("return [tiny.work(data)]", "print('seed', data > 0); return [tiny.work(data)]")
    measured = job_of(tmp_path, other=FAST).measure(loud, budget_seconds=2)
    log = (measured.folder / "out" / "measure.log").read_text()
    assert log in measured.output
    assert "measure:     0.0 s  base beside head, for 2 s at most\n" in log
    assert "head | seed True\n" in log
    assert log.rstrip().endswith(f"{len(measured.rounds)} rounds; done" if measured.reason is None else measured.reason)


def test_a_test_that_floods_its_output_does_not_flood_the_log(tmp_path: Path) -> None:
    flood = SEEDED.replace(
        "return [tiny.work(data)]", "import random; print(random.random(), 'x' * 20000); return [tiny.work(data)]"
    )
    measured = job_of(tmp_path, other=FAST).measure(flood, budget_seconds=20)
    log = (measured.folder / "out" / "measure.log").read_bytes()
    assert len(log) <= MAX_BYTES + len(CUT)
    assert log in measured.output.encode()
