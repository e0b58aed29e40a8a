"""The pure parts of the programs that measure the measuring: plans, rules of peers, figures, targets, tables, plots."""

from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import scipy.stats

from bench.timing import figures, load, plots, readings, rules, tables, tools
from bench.timing.pairs import PERCENTS, UNITS, Sides, pair, plan
from bench.timing.readings import Reading
from isobench_runner.stats.rounds import parse_rounds
from support.rounds import make_rounds


def reading(ratio: float | None, **changes: Any) -> Reading:
    values: dict[str, Any] = {
        "tool": "isobench", "pair": 0, "level": "as it is", "percent": 0, "truth": 1.0, "ratio": ratio, "claims": False,
        "wall_seconds": 2.0, "load": 0.5,
    }  # fmt: skip
    return Reading(**(values | changes))


@pytest.mark.parametrize("slower", [False, True])
@pytest.mark.parametrize("percent", PERCENTS)
def test_the_truth_of_a_pair_is_its_work(percent: int, slower: bool) -> None:
    one = pair(0, percent, slower=slower)
    wanted = 1 + percent / 100
    assert one.truth == pytest.approx(1 / wanted if slower else wanted, rel=1e-12)
    assert UNITS in (one.base, one.head)


def test_a_plan_has_every_effect_both_ways_in_an_order_that_its_seed_fixes() -> None:
    planned = plan(10, 4, 3)
    assert Counter(one.percent for one in planned) == {0: 10, 1: 4, 2: 4, 5: 4, 10: 4, 100: 4}
    assert sum(one.truth > 1 for one in planned) == sum(one.truth < 1 for one in planned) == 10
    assert [one.number for one in planned] == list(range(30))
    assert planned == plan(10, 4, 3)
    assert planned != plan(10, 4, 4)
    assert {one.percent for one in planned[:15]} != {0}


def test_equal_sides_are_two_installations(tmp_path: Path) -> None:
    sides = Sides(tmp_path)
    base, head = sides.of(pair(0, 0, slower=False))
    assert base != head
    assert (base / "tree/tiny/__init__.py").read_text() == (head / "tree/tiny/__init__.py").read_text()
    more, _ = sides.of(pair(1, 5, slower=False))
    assert "UNITS = 420" in (more / "tree/tiny/__init__.py").read_text()


def test_a_neighbour_works_half_of_the_time() -> None:
    some = list(islice(load.bursts("1", 0.5), 4000))
    busy, idle = (sum(column) for column in zip(*some, strict=True))
    assert busy / (busy + idle) == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(("ratio", "claims"), [(1.0, False), (1.19, False), (1.2, True), (0.84, False), (0.83, True)])
def test_gso_claims_from_a_fifth_on_either_way(ratio: float, claims: bool) -> None:
    assert rules.gso_claims(ratio) is claims


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("Mean +- std dev: [base] 10.8 ms +- 2.4 ms -> [head] 12.8 ms +- 3.3 ms: 1.18x slower", True),
        ("Benchmark hidden because not significant (1): timeit", False),
        ("Mean +- std dev: [a] 10.8 ms +- 2 ms -> [b] 10.9 ms +- 2 ms: 1.01x slower\nNot significant!", False),
    ],
)
def test_pyperf_is_taken_at_its_word(text: str, claims: bool) -> None:
    assert rules.pyperf_claims(text) is claims


@pytest.mark.parametrize(
    ("base", "head"),
    [([1.0, 2.0, 3.0], [4.0, 5.0]), ([1.5, 9.0, 3.0, 4.4, 2.2], [2.0, 5.0, 8.0, 1.0, 7.0]), (list(range(10)), [x + 4.5 for x in range(10)])],
)  # fmt: skip
def test_the_rank_test_is_the_exact_one(base: list[float], head: list[float]) -> None:
    wanted = scipy.stats.mannwhitneyu(base, head, method="exact").pvalue
    assert rules.mann_whitney_p(base, head) == pytest.approx(min(1.0, wanted), rel=1e-9)


def test_a_tie_never_makes_a_difference_larger() -> None:
    apart = rules.mann_whitney_p([1.0, 2.0, 3.0], [4.0, 5.0, 6.0])
    assert rules.mann_whitney_p([1.0, 2.0, 4.0], [4.0, 5.0, 6.0]) >= apart


TEN = [1 + 0.001 * number for number in range(10)]


@pytest.mark.parametrize(("factor", "claims"), [(1.0, False), (1.05, False), (1.12, True), (0.88, True)])
def test_asv_asks_for_ranks_and_a_tenth(factor: float, claims: bool) -> None:
    assert rules.asv_claims([factor * value for value in TEN], TEN) is claims


def test_asv_is_silent_about_a_large_but_noisy_difference() -> None:
    assert rules.asv_claims([1.0, 2.0, 3.0, 4.0], [1.5, 2.5, 3.5, 9.0]) is False


@pytest.mark.parametrize(("factor", "claims"), [(1.0, False), (1.02, True)])
def test_welch_compares_means(factor: float, claims: bool) -> None:
    assert rules.welch_claims([factor * value for value in TEN], TEN) is claims


@pytest.mark.parametrize("runs", [1, 20, 40, 160, 400])
def test_the_bound_of_false_claims_is_the_binomials(runs: int) -> None:
    assert figures.most_by_chance(runs) == scipy.stats.binom.ppf(0.95, runs, 0.05)


def test_the_bound_of_the_design_is_13_of_160() -> None:
    assert figures.most_by_chance(160) == 13


@pytest.mark.parametrize(("share", "value"), [(0.5, 2.0), (0.95, 4.0), (0.25, 1.0), (0.0, 1.0)])
def test_a_rank_is_an_order_statistic(share: float, value: float) -> None:
    assert figures.rank([3.0, 1.0, 4.0, 2.0], share) == value


@pytest.mark.parametrize(("ratio", "noise", "rounds"), [(2.0, 0.01, 8), (1.0, 0.02, 16), (1.02, 0.1, 128)])
def test_one_measuring_is_read_up_to_the_look_that_would_have_ended_it(ratio: float, noise: float, rounds: int) -> None:
    lines = make_rounds(rounds=128, ratio=ratio, noise=noise)
    lines.insert(3, lines[3] | {"discarded": "throttled"})
    whole = parse_rounds("\n".join(map(json.dumps, lines)).encode(), base="base", other="head")[0]
    assert len(tools.until_the_look_that_ends_it(whole)) == rounds + 1


def test_figures_of_known_readings() -> None:
    held = {"low": 0.99, "high": 1.01}
    found = figures.figures(
        [
            reading(1.0, pair=0, **held),
            reading(1.03, pair=1, claims=True, low=1.02, high=1.04),
            reading(1.12, pair=2, percent=10, truth=1.1, claims=True, low=1.09, high=1.2),
            reading(0.90, pair=3, percent=10, truth=1 / 1.1, claims=True, low=0.85, high=0.95),
            reading(1.02, pair=4, percent=10, truth=1 / 1.1, claims=True, low=1.01, high=1.03),
            reading(None, pair=5, words="too few rounds"),
            reading(9.0, pair=6, tool="pyperf"),
            reading(9.0, pair=7, level="loaded"),
        ],
        "isobench",
        "as it is",
    )
    assert found is not None
    assert (found.equal, found.false_claims, found.without) == (2, 1, 1)
    power = found.power(10)
    assert power is not None
    assert (power.pairs, power.found, power.wrong) == (3, 2, 1)
    assert power.reads == pytest.approx(1 / 0.90)
    assert (found.covered, found.intervals) == (3, 5)
    assert found.big_errors == 1 / 5
    assert found.error_p95 == pytest.approx((1.02 * 1.1 - 1) * 100)
    leaning = [math.log(1.12 / 1.1), -math.log(0.90 * 1.1), -math.log(1.02 * 1.1)]
    assert found.bias == pytest.approx(math.expm1(sum(leaning) / 3) * 100)
    assert found.power(5) is None
    assert figures.figures([reading(None)], "isobench", "as it is") is None


def test_cpu_times_have_an_error_of_their_own_where_a_tool_reads_them() -> None:
    rows = [reading(1.3, pair=n, cpu_ratio=1.0 + 0.01 * n) for n in range(3)]
    found = figures.figures(rows, "isobench", "as it is")
    assert found is not None
    assert found.cpu_error_median == pytest.approx(1.0)
    assert found.cpu_error_p95 == pytest.approx(2.0)
    assert "off by 1.00 % in the median, 2.00 % at" in tables.report(rows)
    assert "CPU times" not in tables.report([reading(1.3)])


def test_a_missed_target_is_said_to_be_missed() -> None:
    found = figures.figures(
        [reading(1.2, pair=n, claims=n < 5, low=1.1, high=1.3) for n in range(20)], "isobench", "as it is"
    )
    assert found is not None
    by_name = {one.what: one for one in figures.targets(found)}
    assert by_name["claims a difference between equal sides"].met is False
    assert by_name["claims a difference between equal sides"].wanted == "at most 3"
    assert by_name["interval holds the truth"].met is False
    assert by_name["finds 5 %"].met is None
    text = tables.against_targets([found])
    assert "5 of 20 (at most 3, **missed**)" in text
    assert "none measured" in text


def test_good_figures_miss_nothing() -> None:
    rows = [reading(1.0, pair=n, low=0.995, high=1.005) for n in range(20)]
    rows += [
        reading(1 + size / 100, pair=100 + size, percent=size, truth=1 + size / 100, claims=True,
                low=1 + size / 100 - 0.005, high=1 + size / 100 + 0.005)
        for size in (2, 5, 10)
    ]  # fmt: skip
    found = figures.figures(rows, "isobench", "as it is")
    assert found is not None
    assert {one.met for one in figures.targets(found)} == {True}


def test_recorded_readings_give_the_same_tables_and_plots_again(tmp_path: Path) -> None:
    rows = [
        reading(1.0 + 0.01 * n, pair=n, low=0.9, high=1.2, logs=tuple(0.01 * k * (-1) ** k for k in range(20)))
        for n in range(4)
    ] + [reading(1.5, pair=9, tool="hyperfine", percent=100, truth=2.0, claims=True)]
    for one in rows:
        readings.write(tmp_path, one)
    again = readings.read(tmp_path)
    assert again == tuple(rows)
    assert tables.report(again) == tables.report(rows)
    assert plots.estimate_against_truth(again, ["isobench", "hyperfine"]) == plots.estimate_against_truth(
        rows, ["isobench", "hyperfine"]
    )


def test_the_last_of_equal_readings_counts() -> None:
    lines = [json.dumps(asdict(reading(ratio))) for ratio in (1.0, 2.0)]
    assert [one.ratio for one in readings.parse(lines)] == [2.0]


def test_intervals_narrow_with_rounds() -> None:
    rows = [
        reading(1.0, pair=n, logs=tuple(math.sin(7.0 * n + 3.3 * k) / 30 for k in range(64))) for n in range(5)
    ]  # fmt: skip
    widths = figures.widths_by_rounds(rows, "as it is", (6, 16, 64, 128))
    assert [count for count, _, _ in widths] == [6, 16, 64]
    middles = [middle for _, middle, _ in widths]
    assert middles == sorted(middles, reverse=True)
    assert all(most >= middle for _, middle, most in widths)


def test_plots_are_well_formed_and_have_a_mark_per_reading() -> None:
    rows = [reading(1.0 + 0.1 * n, pair=n, tool=tools.WHOLE, logs=(0.01, -0.01) * 8) for n in range(3)]
    root = ET.fromstring(plots.estimate_against_truth(rows, [tools.WHOLE, "asv"]))
    assert len(root.findall(".//{*}circle")) == 3
    assert root.find("{*}title") is not None
    lines = ET.fromstring(plots.rounds_against_width(rows)).findall(".//{*}polyline")
    assert sum(line.get("stroke") == plots.COLOURS["as it is"] for line in lines) == 2


@pytest.mark.parametrize(("value", "at"), [(1.0, 100.0), (100.0, 0.0), (10.0, 50.0), (1000.0, 0.0), (0.1, 100.0)])
def test_an_axis_is_logarithmic_and_keeps_marks_inside(value: float, at: float) -> None:
    assert plots.Axis(1.0, 100.0, 100.0, 0.0).at(value) == at
