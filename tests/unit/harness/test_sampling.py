"""What a sample's waiting for its CPU may take off its time, as a table."""

from __future__ import annotations

import pytest

from isobench_runner.harness.sampling import plausible, taken_off


@pytest.mark.parametrize(
    ("wall_ns", "cpu_ns", "said", "seen", "taken"),
    [
        pytest.param(10, 10, 0, 0, 0, id="nobody was in its way"),
        pytest.param(15, 10, 5, 6, 5, id="another process held the CPU"),
        pytest.param(30, 10, 5, 5, 5, id="it slept, too, and that is its own"),
        pytest.param(15, 10, 9, 3, 3, id="it says more than the kernel told the parent"),
        pytest.param(20, 20, 10, 10, 0, id="its own helper held the CPU"),
        pytest.param(20, 17, 10, 10, 3, id="its own helper held the CPU most of the time"),
        pytest.param(20, 35, 10, 10, 0, id="it ran on several"),
        pytest.param(15, 0, 15, 15, 14, id="something is left of a sample"),
        pytest.param(15, 10, -5, 5, 0, id="it says nonsense"),
    ],
)
def test_a_wait_counts_as_others_as_far_as_the_kernel_saw_it_and_nothing_of_its_own_ran(
    wall_ns: int, cpu_ns: int, said: int, seen: int, taken: int
) -> None:
    assert taken_off(wall_ns, cpu_ns, said=said, seen=seen) == taken


@pytest.mark.parametrize(
    ("passed", "claimed", "waited", "believed"),
    [
        (10_000_000, 9_970_000, 0, True),
        (10_000_000, 9_400_000, 0, False),
        (10_000_000, 9_400_000, 200_000, True),
        (10_000_000, 10_000_001, 0, False),
        (10_000_000, 0, 10_000_000, False),
    ],
)
def test_a_worker_is_believed_within_what_the_parent_can_explain(
    passed: int, claimed: int, waited: int, believed: bool
) -> None:
    assert plausible(passed, claimed, waited) is believed
