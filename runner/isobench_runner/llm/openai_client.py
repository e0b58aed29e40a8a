"""Chat completions: OpenAI, and the many servers that speak its protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import openai

from isobench_runner.contract import Model

from .answers import Answer, Message, ModelError, Transient
from .wire import NO_KEY, Stopwatch, count_of, finish_of, typed_error

OPENAI_URL = "https://api.openai.com/v1"


def ask(
    messages: list[Message],
    model: Model,
    options: dict[str, Any],
    *,
    key: str | None,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Chat completions of OpenAI and of the servers that speak its protocol."""
    watch = Stopwatch(timeout * 4, clock)
    turns: Any = [dict(message) for message in messages]
    try:
        with (
            openai.OpenAI(
                api_key=key or NO_KEY, base_url=model.base_url or OPENAI_URL, timeout=timeout, max_retries=0
            ) as client,
            client.chat.completions.with_streaming_response.create(
                model=model.model, messages=turns, **options
            ) as response,
        ):
            if "text/event-stream" in response.headers.get("content-type", ""):
                text, finish, refused, usage = _read_chunks(response, watch)
            else:
                text, finish, refused, usage = _read_completion(response.read())
    except (openai.APIError, httpx2.HTTPError, httpx2.InvalidURL, json.JSONDecodeError, ModelError) as error:
        raise typed_error(error, options, key) from error
    return Answer(
        text=refused or text,
        finish="refusal" if refused else finish_of(finish),
        model=model,
        prompt_tokens=count_of(usage, "prompt_tokens"),
        completion_tokens=count_of(usage, "completion_tokens"),
        latency_seconds=watch.seconds,
        applied=options,
    )


_Read = tuple[str, str | None, str, Any]


def _read_completion(body: bytes) -> _Read:
    """A completion that came as one JSON body. Answers of servers are taken as they are, so nothing is assumed about their form."""
    try:
        value = json.loads(body)
        choice = value["choices"][0]
        message = choice["message"]
        return (
            str(message.get("content") or ""),
            choice.get("finish_reason"),
            str(message.get("refusal") or ""),
            value.get("usage"),
        )
    except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise Transient(f"the answer is no chat completion: {body[:200].decode(errors='replace')!r}") from error


def _read_chunks(response: Any, watch: Stopwatch) -> _Read:
    pieces: list[str] = []
    refusal: list[str] = []
    finish: str | None = None
    usage: Any = None
    for chunk in response.parse():
        watch.check()
        usage = chunk.usage or usage
        for choice in (chunk.choices or [])[:1]:
            finish = choice.finish_reason or finish
            if choice.delta is not None:
                pieces.append(choice.delta.content or "")
                refusal.append(choice.delta.refusal or "")
    if finish is None:
        raise Transient("the stream broke off before the answer had ended")
    return "".join(pieces), finish, "".join(refusal), usage
