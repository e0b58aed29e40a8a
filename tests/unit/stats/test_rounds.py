"""Whose clock counts: a worker's claim is believed where the parent's clock and what both waited for a CPU allow it."""

from __future__ import annotations

import json

import pytest

from isobench_runner.contract import StageError
from isobench_runner.harness import sampling
from isobench_runner.stats.rounds import parse_rounds
from support.rounds import make_rounds


def _line(**changes: int) -> bytes:
    line = make_rounds(rounds=1, ratio=1.0, k=1)[0]
    line["samples"]["base"][0].update(changes)
    return json.dumps(line).encode()


@pytest.mark.parametrize("waits", [(0, 0), (900_000, 0), (0, 900_000), (500_000, 400_000)])
@pytest.mark.parametrize("gap", [-1, 0, 400_000, 1_300_000, 2_000_000])
def test_the_report_believes_what_the_measuring_parent_believed(waits: tuple[int, int], gap: int) -> None:
    passed = 20_000_000
    content = _line(parent_ns=passed, wall_ns=passed - gap, run_delay_ns=waits[0], parent_delay_ns=waits[1])
    sample = parse_rounds(content, base="base", other="head")[0][0].base.samples[0]
    assert sample.agrees is sampling.plausible(passed, passed - gap, sum(waits))
    assert sample.ns == (passed - gap if sample.agrees else passed)


def test_a_wait_that_is_no_duration_is_refused() -> None:
    with pytest.raises(StageError, match="parent_delay_ns"):
        parse_rounds(_line(parent_delay_ns=-1), base="base", other="head")
