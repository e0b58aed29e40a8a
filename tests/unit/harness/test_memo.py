"""Whether later calls live on the first one: said only where an interval says it, and a collapse has to be proved to be none."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from isobench_runner.harness import memo
from isobench_runner.harness.memo import Gains, lives_on_first

CALL = 100.0


def gains(share: float, *, gain: float, noise: float, rounds: int, rng: random.Random) -> Gains:
    """First calls that gain `share` of what later ones do; both sides of a first call are noisy, now and then by much."""

    def tail(spread: float) -> float:
        spike = abs(rng.gauss(0, 5 * spread)) if rng.random() < 0.1 else 0.0
        return rng.gauss(0, spread) + spike

    first = [share * gain + tail(noise) - tail(noise) for _ in range(rounds)]
    later = [gain + tail(noise / 3) - tail(noise / 3) for _ in range(rounds)]
    return Gains(first, later)


@pytest.mark.parametrize(
    ("first", "later", "kept"),
    [
        pytest.param([0, 1, -1, 2, 0, 1], [95] * 6, True, id="first calls gain nothing"),
        pytest.param([95, 96, 94, 97, 93, 95], [95] * 6, False, id="first calls gain what later ones gain"),
        pytest.param([40, 41, 39, 42, 38, 40], [95] * 6, True, id="less than half"),
        pytest.param([60, 61, 59, 62, 58, 60], [95] * 6, False, id="more than half"),
        pytest.param([0, 90, 10, 80, 95, -20], [95] * 6, None, id="restless"),
        pytest.param([0, 0, 0, 0], [95] * 4, None, id="four rounds are too few, however clear"),
        pytest.param([0, 0, 0, 0, 0], [95] * 5, True, id="five are enough"),
        pytest.param(
            [0, 1, -90, 2, 0, 1, 0, 300], [95] * 8, None, id="one large spike of base among eight asks for more"
        ),
        pytest.param([0, 1, -90, 2, 0, 1, 0, 300] + [0] * 8, [95] * 16, True, id="among sixteen it is outvoted"),
        pytest.param([3, 90, 2], [3, 90, 2], False, id="every call is a first one"),
        pytest.param([], [], False, id="no rounds"),
    ],
)
def test_one_clock_answers_where_its_interval_does(first: list[float], later: list[float], kept: bool | None) -> None:
    assert Gains(first, later).kept is kept


SURE, NONE, RESTLESS, SMALL = (
    Gains([0.0] * 8, [90.0] * 8),
    Gains([90.0] * 8, [90.0] * 8),
    Gains([0.0, 90.0] * 4, [90.0] * 8),
    Gains([0.0] * 8, [9.0] * 8),
)


@pytest.mark.parametrize(
    ("wall", "cpu", "answer"),
    [
        (SURE, None, True),
        (NONE, None, False),
        (RESTLESS, None, None),
        (RESTLESS, SURE, True),
        (RESTLESS, NONE, False),
        (NONE, SURE, True),
        (SURE, NONE, True),
        (RESTLESS, SMALL, None),
        (SMALL, SURE, False),
    ],
)
def test_the_surer_clock_is_heard_and_a_small_gain_is_not_asked(wall: Gains, cpu: Gains | None, answer: Any) -> None:
    assert lives_on_first(wall, cpu, call_ns=CALL) is answer


@pytest.mark.parametrize("rounds", [1, 2, 3, 4, 5, 6, 8, 16, 32])
@pytest.mark.parametrize("noise", [2.0, 10.0, 30.0])
@pytest.mark.parametrize("gain", [12.0, 30.0, 50.0, 95.0])
def test_noise_alone_neither_accuses_nor_acquits(gain: float, noise: float, rounds: int) -> None:
    """At most in 5 % of runs; bounds leave room for 200 draws. The median of three used to accuse up to 44 % and acquit up to 48 %."""
    rng = random.Random(f"{gain} {noise} {rounds}")
    honest = Counter(gains(1, gain=gain, noise=noise, rounds=rounds, rng=rng).kept for _ in range(200))
    memoised = Counter(gains(0, gain=gain, noise=noise, rounds=rounds, rng=rng).kept for _ in range(200))
    assert honest[True] <= 20
    assert memoised[False] <= 20


@pytest.mark.parametrize(("noise", "rounds", "least"), [(2, 5, 180), (2, 8, 195), (10, 8, 180), (10, 16, 195), (30, 16, 165), (30, 32, 190)])  # fmt: skip
def test_a_memo_that_takes_all_of_a_call_is_found_within_a_few_rounds(noise: float, rounds: int, least: int) -> None:
    rng = random.Random(5)
    found = Counter(gains(0, gain=95, noise=noise, rounds=rounds, rng=rng).kept for _ in range(200))
    assert found[True] >= least
    spared = Counter(gains(1, gain=95, noise=noise, rounds=rounds, rng=rng).kept for _ in range(200))
    assert spared[False] >= least


def lines(first: list[int], *, other: int, loops: int = 1) -> list[dict[str, Any]]:
    """Rounds in which base's calls take 100 ns and its first 100; `first` are the other's."""
    return [
        {
            "samples": {"base": [{"wall_ns": 100 * loops, "cpu_ns": 0}], "head": [{"wall_ns": other * loops, "cpu_ns": 0}]},
            "cold": {"base": {"wall_ns": 100, "cpu_ns": 0}, "head": {"wall_ns": one, "cpu_ns": 0}},
        }
        for one in first
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "other", "doubt"),
    [
        pytest.param([5, 100] * 4, 5, True, id="collapsed and restless"),
        pytest.param([5, 100] * 4, 30, False, id="restless, with work left in later calls"),
        pytest.param([100] * 8, 5, False, id="surely a memo"),
        pytest.param([5] * 8, 5, False, id="surely none"),
        pytest.param([100] * 3, 5, True, id="three rounds"),
    ],
)
@pytest.mark.parametrize("loops", [1, 8])
def test_only_a_collapse_that_nobody_can_explain_is_in_doubt(
    first: list[int], other: int, doubt: bool, loops: int
) -> None:
    assert memo.in_doubt(lines(first, other=other, loops=loops), "head", loops=loops) is doubt
