"""Requests, messages and keys survive the way between operator and runner, or are refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_runner.contract import (
    EXIT_AGAIN,
    EXIT_NEVER,
    EXIT_OK,
    EXPLANATIONS,
    MAX_MESSAGE_BYTES,
    Environment,
    MeasureRequest,
    MessageError,
    Model,
    PrepareRequest,
    Reason,
    Report,
    RequestError,
    Retry,
    Revision,
    decode,
    encode,
    environment_key,
    exit_code,
    parse_request,
    repository_name,
)
from isobench_runner.contract.requests import GenerateRequest

SHA = "a" * 40
PREPARE = PrepareRequest(
    commit="c",
    nonce="n",
    repository_url="/x",
    repository="local/x",
    role="head",
    head=SHA,
    environment=Environment(setup=("a", "b")),
)


@pytest.mark.parametrize(
    "request_",
    [
        PREPARE,
        GenerateRequest(commit="c", nonce="n", repository_url="/x", repository="o/x", head=SHA, models=(Model(provider="openai", model="m"),)),
        MeasureRequest(
            commit="c", nonce="n", repository_url="/x", repository="o/x", role="base", test="sha256:1", origin="given", inputs="sha256:2",
            revisions=(Revision(name="base", sha=SHA, environment="sha256:3", key="k"),),
        ),
    ],
)  # fmt: skip
def test_a_request_reads_back_as_it_was_written(request_: PrepareRequest) -> None:
    assert parse_request(request_.to_json()) == request_


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"v": 2}, "version"),
        ({"kind": "bake"}, "unknown kind"),
        ({"colour": 1}, "colour"),
        ({"head": None, "environment": {"x": 1}}, "x"),
        ({"environment": []}, "object"),
    ],
)
def test_a_request_of_another_release_is_refused_by_name(change: dict[str, object], words: str) -> None:
    with pytest.raises(RequestError, match=words):
        parse_request(json.dumps({**json.loads(PREPARE.to_json()), **change}))


def test_a_missing_field_is_named() -> None:
    body = json.loads(PREPARE.to_json())
    del body["role"]
    with pytest.raises(RequestError, match="role"):
        parse_request(json.dumps(body))


@given(st.text(max_size=4000), st.dictionaries(st.text(max_size=8), st.text(max_size=30), max_size=5))
def test_a_message_always_fits_and_reads_back(tail: str, data: dict[str, str]) -> None:
    message = encode({"v": 1, "nonce": "n", "reason": None, "data": data}, tail=tail)
    assert len(message.encode()) <= MAX_MESSAGE_BYTES
    body = decode(message, nonce="n")
    assert body["data"] == data
    assert tail.endswith(body["tail"].removeprefix("…"))


@given(st.integers(min_value=0, max_value=200))
def test_a_cut_message_is_never_believed(cut: int) -> None:
    message = Report(data={"sha": SHA}, tail="x" * 400).message(PREPARE)
    with pytest.raises(MessageError):
        decode(message[: len(message) - 1 - cut], nonce="n")


def test_a_message_of_another_attempt_or_with_altered_bytes_is_refused() -> None:
    message = Report(data={"sha": SHA}).message(PREPARE)
    with pytest.raises(MessageError, match="nonce"):
        decode(message, nonce="other")
    with pytest.raises(MessageError):
        decode(message.replace("aaaa", "bbbb"), nonce="n")


def test_numbers_that_are_not_finite_never_leave_a_report() -> None:
    with pytest.raises(ValueError, match="Out of range"):
        encode({"speedup": float("nan")})


def test_every_reason_is_explained_and_maps_to_an_exit_code() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    assert exit_code(None) == EXIT_OK
    assert {exit_code(reason) for reason in Reason} == {EXIT_NEVER, EXIT_AGAIN}
    for reason, explanation in EXPLANATIONS.items():
        assert explanation.meaning.endswith((".", "!")), reason
        assert explanation.remedy.endswith("."), reason
        assert (exit_code(reason) == EXIT_AGAIN) == (explanation.retry is Retry.BACKOFF)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/vllm-project/vllm.git", "vllm-project/vllm"),
        ("git@github.com:sgl-project/sglang.git", "sgl-project/sglang"),
        ("ssh://git@host:22/a/b/c.git", "b/c"),
        ("https://host/only", "local/only"),
        ("/srv/repos/thing", "local/thing"),
        ("file:///srv/repos/thing.git/", "local/thing"),
    ],
)
def test_a_repository_is_named_after_its_url(url: str, name: str) -> None:
    assert repository_name(url) == name


def test_a_key_changes_with_what_is_built_and_with_nothing_else() -> None:
    def key(environment: Environment, **change: str) -> str:
        return environment_key("o/n", SHA, environment, **{"python": "3.11", "as_of": "d", **change})

    plain = Environment(install=("pip install .",))
    assert key(plain) == key(Environment(install=("pip install .",), package="x", path=(".",), timeout_seconds=1))
    others = [
        key(Environment()),
        key(plain, python="3.12"),
        key(plain, as_of="e"),
        key(Environment(install=("pip install .",), test_requirements=("pytest",))),
    ]
    assert len({key(plain), *others}) == 5
