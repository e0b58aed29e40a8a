"""What the numbers beside the verdict say: cold, CPU, where a gain went, and when a ratio is only a lower bound."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isobench_runner.stats import words
from isobench_runner.stats.rounds import parse_rounds
from isobench_runner.stats.summary import Rule, Summary, summarise

MS = 1_000_000


def rounds_of(
    base: dict[str, float], head: dict[str, float], *, rounds: int = 16, noise: float = 0.01, seed: int = 3, k: int = 3
) -> list[dict[str, Any]]:
    """Rounds whose sides take `warm`, `cpu`, `cold` and `startup` ms; cold and CPU follow warm where they are not given."""
    rng = random.Random(seed)

    def noisy(milliseconds: float) -> int:
        return int(milliseconds * MS * math.exp(rng.gauss(0, noise)))

    def samples(side: dict[str, float]) -> list[dict[str, int]]:
        walls = [noisy(side["warm"]) for _ in range(k)]
        share = side.get("cpu", side["warm"]) / side["warm"]
        return [{"wall_ns": wall, "parent_ns": wall + 30_000, "cpu_ns": int(wall * share)} for wall in walls]

    def cold(side: dict[str, float]) -> dict[str, int]:
        wall = noisy(side.get("cold", side["warm"]))
        return {"wall_ns": wall, "cpu_ns": wall}

    sides = {"base": base, "head": head}
    return [
        {
            "samples": {name: samples(side) for name, side in sides.items()},
            "cold": {name: cold(side) for name, side in sides.items()},
            "startup_cpu_ns": {name: noisy(side.get("startup", 50)) for name, side in sides.items()},
            "discarded": None,
        }
        for _ in range(rounds)
    ]


def summary_of(
    raw: list[dict[str, Any]], *, loops: int = 1, distinct_inputs: bool = True, rule: Rule | None = None
) -> Summary:
    content = "\n".join(map(json.dumps, raw)).encode()
    found = summarise(
        parse_rounds(content, base="base", other="head")[0],
        loops=loops,
        rule=rule or Rule(delta=0.02),
        distinct_inputs=distinct_inputs,
    )
    assert found is not None
    return found


def said(summary: Summary) -> str:
    flags = [name for name, raised in summary.flags.items() if raised]
    return " ".join(words.describe(summary, role="head", other="head", flags=flags, isolation="bubblewrap"))


@pytest.mark.parametrize(("head", "reviewed"), [(5.5, False), (4.5, True), (50, False), (500, False)])
def test_a_gain_of_more_than_ten_times_is_for_a_person_to_read(head: float, reviewed: bool) -> None:
    assert ("before publishing it" in said(summary_of(rounds_of({"warm": 50}, {"warm": head})))) is reviewed


@pytest.mark.parametrize(
    ("base", "head", "distinct", "flags", "sentence"),
    [
        pytest.param({"warm": 50}, {"warm": 25}, True, set(), "faster", id="an honest gain"),
        pytest.param({"warm": 50, "cold": 90}, {"warm": 25, "cold": 65}, True, set(), "faster", id="imports of the first call"),
        pytest.param({"warm": 50}, {"warm": 1, "cold": 50}, False, {"memoised"}, "verdict is about first calls", id="a cache of values"),
        pytest.param({"warm": 50}, {"warm": 5, "cold": 95}, True, {"shifted_work"}, "moved to the start", id="work in the first call"),
        pytest.param({"warm": 50}, {"warm": 25, "startup": 120}, True, {"shifted_work"}, "of CPU time more", id="work at import"),
        pytest.param({"warm": 50}, {"warm": 25, "startup": 52}, True, set(), "faster", id="a slightly longer import"),
        pytest.param({"warm": 50}, {"warm": 26, "cpu": 51}, True, {"shifted_work"}, "over more cores", id="the same work on two cores"),
        pytest.param({"warm": 50, "cpu": 5}, {"warm": 25, "cpu": 5}, True, set(), "what changed is waiting", id="less waiting"),
        pytest.param({"warm": 50, "cold": 90}, {"warm": 50, "cold": 45}, True, set(), "only helps start-up", id="start-up alone"),
    ],
)  # fmt: skip
def test_where_a_gain_went_is_flagged_and_said(
    base: dict[str, float], head: dict[str, float], distinct: bool, flags: set[str], sentence: str
) -> None:
    found = summary_of(rounds_of(base, head), distinct_inputs=distinct)
    assert {name for name, raised in found.flags.items() if raised} - {"heavy_tail"} == flags
    assert sentence in said(found)


def test_a_cache_makes_the_first_call_the_headline_and_the_record_keeps_its_samples() -> None:
    found = summary_of(rounds_of({"warm": 50, "cold": 52}, {"warm": 1, "cold": 52}, noise=0.002), distinct_inputs=False)
    assert (found.headline, found.judgement.verdict) == ("first_call", "no_change")
    assert len(found.base_ms) == len(found.other_ms) == 16
    assert found.human_performance == pytest.approx(sum(found.base_ms) / sum(found.other_ms))
    assert found.warm.speedup == pytest.approx(50, rel=0.01)
    assert found.judgement.speedup == pytest.approx(1, rel=0.01)


def restless_first_calls(base: float, head: float, *, rounds: int = 16, swing: float = 2.0) -> list[dict[str, Any]]:
    """Rounds whose first calls are mostly loading: `swing` times base's later call either way, on one side or the other."""
    raw = rounds_of({"warm": base}, {"warm": head}, rounds=rounds, noise=0.002)
    for number, line in enumerate(raw):
        for side, sign in (("base", 1), ("head", -1)):
            ns = int((20 + swing * sign * (-1) ** number) * base * MS)
            line["cold"][side] = {"wall_ns": ns, "cpu_ns": ns}
    return raw


@pytest.mark.parametrize(
    ("head", "rounds", "headline", "verdict", "sentence"),
    [
        pytest.param(25, 16, "warm", "faster", "too restless to rule out", id="half of the work is left: believed, with a word"),
        pytest.param(1, 16, "first_call", "inconclusive", "A setup(seed) that gives every call an input of its own settles it", id="nearly nothing is left: it has to be shown on first calls"),
        pytest.param(1, 3, "first_call", "inconclusive", "3 rounds cannot tell", id="three rounds"),
        pytest.param(25, 3, "warm", "inconclusive", "too few for an interval", id="three rounds, half left"),
    ],
)  # fmt: skip
def test_what_first_calls_cannot_tell_is_no_memo_and_a_collapse_is_not_believed(
    head: float, rounds: int, headline: str, verdict: str, sentence: str
) -> None:
    found = summary_of(restless_first_calls(50, head, rounds=rounds), distinct_inputs=False)
    assert not found.flags["memoised"]
    assert (found.headline, found.judgement.verdict) == (headline, verdict)
    assert sentence in said(found)
    distinct = summary_of(restless_first_calls(50, head, rounds=rounds), distinct_inputs=True)
    assert distinct.headline == "warm"
    assert "the same input" not in said(distinct)


def test_an_honest_collapse_with_steady_first_calls_is_believed() -> None:
    found = summary_of(rounds_of({"warm": 50, "cold": 90}, {"warm": 1, "cold": 41}), distinct_inputs=False)
    assert (found.headline, found.judgement.verdict, found.flags["memoised"]) == ("warm", "faster", False)


def test_every_ratio_has_an_interval_of_the_verdicts_level_around_it() -> None:
    found = summary_of(rounds_of({"warm": 50, "cold": 80, "cpu": 48}, {"warm": 25, "cold": 60, "cpu": 24}))
    for estimate, truth in ((found.warm, 2.0), (found.cold, 80 / 60), (found.cpu, 2.0)):
        assert estimate is not None
        assert estimate.interval is not None
        low, high = estimate.interval
        assert low <= estimate.speedup <= high
        assert low <= truth * 1.01
        assert high >= truth * 0.99


def test_a_restless_wall_clock_beside_a_steady_cpu_clock_is_a_busy_node() -> None:
    raw = rounds_of({"warm": 50}, {"warm": 25}, noise=0.001)
    rng = random.Random(1)
    for line in raw:
        for side in line["samples"].values():
            for sample in side:
                sample["wall_ns"] = int(sample["wall_ns"] * math.exp(rng.gauss(0, 2.5)))
                sample["parent_ns"] = sample["wall_ns"]
    found = summary_of(raw)
    assert found.judgement.verdict == "inconclusive"
    assert "too busy to believe" in said(found)


@pytest.mark.parametrize(
    ("head", "loops", "bound"), [(0.5, 1, True), (2.0, 1, False), (0.0005, 4096, False), (30.0, 1, False)]
)
def test_a_large_ratio_over_a_short_sample_is_a_lower_bound(head: float, loops: int, bound: bool) -> None:
    raw = rounds_of({"warm": 100 * loops if loops == 1 else 0.1 * loops}, {"warm": head * loops})
    found = summary_of(raw, loops=loops)
    assert found.lower_bound is bound
    assert ("at least" in said(found)) is bound
    assert found.flags["short_sample"] is bound


def test_a_drift_of_base_is_told_and_decides_nothing() -> None:
    raw = rounds_of({"warm": 50}, {"warm": 25}, noise=0.001)
    for number, line in enumerate(raw):
        for side in line["samples"].values():
            for sample in side:
                sample["wall_ns"] = int(sample["wall_ns"] * (1 + number / 100))
                sample["parent_ns"] = sample["wall_ns"]
    found = summary_of(raw)
    assert found.judgement.verdict == "faster"
    assert found.drift == pytest.approx(0.10, abs=0.02)
    assert "base's own time changed by +" in said(found)


def test_base_beside_itself_is_judged_at_99_percent_whatever_level_the_budget_left() -> None:
    """At seven rounds the last look has 95 %, and no interval of 99 % exists."""
    few = summary_of(rounds_of({"warm": 50}, {"warm": 25}, rounds=7))
    assert few.judgement.interval is not None
    assert few.judgement.interval[0] > 1
    assert few.differs is False
    assert summary_of(rounds_of({"warm": 50}, {"warm": 25}, rounds=8)).differs is True


def test_another_rule_reads_the_same_samples_differently() -> None:
    raw = rounds_of({"warm": 50}, {"warm": 48})
    assert summary_of(raw).judgement.verdict == "faster"
    assert summary_of(raw, rule=Rule(delta=0.10)).judgement.verdict == "negligible"
    strict = summary_of(raw, rule=Rule(delta=0.02, alpha=0.001)).judgement
    assert (strict.verdict, strict.level) == ("faster", 0.999)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(0.2, 5), st.floats(0.001, 0.3), st.integers(1, 40), st.integers(0, 1000))
def test_whatever_the_samples_every_number_is_finite_and_inside_its_interval(
    ratio: float, noise: float, rounds: int, seed: int
) -> None:
    found = summary_of(rounds_of({"warm": 50}, {"warm": 50 / ratio}, rounds=rounds, noise=noise, seed=seed, k=2))
    for estimate in (found.warm, found.cold, found.cpu):
        assert estimate is not None
        assert math.isfinite(estimate.speedup)
        assert (estimate.interval is None) == (rounds < 6)
        assert estimate.interval is None or estimate.interval[0] <= estimate.speedup <= estimate.interval[1]
    assert said(found)


def test_disturbed_rounds_that_had_to_be_kept_are_told() -> None:
    raw = rounds_of({"warm": 50}, {"warm": 25})
    for line in raw[:4]:
        line["discarded"] = line["cause"] = "samples waited"
    for line in raw[4:7]:
        line["cause"] = "samples waited"
    found = summary_of(raw)
    assert (found.discarded, found.disturbed, found.judgement.rounds) == (4, 3, 12)
    assert "in 7 of 16 rounds" in said(found)


def test_waiting_for_the_cpu_was_taken_off_and_is_told() -> None:
    raw = rounds_of({"warm": 50}, {"warm": 25})
    before = summary_of(raw)
    for line in raw:
        for sample in (one for side in line["samples"].values() for one in side):
            sample.update(
                wait_ns=sample["wall_ns"] // 3,
                run_delay_ns=sample["wall_ns"] // 3,
                parent_ns=sample["parent_ns"] + sample["wall_ns"] // 3,
            )
    found = summary_of(raw)
    assert found.judgement == before.judgement
    assert (found.clock_mismatch, round(found.waited_share, 2)) == (False, 0.25)
    assert "Others held the CPU for 25 %" in said(found)
    assert "held the CPU" not in said(before)
