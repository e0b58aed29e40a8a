"""What a GPU's counters mean for a run."""

from __future__ import annotations

from typing import Any

import pytest

from isobench_runner.harness import gpu_rules


def line(index: int = 0, *, base: int = 1900, head: int = 1900, **seen: Any) -> dict[str, Any]:
    clocks = {"base": [base, base], "head": [head, head]}
    return {
        "round": index,
        "discarded": None,
        "spent_ns": {"start": 0, "samples": 10**9, "end": 0},
        "gpu": {
            "reasons": 0,
            "violations_ns": {"thermal": 0},
            "foreign_processes": 0,
            "sample_clocks_mhz": clocks,
            **seen,
        },
    }


def test_a_quiet_card_is_comparable() -> None:
    assert gpu_rules.incomparable([line(index) for index in range(9)]) is None


def test_rounds_without_a_gpu_say_nothing() -> None:
    assert gpu_rules.incomparable([{"round": 0, "gpu": None, "discarded": None}, {"round": 1}]) is None


def test_a_kept_round_with_a_hardware_slowdown_is_named() -> None:
    assert "round 3" in (
        gpu_rules.incomparable([line(index, reasons=0x40 if index == 3 else 0) for index in range(9)]) or ""
    )


def test_a_discarded_one_counts_for_nothing() -> None:
    lines = [line(index, reasons=0x40 if index == 3 else 0) for index in range(9)]
    lines[3]["discarded"] = "the GPU reported a thermal slowdown by the hardware"
    assert gpu_rules.incomparable(lines) is None


@pytest.mark.parametrize("seen", [{"reasons": 0x20}, {"violations_ns": {"thermal": 20_000_000}}], ids=["bit", "burst"])
def test_heat_in_some_rounds_excludes_and_in_all_degrades(seen: dict[str, Any]) -> None:
    some = [line(index, **(seen if index % 2 else {})) for index in range(8)]
    assert "4 of 8" in (gpu_rules.incomparable(some) or "")
    every = [line(index, **seen) for index in range(8)]
    assert gpu_rules.incomparable(every) is None
    assert gpu_rules.degraded(every)


def test_a_denser_kernel_that_clocks_lower_is_reported_and_not_excluded() -> None:
    lines = [line(index, base=1900, head=1520, reasons=0x4) for index in range(9)]
    assert gpu_rules.incomparable(lines) is None
    assert gpu_rules.clock_ratio(lines, "head") == pytest.approx(1.25)


def test_a_drift_of_bases_own_clock_excludes() -> None:
    lines = [line(index, base=1900 - 20 * index) for index in range(9)]
    assert "-6" in (gpu_rules.incomparable(lines) or "")


@pytest.mark.parametrize("junk", ["x", None, -1, True, [], {}, float("nan"), 1e300])
def test_what_is_no_number_says_nothing(junk: Any) -> None:
    lines = [
        line(index, reasons=junk, violations_ns=junk, foreign_processes=junk, sample_clocks_mhz=junk)
        for index in range(9)
    ]
    assert gpu_rules.incomparable(lines) is None
    assert gpu_rules.summary(lines, "head") == {
        "clock_ratio": None,
        "degraded": False,
        "gpu_shares": {"base": None, "head": None},
    }


@pytest.mark.parametrize(
    ("gpu_ms", "share"), [((8.0, 4.0), 0.6), ((8.0, None), None), ((8.0, "x"), None), ((0, 0), 0.0)]
)
def test_what_events_cover_is_a_share_of_the_wall_clock_where_every_sample_says_it(
    gpu_ms: tuple[Any, Any], share: float | None
) -> None:
    lines = [
        {**line(index), "samples": {"base": [{"gpu_ms": ms, "wall_ns": 10_000_000} for ms in gpu_ms]}}
        for index in range(3)
    ]
    assert gpu_rules.event_share(lines, "base") == (None if share is None else pytest.approx(share))
    assert gpu_rules.event_share(lines, "head") is None


@pytest.mark.parametrize(
    ("clocks", "done"),
    [
        ([345], False),
        ([345, 900, 1500], False),
        ([345, 1790], True),
        ([1400, 1405, 1401], True),
        ([None], True),
        ([], True),
    ],
)
def test_warming_ends_near_the_highest_clock_or_at_rest(clocks: list[int | None], done: bool) -> None:
    assert gpu_rules.warm(clocks, 1980) is done


@pytest.mark.parametrize(
    ("ms", "loops", "gpu", "cold"),
    [(4, 1, True, True), (6, 1, True, False), (0.1, 128, True, False), (4, 1, False, False)],
)
def test_only_kernel_size_work_gets_a_cold_cache(ms: float, loops: int, gpu: bool, cold: bool) -> None:
    assert gpu_rules.cold_cache(ms * 1e6, gpu=gpu, loops=loops) is cold
