"""Both SDKs against a server that speaks the real protocols: what is understood, what is tried again, and what is given up."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from isobench_runner.contract import Model, Reason, StageError
from isobench_runner.llm.answers import Message
from isobench_runner.llm.asking import Asker, Bounds
from isobench_runner.llm.keys import key_from_file
from isobench_runner.llm.options import Refusals
from support.fake_llm import COMPLETION_TOKENS, PROMPT_TOKENS, Fail, FailInStream, FakeLLM, Hang, Say, Step

Provider = Literal["openai", "anthropic"]
PROVIDERS: tuple[Provider, ...] = ("openai", "anthropic")
QUICK = Bounds(attempts=4, wall_seconds=30, request_seconds=5, first_wait_seconds=1, longest_wait_seconds=8)
HELLO = Say(text="Hello there, this is an answer.")


class FakeSleep:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def model_at(server: FakeLLM, provider: Provider, **fields: object) -> Model:
    url = server.url if provider == "openai" else server.anthropic_url
    return replace(Model(provider=provider, model="m-1", base_url=url, max_tokens=500), **fields)


def asker(
    models: Sequence[Model], *, bounds: Bounds = QUICK, refusals: Refusals | None = None
) -> tuple[Asker, FakeSleep]:
    sleep = FakeSleep()
    known = Refusals() if refusals is None else refusals
    return Asker(models, bounds=bounds, refusals=known, sleep=sleep, jitter=lambda: 0.0), sleep


QUESTION: list[Message] = [{"role": "user", "content": "write a test"}]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("plain", [False, True], ids=["streamed", "one body"])
def test_an_answer_comes_whole_with_its_tokens_streamed_or_not(provider: Provider, plain: bool) -> None:
    with FakeLLM([replace(HELLO, plain=plain)]) as server:
        ask, sleep = asker([model_at(server, provider, temperature="0.2")])
        answer = ask(QUESTION)
    assert (answer.text, answer.finish) == (HELLO.text, "stop")
    assert (answer.prompt_tokens, answer.completion_tokens) == (PROMPT_TOKENS, COMPLETION_TOKENS)
    assert server.received[0].body["stream"] is True
    assert server.received[0].body["temperature"] == 0.2
    assert server.received[0].body["max_tokens"] == 500
    assert answer.applied["temperature"] == 0.2
    assert not sleep.waits


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    ("failure", "waits"),
    [
        (Fail(status=429, headers={"Retry-After": "7"}, kind="rate_limit_error"), [7.0, 0.0]),
        (Fail(status=500), [0.5]),
        (Fail(status=529, kind="overloaded_error"), [0.5]),
        (Fail(status=503), [0.5]),
        (FailInStream(), [0.5]),
        (FailInStream(kind="server_error", message="boom"), [0.5]),
        (replace(HELLO, cut_after=3), [0.5]),
        (Hang(seconds=0.0), [0.5]),
    ],
    ids=["429", "500", "529", "503", "overloaded in stream", "error in stream", "cut in stream", "closed"],
)
def test_what_may_pass_is_tried_again_after_the_wait_asked_for(
    provider: Provider, failure: Step, waits: list[float]
) -> None:
    with FakeLLM([failure, HELLO]) as server:
        ask, sleep = asker([model_at(server, provider)])
        answer = ask(QUESTION)
    assert answer.text == HELLO.text
    assert sleep.waits == waits[:1]
    assert len(server.received) == 2
    assert len(answer.tries) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_server_that_falls_silent_is_given_up_and_asked_again(provider: Provider) -> None:
    with FakeLLM([Hang(seconds=20), HELLO]) as server:
        ask, _ = asker([model_at(server, provider)], bounds=replace(QUICK, request_seconds=0.3))
        assert ask(QUESTION).text == HELLO.text
    assert len(server.received) == 2


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_slow_stream_outlives_the_limit_of_silence(provider: Provider) -> None:
    with FakeLLM([replace(HELLO, pause=0.15)]) as server:
        ask, _ = asker([model_at(server, provider)], bounds=replace(QUICK, request_seconds=0.6))
        answer = ask(QUESTION)
    assert answer.text == HELLO.text
    assert answer.latency_seconds > 0.6
    assert len(server.received) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("plain", [False, True], ids=["streamed", "one body"])
def test_an_answer_cut_at_its_limit_says_so(provider: Provider, plain: bool) -> None:
    with FakeLLM([Say(text="half a te", finish="length", plain=plain)]) as server:
        ask, _ = asker([model_at(server, provider)])
        assert ask(QUESTION).finish == "length"


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_refusal_goes_to_the_next_model_and_is_typed_where_none_is_left(provider: Provider) -> None:
    with FakeLLM([Say(text="I cannot help.", finish="refusal")]) as server, FakeLLM([HELLO]) as other:
        ask, _ = asker([model_at(server, provider), model_at(other, "openai")])
        answer = ask(QUESTION)
        assert answer.text == HELLO.text
        assert "declined" in answer.tries[0].error
        alone, _ = asker([model_at(server, provider)])
        with pytest.raises(StageError, match="I cannot help") as raised:
            alone(QUESTION)
    assert raised.value.reason is Reason.MODEL_REFUSED


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_rejected_key_is_not_tried_again_and_never_shown(provider: Provider, tmp_path: Path) -> None:
    secret = "sk-very-secret-0123456789"
    (tmp_path / "key").write_text(secret + "\n")
    with FakeLLM(
        [Fail(status=401, message=f"Incorrect API key provided: {secret}", kind="authentication_error")]
    ) as server:
        ask, _ = asker([model_at(server, provider, key_file=str(tmp_path / "key"))])
        with pytest.raises(StageError) as raised:
            ask(QUESTION)
    assert raised.value.reason is Reason.MODEL_KEY_REJECTED
    assert secret not in str(raised.value)
    assert len(server.received) == 1
    sent = server.received[0].headers
    assert secret in (sent.get("authorization", "") + sent.get("x-api-key", ""))


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    model = Model(provider="openai", model="m", key_file=str(tmp_path / "nothing"))
    ask = Asker([model], keys=key_from_file)
    with pytest.raises(StageError, match=str(tmp_path / "nothing")) as raised:
        ask(QUESTION)
    assert raised.value.reason is Reason.MISSING_INPUT


def test_one_rejected_key_of_two_models_falls_back() -> None:
    with FakeLLM([Fail(status=403)]) as server, FakeLLM([HELLO]) as other:
        ask, _ = asker([model_at(server, "anthropic"), model_at(other, "openai")])
        answer = ask(QUESTION)
    assert answer.model.provider == "openai"
    assert answer.tries[0].model.startswith("anthropic:m-1")


def test_attempts_are_bounded_and_the_next_model_is_asked() -> None:
    with FakeLLM([Fail(status=500, message="sorry")]) as server, FakeLLM([HELLO]) as other:
        ask, sleep = asker([model_at(server, "openai"), model_at(other, "anthropic")])
        assert ask(QUESTION).model.provider == "anthropic"
    assert len(server.received) == QUICK.attempts
    assert sleep.waits == [0.5, 1.0, 2.0]


def test_a_wait_past_the_wall_time_is_not_waited_for() -> None:
    with FakeLLM([Fail(status=429, headers={"retry-after": "3600"}, message="later")]) as server:
        ask, sleep = asker([model_at(server, "openai")])
        with pytest.raises(StageError, match="later") as raised:
            ask(QUESTION)
    assert raised.value.reason is Reason.MODEL_UNAVAILABLE
    assert not sleep.waits


def test_no_credit_is_not_waited_for() -> None:
    with FakeLLM([Fail(status=429, code="insufficient_quota", message="You exceeded your quota")]) as server:
        ask, sleep = asker([model_at(server, "openai")])
        with pytest.raises(StageError, match="quota"):
            ask(QUESTION)
    assert not sleep.waits
    assert len(server.received) == 1


def test_an_unknown_model_is_named_and_not_tried_again() -> None:
    with FakeLLM([Fail(status=404, message="The model m-1 does not exist", kind="not_found_error")]) as server:
        ask, _ = asker([model_at(server, "anthropic")])
        with pytest.raises(StageError, match="m-1 does not exist"):
            ask(QUESTION)
    assert len(server.received) == 1


def test_a_refused_temperature_is_dropped_once_and_remembered() -> None:
    refusal = Fail(status=400, message="Unsupported value: 'temperature' does not support 0.2", param="temperature")
    with FakeLLM([refusal, HELLO]) as server:
        refusals = Refusals()
        ask, sleep = asker([model_at(server, "openai", temperature="0.2")], refusals=refusals)
        first = ask(QUESTION)
        second = ask(QUESTION)
    assert first.not_applied == {"temperature": 0.2}
    assert second.not_applied == {"temperature": 0.2}
    assert ["temperature" in request.body for request in server.received] == [True, False, False]
    assert not sleep.waits


def test_anthropic_models_without_temperature_are_asked_without_it() -> None:
    refusal = Fail(status=400, message="temperature: Extra inputs are not permitted", kind="invalid_request_error")
    with FakeLLM([refusal, HELLO]) as server:
        ask, _ = asker([model_at(server, "anthropic", temperature="0.7", reasoning_effort="high")])
        assert ask(QUESTION).not_applied == {"temperature": 0.7}
    assert server.received[1].body["output_config"] == {"effort": "high"}


def test_max_tokens_becomes_max_completion_tokens_where_that_is_wanted() -> None:
    message = (
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    )
    with FakeLLM([Fail(status=400, message=message, param="max_tokens"), HELLO]) as server:
        ask, _ = asker([model_at(server, "openai")])
        answer = ask(QUESTION)
    assert server.received[1].body["max_completion_tokens"] == 500
    assert "max_tokens" not in server.received[1].body
    assert answer.not_applied == {}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_limit_of_tokens_above_the_models_is_lowered_to_it(provider: Provider) -> None:
    message = "max_tokens: 500 > 256, which is the maximum allowed number of output tokens for m-1"
    with FakeLLM([Fail(status=400, message=message, kind="invalid_request_error"), HELLO]) as server:
        ask, _ = asker([model_at(server, provider)])
        answer = ask(QUESTION)
    assert server.received[1].body["max_tokens"] == 256
    assert answer.not_applied == {"max_tokens": 500}


def test_a_server_that_cannot_stream_is_asked_without() -> None:
    with FakeLLM([Fail(status=400, message="stream is not supported here"), replace(HELLO, plain=True)]) as server:
        ask, _ = asker([model_at(server, "openai")])
        answer = ask(QUESTION)
    assert answer.text == HELLO.text
    assert "stream" not in server.received[1].body
    assert "stream_options" not in server.received[1].body


def test_tokens_that_nobody_counted_are_unknown() -> None:
    with FakeLLM([replace(HELLO, quiet=True)]) as server:
        ask, _ = asker([model_at(server, "openai")])
        assert ask(QUESTION).prompt_tokens is None


def test_an_address_where_nothing_listens_is_typed() -> None:
    ask, sleep = asker([Model(provider="openai", model="m", base_url="http://127.0.0.1:9/v1")])
    with pytest.raises(StageError) as raised:
        ask(QUESTION)
    assert raised.value.reason is Reason.MODEL_UNAVAILABLE
    assert len(sleep.waits) == QUICK.attempts - 1


def test_no_model_at_all_is_a_fault_of_the_spec() -> None:
    with pytest.raises(StageError) as raised:
        Asker([])(QUESTION)
    assert raised.value.reason is Reason.SPEC_INVALID


def test_the_list_of_models_tells_that_the_server_is_ready() -> None:
    with FakeLLM([HELLO]) as server, urllib.request.urlopen(f"{server.url}/models") as response:
        assert json.load(response)["data"][0]["id"] == "fake"


@pytest.mark.slow
def test_the_server_serves_a_folder_of_scripts_as_a_program(tmp_path: Path) -> None:
    (tmp_path / "0f40557a_test_case_generator.py").write_text("import pkg\n")
    command = [sys.executable, "-m", "support.fake_llm", "--port", "0", "--answers", str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ask, _ = asker([Model(provider="openai", model="any", base_url=process.stdout.readline().strip())])
        answer = ask([{"role": "user", "content": "the commit is 0f40557af6141ced118b81f2a04e651a0c6c9dbd"}])
        process.terminate()
    assert "import pkg" in answer.text
