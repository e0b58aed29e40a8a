"""Log lines: one JSON object a line for machines, or words for a terminal; whom a line is about stands in fields of its own.

A line is written with `extra={"about": key}`, and with `extra={"fields": {…}}` for what else a query may want.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from datetime import UTC, datetime
from typing import Literal, TextIO

NOISY = {"kopf": logging.WARNING, "aiohttp": logging.WARNING, "asyncio": logging.WARNING, "kubernetes": logging.WARNING}
REPEAT_SECONDS = 30.0
_COLOURS = {logging.WARNING: "\x1b[33m", logging.ERROR: "\x1b[31m", logging.CRITICAL: "\x1b[31m"}


def _about(record: logging.LogRecord) -> dict[str, str]:
    key = getattr(record, "about", None)
    return {} if key is None else {"kind": key.kind, "namespace": key.namespace, "name": key.name}


class JsonFormatter(logging.Formatter):
    """time, level, logger, message; kind, namespace, name; further fields; error for a bug's stack trace."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        body = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_about(record),
            **getattr(record, "fields", {}),
        }  # fmt: skip
        if record.exc_info:
            body["error"] = self.formatException(record.exc_info)
        return json.dumps(body, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """The same for people: time, whom it is about, the message."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a bug's stack trace below it."""
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        about = _about(record)
        subject = f"{about['kind'].lower()}/{about['name']} in {about['namespace']}: " if about else ""
        word = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        if word and self._colour and record.levelno in _COLOURS:
            word = f"{_COLOURS[record.levelno]}{word}\x1b[0m"
        line = f"{at} {word}{subject}{record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class Calm(logging.Filter):
    """Lets a library say the same thing once in half a minute: every watch of an API server that is away says so every few seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is written."""
        if not record.name.startswith(tuple(NOISY)) or record.exc_info:
            return True
        words = " ".join(word for word in record.getMessage().split() if not word.startswith(("#", "http")))[:120]
        now = time.monotonic()
        if now - self._last.get(words, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        if len(self._last) > 1000:
            self._last.clear()
        self._last[words] = now
        return True


def setup(level: str, form: Literal["json", "text"], *, stream: TextIO | None = None) -> None:
    """Send every log line to stderr in one form.

    Args:
        level: of our own lines; libraries speak from warning on.
        form: `json` or `text`.
        stream: instead of stderr.
    """
    target = stream or sys.stderr
    handler = logging.StreamHandler(target)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(colour=target.isatty()))
    handler.addFilter(Calm())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in NOISY.items():
        logging.getLogger(name).setLevel(least)
