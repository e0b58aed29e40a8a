"""The pure decisions of measuring: calibration, what is believed of a sample, mutation, laziness, the kinds of scripts."""

from __future__ import annotations

import ast
import functools
import inspect
import json
import math
import operator
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_runner.harness import (
    calibrate,
    calls,
    choices,
    digests,
    failures,
    gpu,
    kinds,
    looks,
    mutation,
    oldstyle,
    probes,
    rounds,
    sampling,
    scripts,
    session,
    tally,
)
from isobench_runner.harness.events import Calls
from support.prepared import make_plan

HARNESS = Path(calibrate.__file__).parent


@pytest.mark.parametrize("path", sorted(HARNESS.glob("*.py")), ids=lambda path: path.stem)
def test_the_harness_parses_as_python_3_8(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 8))
    for node in ast.walk(tree):
        spread = isinstance(node, ast.With) and len(node.items) > 1 and node.items[0].context_expr.lineno != node.lineno
        assert not spread, f"{path.name}:{node.lineno}: a with statement in parentheses needs Python 3.9"


@pytest.mark.parametrize(
    ("walls", "warmups"),
    [([100, 101, 100], 1), ([500, 200, 110, 108, 107], 3), ([900, 700, 500, 300, 100], 5), ([100], 1)],
)
def test_warm_ups_end_where_two_successive_calls_agree(walls: list[int], warmups: int) -> None:
    waiting = Calls(walls, [1] * len(walls), [], None, gpu=False)
    assert choices.warmups_needed(waiting) == warmups
    assert choices.warmups_needed(replace(waiting, cpu_ns=walls)) == warmups


def test_warm_ups_do_not_wait_for_a_busy_machine_to_agree_with_itself() -> None:
    calls = Calls([900, 400, 700, 300, 600], [500, 300, 301, 299, 300], [], None, gpu=False)
    assert choices.warmups_needed(calls) == 2
    assert choices.warmups_needed(replace(calls, gpu=True)) == 5


@pytest.mark.parametrize(("round_ns", "call_ns", "k"), [(1e9, 40e6, 5), (1e9, 1e3, 10), (1e9, 30e9, 1), (0, 1, 1)])
def test_samples_per_round_follow_the_costs(round_ns: float, call_ns: float, k: int) -> None:
    assert choices.samples_per_round(round_ns, call_ns) == k


def test_only_calls_below_a_millisecond_are_looped_and_doubled_until_long_enough() -> None:
    assert choices.loops_needed(1_000_000, lambda loops: loops) == 1
    assert choices.loops_needed(10_000, lambda loops: loops * 2_000) == 8192


@pytest.mark.parametrize(
    ("loops", "base_ns", "other_ns", "budget", "more"),
    [
        (1, 50e6, 5e6, 300, 1),  # ten times as fast: as it was
        (1, 50e6, 0.5e6, 300, 2),
        (1, 50e6, 0.01e6, 300, 128),
        (1, 50e6, 1, 300, 128),  # as far as the budget holds 32 of base's samples
        (1, 5e9, 0.1e6, 300, 1),
        (16, 0.9e6, 0.01e6, 10, 128),
    ],
)
def test_a_head_that_is_gone_in_less_than_a_millisecond_gets_more_calls_while_base_can_afford_them(
    loops: int, base_ns: float, other_ns: float, budget: float, more: int
) -> None:
    assert choices.loops_for_both(loops, base_ns=base_ns, other_ns=other_ns, budget_seconds=budget) == more


@pytest.mark.parametrize(
    ("seeded", "setup_ms", "copy_ms", "sample_ms", "looped", "mode"),
    [
        (True, 100, None, 10, False, "seed"),
        (True, 300, 5, 10, False, "copy"),
        (True, 300, 250, 10, False, "once"),
        (True, 300, None, 10, False, "once"),
        (True, 20, 5, 10, True, "seed"),
        (True, 30, 5, 10, True, "copy"),
        (False, 1, 1, 10, False, "copy"),
        (False, 1, None, 10, False, "setup"),
        (False, 300, None, 10, False, "once"),
    ],
)
def test_inputs_are_made_anew_copied_or_used_once_by_what_they_cost(
    seeded: bool, setup_ms: int, copy_ms: int | None, sample_ms: int, looped: bool, mode: str
) -> None:
    copy_ns = None if copy_ms is None else copy_ms * 1_000_000
    found = choices.inputs_mode(
        seeded=seeded, setup_ns=setup_ms * 1_000_000, copy_ns=copy_ns, sample_ns=sample_ms * 1_000_000, looped=looped
    )
    assert found == mode


@pytest.mark.parametrize(
    ("count", "single", "workers", "parents"),
    [
        (1, True, [{0}, {0}], [{0}, {0}]),
        (1, False, [{0}, {0}], [{0}, {0}]),
        (2, True, [{0}, {1}], [{1}, {0}]),
        (2, False, [{0, 1}, {0, 1}], [{0, 1}, {0, 1}]),
        (4, True, [{0}, {1}, {2}, {3}], [{1}, {2}, {3}, {0}]),
        (4, False, [{0, 2, 3}, {0, 1, 3}], [{1}, {2}]),
    ],
)
def test_workers_share_cpus_that_are_not_the_parents_and_change_them_every_round(
    count: int, single: bool, workers: list[set[int]], parents: list[set[int]]
) -> None:
    cpus = list(range(count))
    for index, (wanted, own) in enumerate(zip(workers, parents, strict=True)):
        assert set(choices.worker_cpus(cpus, index, single=single)) == wanted
        assert set(choices.parent_cpus(cpus, index, single=single)) == own


@pytest.mark.parametrize(
    ("cpus", "later", "count", "wanted"),
    [
        pytest.param([0, 1], [1], 2, [[1], [0]], id="two that will share a CPU import side by side"),
        pytest.param([3, 5, 7], [7], 2, [[7], [3]], id="beginning with the one that they will share"),
        pytest.param([0, 1], [1], 1, [[1]], id="one alone stays"),
        pytest.param([4], [4], 2, [[4], [4]], id="there is one CPU"),
        pytest.param([0, 1, 2], [1, 2], 2, [[1, 2], [1, 2]], id="several are theirs"),
    ],
)
def test_workers_import_side_by_side_where_there_are_cpus(
    cpus: list[int], later: list[int], count: int, wanted: list[list[int]]
) -> None:
    assert choices.starting_cpus(cpus, later, count) == wanted


@pytest.mark.parametrize(
    ("cpu", "wall", "elsewhere", "single"),
    [(100, 100, 0, True), (105, 100, 5, True), (106, 100, 0, False), (100, 120, 50, False), (5, 120, 95, False)],
)
def test_more_cpu_time_than_wall_time_or_work_elsewhere_is_more_than_one_thread(
    cpu: int, wall: int, elsewhere: int, single: bool
) -> None:
    assert choices.single_threaded([cpu], [wall], elsewhere_ns=elsewhere) is single


@pytest.mark.parametrize(
    ("peaks", "limit", "fit"), [([40, 40], 100, True), ([50, 50], 100, False), ([50, 50], None, True)]
)
def test_processes_live_side_by_side_where_memory_holds_them(peaks: list[int], limit: int | None, fit: bool) -> None:
    assert choices.fit_together(peaks, limit) is fit


def test_samples_per_round_follow_the_measured_variances() -> None:
    steady, restless = [100, 100, 101], [100, 140, 70]
    moved = [[one * 2 for one in steady], [one * 3 for one in steady]]
    assert choices.variance_ratio([[restless, restless], [restless, restless]]) > 2
    assert choices.variance_ratio([[steady, moved[0]], [moved[1], steady]]) < 0.5
    assert choices.variance_ratio([[steady, moved[0]], [steady, moved[0]]]) > 1
    assert choices.variance_ratio([[[5], [5]], [[5], [5]]]) == 1
    assert choices.variance_ratio([]) == 1
    assert choices.samples_per_round(1e9, 40e6, 4.0) == 10
    assert choices.samples_per_round(1e9, 40e6, 0.25) == 2


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([1, "a", {"k": (2.5, None)}], [1, "a", {"k": (2.5, None)}], True),
        ([1, 2], [2, 1], False),
        ({3, 1, 2}, {2, 3, 1}, True),
        ([1], [True], False),
        ([1], (1,), False),
        (["a", "bc"], ["ab", "c"], False),
        (range(3), range(4), False),
    ],
)
def test_equal_inputs_have_equal_digests(one: Any, other: Any, same: bool) -> None:
    assert digests.digest(one) is not None
    assert (digests.digest(one) == digests.digest(other)) is same


class Refuses:
    @property
    def dtype(self) -> None:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (1.0, "float"),
        ([1, 2, 3], "list of int"),
        ([], "list"),
        ((1, "x"), "tuple of int, str"),
        ({"a": [1.0]}, "dict of 'a': list of float"),
        ([[[[1]]]], "list of list of list of list"),
        (np.zeros((2, 3), "float32"), "ndarray of float32 (2, 3)"),
        (np.float64(1), "float64 of float64 ()"),
        (Refuses(), "a Refuses that does not tell (RuntimeError)"),
    ],
)
def test_a_result_is_told_by_its_types(value: Any, words: str) -> None:
    assert kinds.kinds(value) == words


def test_a_path_of_the_processs_own_has_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/x/tmp")
    assert digests.digest(["/x/tmp/a"]) is None
    assert digests.digest(["/y/tmp/a"]) is not None


def test_what_cannot_be_compared_has_no_digest() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert digests.digest(endless) is None
    assert digests.digest([object()]) is None


@pytest.mark.parametrize(
    ("walls", "state"),
    [([420, 20, 20], True), ([420, 300, 20], False), ([40, 20, 20], False), ([420], False)],
)
def test_a_collapse_is_state_and_a_slow_first_call_is_not(walls: list[int], state: bool) -> None:
    assert choices.collapses([wall * 1_000_000 for wall in walls]) is state


@pytest.mark.parametrize(
    ("passed", "claimed", "waited", "believed"),
    [
        (10_000_000, 9_950_000, 0, True),
        (10_000_000, 9_000_000, 0, False),
        (10_000_000, 6_000_000, 4_000_000, True),
        (10_000_000, 10_000_001, 0, False),
        (1_000_000_000, 991_000_000, 0, True),
        (10_000_000, 0, 10_000_000, False),
    ],
)
def test_a_claim_is_believed_where_the_parents_clock_allows_it(
    passed: int, claimed: int, waited: int, believed: bool
) -> None:
    assert sampling.plausible(passed, claimed, waited) is believed


@pytest.mark.parametrize(
    ("drain", "wall", "late"),
    [(400_000, 1_000_000, False), (600_000, 1_000_000, True), (900_000, 100_000_000, False), (2_100_000, 10**12, True)],
)
def test_work_after_a_sample_counts_from_half_a_millisecond_or_a_percent(drain: int, wall: int, late: bool) -> None:
    assert tally.drained_too_much(drain, wall) is late


@pytest.mark.parametrize(
    ("base", "head", "of", "late"),
    [
        (0, 0, 40, []),
        (0, 8, 40, []),
        (0, 11, 40, ["head"]),
        (0, 11, 400, []),
        (3, 14, 40, []),
        (3, 20, 40, ["head"]),
        (30, 30, 40, ["base", "head"]),
        (0, 2, 3, ["head"]),
        (0, 1, 1, []),
    ],
)
def test_work_is_left_for_later_by_who_does_it_mostly_or_surely_more_often_than_base(
    base: int, head: int, of: int, late: list[str]
) -> None:
    assert tally.late_workers({"base": base, "head": head}, {"base": of, "head": of}, "head") == late


@pytest.mark.parametrize("seed", range(5))
def test_one_round_of_every_octaveis_stored_and_which_follows_from_the_seed(tmp_path: Path, seed: int) -> None:
    plan = make_plan({"base": tmp_path, "head": tmp_path}, seed=seed)
    made = session.Session(plan, b"", str(tmp_path), [], 0.0, [0])
    stored = [number for number in range(-1, 129) if rounds.is_stored(made, number)]
    assert [number.bit_length() for number in stored] == list(range(9))[: len(stored)]
    assert stored[:2] == [0, 1]
    assert len(stored) in (8, 9)


def _line(base: int, head: int, cold: tuple[int, int]) -> dict[str, Any]:
    samples = {"base": [{"wall_ns": base}], "head": [{"wall_ns": head}]}
    return {"samples": samples, "cold": {"base": {"wall_ns": cold[0]}, "head": {"wall_ns": cold[1]}}}


@pytest.mark.parametrize(
    ("run", "startup", "least", "own"),
    [(300, 100, 90, 200), (300, 299, 90, 210), (300, 350, 90, 210), (90, 100, 90, None), (90, 80, 80, 10)],
)
def test_a_scripts_own_time_is_positive_or_unknown(run: int, startup: int, least: int, own: int | None) -> None:
    assert oldstyle.own_time(run, startup, least) == own


def test_log_ratios_and_human_performance_are_of_base_over_the_other() -> None:
    kept = [_line(200, 100, (1, 1)), _line(100, 100, (1, 1))]
    assert looks.log_ratios(kept, "head") == [math.log(2), 0.0]
    assert looks.human_performance(kept, "head") == 1.5


def test_time_in_which_a_thread_had_no_cpu_is_not_the_devices() -> None:
    """A process that shares its CPU with a busier one, as on a node that others use."""
    code = """
import json, os, statistics, sys, time
from isobench_runner.harness import probes
cpu = min(os.sched_getaffinity(0))
os.sched_setaffinity(0, [cpu])
hog = os.fork()
if not hog:
    while True: pass
os.nice(10)
def work():
    end = time.thread_time() + 0.05
    while time.thread_time() < end: pass
begin = time.perf_counter_ns()
own = probes.own_wait_ns(work)
wall = time.perf_counter_ns() - begin
os.kill(hog, 9)
print(json.dumps([own, wall]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    own, wall = json.loads(done.stdout)
    assert 45_000_000 <= own <= wall
    assert wall > 80_000_000, "the hog took more than a third"
    assert own < 50_000_000 + (wall - 50_000_000) / 2


class Pair(NamedTuple):
    x: int
    y: float


class Plain:
    def __init__(self) -> None:
        self.value = 3


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5) | st.tuples(inner, inner)


leaves = st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
json_values = leaves | nested(leaves) | nested(leaves | nested(leaves))


@given(json_values)
def test_a_mutated_value_differs_and_keeps_its_type(value: Any) -> None:
    changed, leaves = mutation.mutated(value)
    assert leaves > 0 or value == ()
    assert type(changed) is type(value)
    assert changed != value


@pytest.mark.parametrize("value", [10**400, -(10**400), 0, 2**1024, 1e308, -1e-308, complex(1e200, 1)])
def test_numbers_of_any_size_are_mutated(value: Any) -> None:
    changed, leaves = mutation.mutated([value])
    assert (leaves, type(changed[0])) == (1, type(value))
    assert changed[0] != value


def test_named_tuples_and_objects_are_mutated_inside_and_the_original_stays() -> None:
    thing = Plain()
    (pair, plain, nothing), leaves = mutation.mutated((Pair(1, 2.0), thing, None))
    assert (pair, plain.value, nothing, leaves, thing.value) == (Pair(4, 7.0), 10, None, 3, 3)


def test_what_has_no_values_cannot_be_mutated() -> None:
    assert mutation.mutated(None) == (None, 0)


@pytest.mark.parametrize(
    ("result", "name"),
    [
        ((i for i in range(3)), "generator"),
        ([1, {"a": map(str, [1])}], "map"),
        ([1, 2, {"a": (3,)}], None),
        (range(3), None),
        ("text", None),
        ({"a": 1}.keys(), None),
    ],
)
def test_lazy_results_are_found_two_levels_deep(result: Any, name: str | None) -> None:
    assert probes.lazy(result) == name


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("\n".join(f"def {name}(): pass" for name in calls.REQUIRED), scripts.SIX),
        (
            "try:\n    import torch\nexcept ImportError:\n    pass\n"
            + "\n".join(f"def {name}(): pass" for name in calls.REQUIRED),
            scripts.SIX,
        ),
        ("def setup(): pass\ndef test_it(): pass", scripts.PYTEST),
        ("class TestIt: pass", scripts.PYTEST),
        ("print(1)", scripts.SCRIPT),
        ("def test_new(): pass\nmatch x:\n  !!", scripts.PYTEST),
    ],
)
def test_the_kind_of_a_script_is_read_from_its_text(source: str, kind: str) -> None:
    assert scripts.kind_of(source) == kind


@pytest.mark.parametrize(
    ("printed", "skipped"),
    [
        ('working\n{"skipped": "no GPU"}\n', True),
        ('{"status": "skipped"}', True),
        ("SKIP: no CUDA", True),
        ('{"mean_ms": 3.2}', False),
        ("skipping nothing\ndone", False),
        ("", False),
    ],
)
def test_a_script_that_says_that_it_skipped_is_heard(printed: str, skipped: bool) -> None:
    assert scripts.says_it_skipped(printed) is skipped


def test_setup_takes_a_seed_where_its_parameter_is_one() -> None:
    assert calls.takes_seed(lambda seed=None: seed)
    assert calls.takes_seed(lambda number: number)
    assert not calls.takes_seed(lambda: None)
    assert not calls.takes_seed(lambda size=1000: size)


@functools.wraps(lambda seed: seed)
def wrapped(*args: Any) -> Any:
    return args


def signed(*args: Any) -> Any:
    return args


signed.__signature__ = inspect.signature(lambda seed: seed)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda seed: seed, id="one"),
        pytest.param(lambda a, /, b, *, c=1: a, id="every-kind"),
        pytest.param(lambda *args, seed=1: seed, id="keyword-after-many"),
        pytest.param(lambda a=1, *args: a, id="default-and-many"),
        pytest.param(lambda: None, id="none"),
        pytest.param(functools.partial(lambda a, b: a, 1), id="partial"),
        pytest.param(Path("x").exists, id="method"),
        pytest.param(Path, id="class"),
        pytest.param(operator.itemgetter, id="class-in-c"),
        pytest.param(wrapped, id="wrapped"),
        pytest.param(signed, id="own-signature"),
        pytest.param(len, id="in-c"),
    ],
)
def test_parameters_are_those_that_a_signature_names(function: Any) -> None:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        found = [one for one in inspect.signature(function).parameters.values() if one.kind in kinds]
    except ValueError:
        assert calls._parameters(function) is None
    else:
        assert calls._parameters(function) == [(one.name, one.default is one.empty) for one in found]


def test_a_function_that_does_not_tell_its_parameters_is_given_the_data() -> None:
    module = SimpleNamespace(**{**dict.fromkeys(calls.REQUIRED, len), "experiment": operator.itemgetter(1)})
    assert calls.Contract(module).experiment([1, 2]) == 2


def test_the_reference_goes_where_its_name_says() -> None:
    assert calls.reference_is_second(lambda current_result, reference_result: None)
    assert not calls.reference_is_second(lambda ref, cur: None)
    assert not calls.reference_is_second(lambda a, b: None)


class UnreadableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError


def test_an_exception_that_cannot_be_read_is_described_all_the_same() -> None:
    try:
        raise UnreadableError
    except UnreadableError as error:
        described = failures.describe(error, show=[], hide="/nowhere")
    assert described["kind"] == "raised"
    assert "UnreadableError" in described["traceback"]


def test_a_traceback_names_files_as_the_repository_does(tmp_path: Path) -> None:
    tree, test = tmp_path / "b1946" / "tree", tmp_path / "p8x2" / "work" / "test_generated.py"
    for path, content in {
        tree / "pkg" / "sums.py": "def add(path):\n    raise ValueError(path)\n",
        test: "def experiment(add, path):\n    return add(path)\n",
    }.items():
        path.parent.mkdir(parents=True)
        path.write_text(content)
    add = runpy.run_path(str(tree / "pkg" / "sums.py"))["add"]
    try:
        runpy.run_path(str(test))["experiment"](add, tree / "data.json")
    except ValueError as error:
        told = failures.describe(error, show=[str(test), str(tree)], hide="/nowhere")
    assert 'File "test_generated.py", line 2, in experiment' in told["traceback"]
    assert 'File "pkg/sums.py", line 2, in add\n    raise ValueError(path)\nValueError: data.json' in told["traceback"]
    assert str(tmp_path) not in told["traceback"] + told["words"]


def test_a_deep_traceback_is_cut_in_its_middle() -> None:
    def down(n: int) -> None:
        if n:
            down(n - 1)
        raise ValueError("bottom")

    try:
        down(200)
    except ValueError as error:
        words = failures.describe(error, show=[__file__], hide="/nowhere")["traceback"]
    assert words.endswith("ValueError: bottom")
    assert "frames ..." in words
    assert len(words.splitlines()) < 60


def test_where_no_device_is_in_use_there_is_nothing_to_wait_for() -> None:
    devices = gpu.Devices()
    assert devices.look() is False
    devices.synchronize()
    assert devices.marks() is None
