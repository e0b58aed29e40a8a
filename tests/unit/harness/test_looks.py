"""How many rounds are measured: planned looks, a budget, and more of them where a verdict would leave in doubt what it is about."""

from __future__ import annotations

import math
import os
import random
import time
from pathlib import Path
from typing import Any

import pytest

from isobench_runner.harness import looks, ranks
from isobench_runner.harness.session import Session
from isobench_runner.harness.tally import Measured
from support.prepared import make_plan


def session(root: Path, **plan: Any) -> Session:
    made = make_plan({"base": root, "head": root}, **plan)
    return Session(made, b"", str(root), [], time.monotonic() + 60, sorted(os.sched_getaffinity(0)))


def line(index: int, *, ratio: float = 2.0, discarded: str | None = None) -> dict[str, Any]:
    base = 1_000_000 + 1000 * (index % 7)
    samples = {"base": [{"wall_ns": base}], "head": [{"wall_ns": int(base / ratio)}]}
    return {"samples": samples, "discarded": discarded}


def test_a_clear_ratio_stops_at_the_first_look(tmp_path: Path) -> None:
    measured = Measured()
    looks.run_rounds(session(tmp_path), measured, line)
    assert (len(measured.rounds), measured.stopped) == (ranks.LOOKS[0], "verdict")


@pytest.mark.parametrize("enough", [9, 16, 17, 60])
def test_a_verdict_in_doubt_waits_for_the_look_that_settles_it(tmp_path: Path, enough: int) -> None:
    measured = Measured()
    looks.run_rounds(session(tmp_path), measured, line, doubts=lambda kept: len(kept) < enough)
    assert len(measured.rounds) == next(look for look in ranks.LOOKS if look >= enough)
    assert measured.stopped == "verdict"


def test_a_doubt_that_nothing_settles_ends_with_the_last_look(tmp_path: Path) -> None:
    measured = Measured()
    looks.run_rounds(session(tmp_path), measured, line, doubts=lambda kept: True)
    assert (len(measured.rounds), measured.stopped) == (ranks.LOOKS[-1], "rounds")


def test_the_budget_ends_it_whatever_is_in_doubt(tmp_path: Path) -> None:
    def slow(index: int) -> dict[str, Any]:
        time.sleep(0.02)
        return line(index)

    measured = Measured()
    looks.run_rounds(session(tmp_path, budget_seconds=0.1), measured, slow, doubts=lambda kept: True)
    assert measured.stopped == "budget"
    assert 1 <= len(measured.rounds) <= 5


@pytest.mark.parametrize(("every", "left_out"), [(4, 2), (2, 2)], ids=["a quarter", "half"])
def test_at_most_a_quarter_of_the_rounds_is_left_out(tmp_path: Path, every: int, left_out: int) -> None:
    measured = Measured()

    def disturbed(index: int) -> dict[str, Any]:
        return line(index, discarded="throttled" if index % every == every - 1 else None)

    looks.run_rounds(session(tmp_path), measured, disturbed)
    kept = [one for one in measured.rounds if not one["discarded"]]
    assert len(kept) == ranks.LOOKS[0]
    assert len(measured.rounds) - len(kept) == left_out
    assert len(measured.rounds) - len(kept) <= looks.MAX_DISCARDED * len(measured.rounds)
    assert all(one["cause"] == "throttled" for one in measured.rounds if one["discarded"])


@pytest.mark.parametrize("index", range(8))
def test_one_disturbed_round_is_left_out_whichever_it_is(tmp_path: Path, index: int) -> None:
    measured = Measured()
    looks.run_rounds(
        session(tmp_path), measured, lambda number: line(number, discarded="heat" if number == index else None)
    )
    assert [number for number, one in enumerate(measured.rounds) if one["discarded"]] == [index]


@pytest.mark.parametrize(("rounds", "left_out"), [(1, 0), (3, 0), (4, 1)])
def test_a_budget_of_few_rounds_keeps_those_that_were_disturbed(tmp_path: Path, rounds: int, left_out: int) -> None:
    def until_the_budget_ends(index: int) -> dict[str, Any]:
        if index == rounds - 1:
            time.sleep(0.2)
        return line(index, discarded="heat" if index == 0 else None)

    measured = Measured()
    looks.run_rounds(session(tmp_path, budget_seconds=0.1), measured, until_the_budget_ends)
    assert len(measured.rounds) == rounds
    assert sum(one["discarded"] is not None for one in measured.rounds) == left_out
    assert measured.rounds[0]["cause"] == "heat"


def test_a_look_tells_what_it_sees_and_why_the_measuring_goes_on(tmp_path: Path) -> None:
    def noisy(index: int) -> dict[str, Any]:
        return line(index, ratio=1.3 + 0.2 * (-1) ** index if index < ranks.LOOKS[0] else 1.3)

    told = session(tmp_path)
    looks.run_rounds(told, Measured(), noisy)
    first, *_, last = told.said.log().decode().splitlines()
    assert ": faster, 1." in first
    assert first.endswith(": more rounds will tell by how much")
    assert last.endswith("]")


def spread(index: int, *, ratio: float = 1.5, noise: float = 0.02) -> dict[str, Any]:
    return line(index, ratio=ratio * math.exp(random.Random(index).gauss(0, noise)))


@pytest.mark.parametrize(
    ("precision", "rounds", "stopped"),
    [(None, 8, "verdict"), ("9", 8, "verdict"), ("1.2", 32, "verdict"), ("0", 128, "rounds")],
)
def test_a_verdict_is_measured_on_until_it_is_as_precise_as_was_asked(
    tmp_path: Path, precision: str | None, rounds: int, stopped: str
) -> None:
    measured = Measured()
    looks.run_rounds(session(tmp_path, precision_percent=precision), measured, spread)
    assert (len(measured.rounds), measured.stopped) == (rounds, stopped)


@pytest.mark.parametrize(
    ("ratio", "noise", "precision", "why"),
    [
        (1.5, 0.02, "0", "by how much"),
        (1.0, 0.001, "0", "by how much"),
        (1.015, 0.006, None, "whether it stays that small"),
    ],
)
def test_a_look_says_what_more_rounds_are_for(
    tmp_path: Path, ratio: float, noise: float, precision: str | None, why: str
) -> None:
    told = session(tmp_path, precision_percent=precision)
    looks.run_rounds(told, Measured(), lambda index: spread(index, ratio=ratio, noise=noise))
    said = told.said.log().decode()
    assert why in said, said
