"""`set_condition` as apimachinery's SetStatusCondition behaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from isobench_operator.api import Condition, get_condition, set_condition, timestamp
from isobench_operator.api.conditions import MAX_MESSAGE

NOON = datetime(2026, 5, 1, 12, 0, 0, 999999, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


def _running() -> tuple[Condition, ...]:
    return set_condition((), type="Succeeded", status="Unknown", reason="Running", now=NOON, observed_generation=1)


def test_a_new_condition_comes_last_and_moves_now() -> None:
    conditions = set_condition(_running(), type="Finished", status="False", reason="Running", now=LATER)
    assert [condition.type for condition in conditions] == ["Succeeded", "Finished"]
    assert conditions[1].last_transition_time == "2026-05-01T13:00:00Z"


def test_the_transition_time_stays_while_the_status_stays() -> None:
    conditions = set_condition(
        _running(),
        type="Succeeded",
        status="Unknown",
        reason="Measuring",
        message="m",
        now=LATER,
        observed_generation=2,
    )
    assert conditions[0].reason == "Measuring"
    assert conditions[0].observed_generation == 2
    assert conditions[0].last_transition_time == timestamp(NOON) == "2026-05-01T12:00:00Z"


def test_the_transition_time_moves_with_the_status() -> None:
    conditions = set_condition(_running(), type="Succeeded", status="True", reason="Faster", now=LATER)
    assert conditions[0].last_transition_time == timestamp(LATER)


def test_setting_the_same_again_changes_nothing() -> None:
    before = _running()
    again = set_condition(
        before, type="Succeeded", status="Unknown", reason="Running", now=LATER, observed_generation=1
    )
    assert again == before


def test_a_long_message_keeps_its_end() -> None:
    conditions = set_condition((), type="A", status="False", reason="R", message="x" * 9000 + "the evidence", now=NOON)
    assert len(conditions[0].message) == MAX_MESSAGE
    assert conditions[0].message.endswith("the evidence")


def test_times_are_written_in_utc() -> None:
    assert timestamp(datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2)))) == "2025-12-31T23:00:00Z"


def test_a_condition_is_found_by_its_type() -> None:
    assert get_condition(_running(), "Succeeded") == _running()[0]
    assert get_condition(_running(), "Finished") is None
