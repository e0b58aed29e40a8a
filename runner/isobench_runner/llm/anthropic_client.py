"""Messages: Anthropic's protocol."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import anthropic
import httpx2

from isobench_runner.contract import Model

from .answers import Answer, Message, ModelError, Transient
from .wire import NO_KEY, Stopwatch, count_of, finish_of, typed_error

ANTHROPIC_URL = "https://api.anthropic.com"


def ask(
    messages: list[Message],
    model: Model,
    options: dict[str, Any],
    *,
    key: str | None,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
) -> Answer:
    """Messages of Anthropic. `temperature` goes as a field of the body: the SDK has no parameter for it, older models do."""
    watch = Stopwatch(timeout * 4, clock)
    turns: Any = [dict(message) for message in messages]
    body = {name: value for name, value in options.items() if name == "temperature"}
    if "reasoning_effort" in options:
        body["output_config"] = {"effort": options["reasoning_effort"]}
    try:
        with (
            anthropic.Anthropic(
                api_key=key or NO_KEY, base_url=model.base_url or ANTHROPIC_URL, timeout=timeout, max_retries=0
            ) as client,
            client.messages.with_streaming_response.create(
                model=model.model,
                messages=turns,
                max_tokens=options.get("max_tokens", model.max_tokens),
                stream=options.get("stream", False),
                extra_body=body,
            ) as response,
        ):
            if "text/event-stream" in response.headers.get("content-type", ""):
                text, finish, sent, received = _read_events(response, watch)
            else:
                text, finish, sent, received = _read_message(response.read())
    except (anthropic.APIError, httpx2.HTTPError, httpx2.InvalidURL, json.JSONDecodeError, ModelError) as error:
        raise typed_error(error, options, key) from error
    return Answer(
        text=text,
        finish=finish_of(finish),
        model=model,
        prompt_tokens=sent,
        completion_tokens=received,
        latency_seconds=watch.seconds,
        applied=options,
    )


def _prompt_count(usage: Any) -> int | None:
    """All tokens of the prompt, those read from and written to a cache among them."""
    counts = [count_of(usage, f"{kind}input_tokens") for kind in ("", "cache_creation_", "cache_read_")]
    return None if counts[0] is None else sum(count or 0 for count in counts)


def _read_message(body: bytes) -> tuple[str, str | None, int | None, int | None]:
    try:
        value = json.loads(body)
        text = "".join(str(block["text"]) for block in value["content"] if block.get("type") == "text")
        usage = value.get("usage")
        return text, value.get("stop_reason"), _prompt_count(usage), count_of(usage, "output_tokens")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Transient(f"the answer is no message: {body[:200].decode(errors='replace')!r}") from error


def _read_events(response: Any, watch: Stopwatch) -> tuple[str, str | None, int | None, int | None]:
    pieces: list[str] = []
    finish: str | None = None
    sent = received = None
    for event in response.parse():
        watch.check()
        if event.type == "message_start":
            sent = _prompt_count(event.message.usage)
        elif event.type == "content_block_delta" and event.delta.type == "text_delta":
            pieces.append(event.delta.text)
        elif event.type == "message_delta":
            finish = event.delta.stop_reason or finish
            received = count_of(event.usage, "output_tokens")
    if finish is None:
        raise Transient("the stream broke off before the answer had ended")
    return "".join(pieces), finish, sent, received
