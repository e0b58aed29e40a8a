"""What endpoints refuse is dropped once and remembered; what they ask to wait is understood in every form."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from isobench_runner.contract import Model
from isobench_runner.llm.answers import OptionRefused
from isobench_runner.llm.options import Refusals, refused_option, wanted_options
from isobench_runner.llm.wire import retry_after

OWN = Model(provider="openai", model="m", temperature="0.2", max_tokens=500)
SERVER = Model(provider="openai", model="m", base_url="http://localhost/v1", max_tokens=500)
NOW = datetime(2024, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "Mon, 01 Jan 2024 12:00:30 GMT"}, 30.0),
        ({"retry-after": "Mon, 01 Jan 2024 11:00:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after-ms": "x"}, None),
    ],
)
def test_a_wait_is_read_as_seconds_milliseconds_or_a_date(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers, lambda: NOW) == seconds


def test_the_makers_own_endpoint_and_its_imitators_are_asked_in_their_own_words() -> None:
    assert wanted_options(OWN)["max_completion_tokens"] == 500
    assert wanted_options(SERVER)["max_tokens"] == 500


def test_a_refusal_is_of_one_model_at_one_endpoint() -> None:
    refusals = Refusals()
    assert refusals.note(OWN, OptionRefused("no", option="temperature"))
    assert "temperature" not in refusals.apply(OWN)[0]
    assert refusals.apply(Model(provider="openai", model="other", temperature="0.2"))[0]["temperature"] == 0.2


def test_the_same_refusal_twice_is_news_once() -> None:
    refusals = Refusals()
    assert refusals.note(OWN, OptionRefused("no", option="stream"))
    assert not refusals.note(OWN, OptionRefused("no", option="stream"))


def test_a_limit_refused_under_both_names_is_left_out_and_said() -> None:
    refusals = Refusals()
    refusals.note(SERVER, OptionRefused("no", option="max_tokens"))
    refusals.note(SERVER, OptionRefused("no", option="max_completion_tokens"))
    send, dropped = refusals.apply(SERVER)
    assert not {"max_tokens", "max_completion_tokens"} & set(send)
    assert dropped == {"max_tokens": 500}


@pytest.mark.parametrize(
    ("message", "param", "option", "limit"),
    [
        ("Unsupported value", "temperature", "temperature", None),
        ("`temperature` is deprecated for this model.", None, "temperature", None),
        ("max_tokens is too large: 500. This model supports at most 256 completion tokens", None, "max_tokens", 256),
        ("output_config.effort: this model has no effort", None, "reasoning_effort", None),
        ("stream_options: extra inputs are not permitted", None, "stream_options", None),
    ],
)
def test_the_option_that_a_bad_request_is_about_is_found(
    message: str, param: str | None, option: str, limit: int | None
) -> None:
    sent: dict[str, Any] = {
        "max_tokens": 500,
        "temperature": 0.2,
        "stream": True,
        "stream_options": {},
        "reasoning_effort": "low",
    }
    found = refused_option(message, param=param, sent=sent)
    assert found is not None
    assert (found.option, found.limit) == (option, limit)


def test_a_bad_request_about_something_else_is_about_no_option() -> None:
    assert refused_option("prompt is too long: 250000 tokens", param="messages", sent={"temperature": 0.2}) is None
