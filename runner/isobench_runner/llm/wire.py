"""What the clients of both wire protocols share: reading answers that may be of any form, and telling failures apart.

A client sends one request by its maker's SDK, whose retries are off, and turns whatever happens into an Answer or one of the errors of
`answers`; it decides nothing about trying again. Answers are streamed where the endpoint can, so that a slow one keeps the connection
alive; an endpoint that answers a streaming request with one plain JSON body is understood as well.
"""

from __future__ import annotations

import email.utils
import importlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol, cast

from isobench_runner.contract import Model

from .answers import Answer, Finish, KeyRejected, Message, ModelError, OptionRefused, Transient, Unusable
from .keys import redact
from .options import refused_option

NO_KEY = "no-key"
"""Sent where an endpoint wants none: both SDKs insist on some text."""
_TRANSIENT_TYPES = frozenset({"overloaded_error", "api_error", "rate_limit_error", "timeout_error", "server_error"})
_NO_CREDIT = frozenset({"insufficient_quota", "billing_hard_limit_reached"})


class Client(Protocol):
    """Sends one request."""

    def __call__(
        self, messages: list[Message], model: Model, options: dict[str, Any], *, key: str | None, timeout: float
    ) -> Answer:
        """Ask once, giving up after `timeout` seconds of silence or four times that in all.

        Raises:
            ModelError: of the kind that says what would help.
        """
        ...


def client_of(provider: str) -> Client:
    """The client of a provider; its SDK, which takes a second to import, is loaded when first asked for."""
    return cast("Client", importlib.import_module(f".{provider}_client", __package__).ask)


def finish_of(word: str | None) -> Finish:
    if word in {"length", "max_tokens", "model_context_window_exceeded"}:
        return "length"
    return "refusal" if word in {"content_filter", "refusal"} else "stop"


class Stopwatch:
    """Bounds the time of a stream that never falls silent and never ends."""

    def __init__(self, limit: float, clock: Callable[[], float]) -> None:
        self._clock, self._limit, self._start = clock, limit, clock()

    def check(self) -> None:
        if self.seconds > self._limit:
            raise Transient(f"the answer did not end within {self._limit:.0f} s")

    @property
    def seconds(self) -> float:
        return self._clock() - self._start


def count_of(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else getattr(usage, name, None)
    return value if isinstance(value, int) and value >= 0 else None


def _detail(body: Any) -> dict[str, Any]:
    """The error object of a body: both protocols put it under `error`, and the SDKs sometimes unwrap it."""
    if not isinstance(body, dict):
        return {}
    inner = body.get("error", body)
    return inner if isinstance(inner, dict) else {"message": str(inner)}


def retry_after(headers: Any, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> float | None:
    """Seconds that an endpoint asks to wait: `retry-after-ms`, or `Retry-After` as seconds or as a date; None where neither is there."""
    try:
        if "retry-after-ms" in headers:
            return max(0.0, float(headers["retry-after-ms"]) / 1000)
        value = headers.get("retry-after")
        if value is None:
            return None
        try:
            return max(0.0, float(value))
        except ValueError:
            return max(0.0, (email.utils.parsedate_to_datetime(value) - now()).total_seconds())
    except (ValueError, TypeError):
        return None


def typed_error(error: Exception, sent: dict[str, Any], key: str | None) -> ModelError:
    """What an SDK's error means for whoever decides about trying again."""
    if isinstance(error, ModelError):
        return error
    if type(error).__name__ == "InvalidURL":
        return Unusable(f"the address of the endpoint is none: {error}")
    detail = _detail(getattr(error, "body", None))
    words = redact(str(detail.get("message") or error), key)[:1000]
    kind = str(detail.get("type") or "")
    status = getattr(error, "status_code", None)
    if status is None or status < 400:
        # An error event inside of a stream has the status 200 of its response; without a status the connection itself failed.
        lasting = status is not None and kind and kind not in _TRANSIENT_TYPES
        return Unusable(words) if lasting else Transient(words or type(error).__name__)
    named = f"{status}: {words}"
    if status in {401, 403}:
        return KeyRejected(named)
    if status == 402 or str(detail.get("code")) in _NO_CREDIT:
        return Unusable(named)
    if status in {400, 422}:
        refused = refused_option(words, param=_text_or_none(detail.get("param")), sent=sent)
        if refused is not None:
            return OptionRefused(named, option=refused.option, limit=refused.limit)
    if status in {408, 409, 425, 429} or status >= 500:
        response = getattr(error, "response", None)
        return Transient(named, retry_after=retry_after(response.headers) if response is not None else None)
    return Unusable(named)


def _text_or_none(value: Any) -> str | None:
    return value if isinstance(value, str) else None
