"""What a sample's waiting for its CPU may take off its time, as a table."""

from __future__ import annotations

import pytest

from isobench_runner.harness.sampling import others_held, plausible

MS = 1_000_000


@pytest.mark.parametrize(
    ("claimed", "passed", "said", "waited", "elsewhere", "taken"),
    [
        pytest.param(10, 11, 0, 0, 0, 0, id="nobody was in its way"),
        pytest.param(15, 16, 5, 6, 0, 5, id="another process held the CPU"),
        pytest.param(15, 16, 9, 3, 0, 3, id="it says more than the kernel counts"),
        pytest.param(15, 26, 8, 8, 0, 0, id="it waited outside of the clock, and says that it was inside"),
        pytest.param(15, 20, 8, 8, 0, 4, id="as much of it as both clocks do not explain otherwise"),
        pytest.param(20, 21, 10, 10, 10, 0, id="its own helper held the CPU"),
        pytest.param(20, 21, 10, 10, 7, 3, id="its own helper held the CPU most of the time"),
        pytest.param(34, 35, 8, 8, 8, 0, id="its own thread held the CPU, and it slept besides"),
        pytest.param(15, 16, 20, 20, 0, 15, id="a nanosecond is left of a sample"),
        pytest.param(15, 16, -5, 5, 0, 0, id="it says nonsense"),
    ],
)
def test_a_wait_counts_as_others_where_the_kernel_saw_it_and_nothing_of_its_own_ran(
    claimed: int, passed: int, said: int, waited: int, elsewhere: int, taken: int
) -> None:
    found = others_held(
        claimed * MS,
        passed * MS,
        said=said * MS,
        waited=waited * MS,
        parent_waited=MS // 2,
        elsewhere=elsewhere * MS,
        ran=0,
    )
    assert round(found / MS) == taken
    assert found < claimed * MS


@pytest.mark.parametrize(
    ("ran", "elsewhere", "taken"), [(10, 0, 5), (12, 0, 3), (15, 0, 0), (40, 0, 0), (12, 2, 3), (0, 0, 5)]
)
def test_nothing_waited_for_longer_than_it_did_not_run(ran: int, elsewhere: int, taken: int) -> None:
    found = others_held(
        15 * MS, 15 * MS, said=5 * MS, waited=5 * MS, parent_waited=0, elsewhere=elsewhere * MS, ran=ran * MS
    )
    assert round(found / MS) == taken


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
