"""Positions of the report's pictures."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from isobench_operator.reporting.pictures import Scale, forest_axis, ratio_plot, sample_plot, scale_over

RATIOS = st.floats(1e-4, 1e4)


@given(st.lists(RATIOS, max_size=20))
def test_every_value_and_one_lie_on_the_shared_axis(values):
    axis = forest_axis(values)
    for value in [*values, 1.0]:
        assert axis.scale.low < value < axis.scale.high
        assert 0 <= axis.scale.at(value) <= 100


@given(RATIOS, RATIOS, st.integers(3, 8))
def test_ticks_are_few_in_order_and_inside(low, high, most):
    assume(high / low > 1.001)
    ticks = Scale(low, high).ticks(most)
    positions = [tick.at for tick in ticks]
    assert positions == sorted(positions)
    assert all(0 <= at <= 100 for at in positions)
    assert len(ticks) <= most + 1


@given(RATIOS)
def test_twice_as_fast_and_half_as_fast_are_equally_far_from_one(value):
    axis = forest_axis([value, 1 / value])
    right, left = axis.scale.at(value) - axis.one, axis.one - axis.scale.at(1 / value)
    assert math.isclose(right, left, abs_tol=0.01)


def test_a_value_off_the_axis_stays_at_its_edge():
    assert Scale(1, 2).at(100) == 100
    assert Scale(1, 2).at(0.001) == 0


def test_equal_values_still_span_an_axis():
    scale = scale_over([5.0, 5.0])
    assert scale.low < 5 < scale.high


def a_result(rounds=4, samples=3, **changes):
    def taken(ns):
        return [{"wall_ns": ns + 1000 * i, "parent_ns": ns + 2000, "cpu_ns": ns} for i in range(samples)]

    raw = [{"discarded": None, "samples": {"base": taken(2_000_000), "head": taken(1_000_000)}} for _ in range(rounds)]
    return {"rounds": raw, "plan": {"loops": 1}, "statistics": {"speedup": 2.0, "ci95": [1.9, 2.1]}, **changes}


def test_each_sample_is_a_dot_and_each_round_a_ratio():
    plot = sample_plot(a_result(), "head", most_dots=100)
    assert [len(series.dots) for series in plot.series] == [12, 12]
    assert len(plot.ratios) == 4
    assert not plot.thinned


def test_slower_times_are_drawn_higher_and_ratios_above_one_too():
    plot = sample_plot(a_result(), "head", most_dots=100)
    base, head = plot.series
    assert base.median_at < head.median_at
    assert all(dot.y < plot.ratio_one for dot in plot.ratios)
    top, bottom = plot.ratio_band
    assert top < plot.ratio_at < bottom


def test_too_many_samples_become_medians_of_rounds():
    plot = sample_plot(a_result(rounds=40, samples=9), "head", most_dots=100)
    assert plot.thinned
    assert [len(series.dots) for series in plot.series] == [40, 40]
    few = sample_plot(a_result(rounds=128, samples=9), "head", most_dots=32)
    assert len(few.ratios) <= 32


def test_where_the_verdict_is_about_first_calls_they_are_drawn():
    result = a_result()
    for line in result["rounds"]:
        line["cold"] = {"base": {"wall_ns": 50_000_000}, "head": {"wall_ns": 40_000_000}}
    result["statistics"]["headline"] = "first_call"
    plot = sample_plot(result, "head", most_dots=100)
    assert plot.first_calls
    assert [len(series.dots) for series in plot.series] == [4, 4]
    assert len({dot.y for series in plot.series for dot in series.dots}) == 2
    del result["statistics"]["headline"]
    assert not sample_plot(result, "head", most_dots=100).first_calls


def test_rounds_left_out_are_not_drawn():
    result = a_result()
    result["rounds"][0]["discarded"] = "throttled"
    assert sample_plot(result, "head", most_dots=100).rounds == 3


@pytest.mark.parametrize(
    "result",
    [{}, {"rounds": []}, {"rounds": [1, None]}, {"rounds": [{"samples": {"base": "x"}}]}, a_result(statistics=None)],
)
def test_results_of_another_form_draw_what_they_can(result):
    plot = sample_plot(result, "head", most_dots=100)
    assert plot is None or plot.ratio_at is None


@given(st.integers(1, 200))
def test_rounds_are_numbered_from_the_first_to_the_last(rounds):
    ticks = sample_plot(a_result(rounds=rounds), "head", most_dots=10_000).round_ticks
    assert [ticks[0].label, ticks[-1].label] == ["1", str(rounds)]
    assert len(ticks) <= 9
    assert [tick.at for tick in ticks] == sorted({tick.at for tick in ticks})


def test_the_noise_floor_lies_around_one():
    plot = sample_plot(a_result(), "head", most_dots=100, floor_percent=20.0)
    top, bottom = plot.floor_band
    assert top < plot.ratio_one < bottom
    assert sample_plot(a_result(), "head", most_dots=100).floor_band is None


def test_several_ratios_share_an_axis_and_one_alone_is_no_picture():
    rows = [("warm", "2", 2.0, (1.9, 2.1), True), ("cold", "1.1", 1.1, None, False)]
    plot = ratio_plot(rows, 1.0)
    assert [row.counts for row in plot.rows] == [True, False]
    warm, cold = (row.bar for row in plot.rows)
    assert plot.one < cold.at < warm.low < warm.at < warm.high
    assert cold.low == cold.at == cold.high
    assert warm.band_low < plot.one < warm.band_high
    assert ratio_plot(rows[:1], 1.0) is None
