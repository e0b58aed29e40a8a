"""Which options an endpoint takes: what it refused once is dropped, remembered for the life of the process, and said.

Pure bookkeeping; the clients say what was refused, nothing here sends anything.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from isobench_runner.contract import Model

from .answers import OptionRefused

Endpoint = tuple[str, str | None, str]

_NUMBER = re.compile(r"(?<![\w.-])\d{2,7}(?![\w.-])")


def wanted_options(model: Model) -> dict[str, Any]:
    """The options that a model is to be asked with, by their name on the wire.

    OpenAI's own endpoint wants `max_completion_tokens`, the servers that imitate it mostly know `max_tokens` alone.
    """
    own = model.provider == "openai" and model.base_url is None
    options: dict[str, Any] = {"max_completion_tokens" if own else "max_tokens": model.max_tokens}
    if model.temperature is not None:
        options["temperature"] = float(model.temperature)
    if model.reasoning_effort is not None:
        options["reasoning_effort"] = model.reasoning_effort
    options["stream"] = True
    if model.provider == "openai":
        options["stream_options"] = {"include_usage": True}
    return options


@dataclass
class Refusals:
    """What every endpoint is known to refuse."""

    _known: dict[Endpoint, dict[str, int | None]] = field(default_factory=dict)

    def note(self, model: Model, refused: OptionRefused) -> bool:
        """Remember a refusal; False where it was known already, so that nothing would change by asking again."""
        known = self._known.setdefault(_endpoint(model), {})
        if refused.option in known and known[refused.option] == refused.limit:
            return False
        known[refused.option] = refused.limit
        return True

    def apply(self, model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options to send, and those wanted that are not sent."""
        known = self._known.get(_endpoint(model), {})
        send: dict[str, Any] = {}
        dropped: dict[str, Any] = {}
        for name, value in wanted_options(model).items():
            self._one(known, name, value, send=send, dropped=dropped)
        if "stream" in dropped:
            send.pop("stream_options", None)
        return send, dropped

    def _one(
        self, known: dict[str, int | None], name: str, value: Any, *, send: dict[str, Any], dropped: dict[str, Any]
    ) -> None:
        if name not in known:
            send[name] = value
            return
        limit = known[name]
        other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens"}.get(name)
        if limit is not None:
            send[name] = limit
            dropped[name] = value
        elif other is not None and other not in known:
            send[other] = value
        elif other is not None and (other_limit := known[other]) is not None:
            send[other] = other_limit
            dropped[name] = value
        else:
            dropped[name] = value


def _endpoint(model: Model) -> Endpoint:
    return (model.provider, model.base_url, model.model)


def refused_option(message: str, *, param: str | None, sent: dict[str, Any]) -> OptionRefused | None:
    """Which of the options sent a "bad request" is about, or None where it is about something else.

    Args:
        param: the field that the endpoint blames, if it says so by itself.
    """
    blamed = param if param in sent else None
    if blamed is None:
        words = set(re.findall(r"[a-z_]+", message.lower()))
        names = sorted(set(sent) & words, key=len, reverse=True)
        if "output_config" in words or "effort" in words:
            names += [name for name in ("reasoning_effort",) if name in sent]
        blamed = next(iter(names), None)
    if blamed is None:
        return None
    limit = None
    if blamed in {"max_tokens", "max_completion_tokens"}:
        smaller = [int(number) for number in _NUMBER.findall(message.replace(",", "")) if int(number) < sent[blamed]]
        limit = max(smaller, default=None)
    return OptionRefused(message, option=blamed, limit=limit)
