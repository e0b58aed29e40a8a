"""How a `report` container tells the operator what happened: exit codes and the termination message.

A message is `<bytes> <crc32> <json>`: Kubernetes cuts messages silently, so its length and checksum come first and a cut one is
never believed. 1,500 bytes are safe for pods of up to eight containers, whose messages share 12,288 bytes equally.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from .reasons import EXPLANATIONS, Reason, Retry

MAX_MESSAGE_BYTES = 1500
EXIT_OK = 0
EXIT_NEVER = 42
"""Failed for good: `podFailurePolicy` fails the Job at once."""
EXIT_AGAIN = 75
"""May be better the next time (EX_TEMPFAIL of sysexits.h): counts against the Job's backoff limit."""


class MessageError(ValueError):
    """A termination message that is cut, forged or not ours."""


def exit_code(reason: Reason | None) -> int:
    """The exit code of the report container for an outcome; None is success."""
    if reason is None:
        return EXIT_OK
    return EXIT_AGAIN if EXPLANATIONS[reason].retry is Retry.BACKOFF else EXIT_NEVER


def cut_bytes(text: str, limit: int) -> str:
    """The end of `text` that fits into `limit` bytes of JSON-encoded UTF-8, marked where something was cut."""
    if len(json.dumps(text, ensure_ascii=False).encode()) - 2 <= limit:
        return text
    mark = "…"
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        if len(json.dumps(mark + text[len(text) - middle :], ensure_ascii=False).encode()) - 2 <= limit:
            low = middle
        else:
            high = middle - 1
    return mark + text[len(text) - low :] if limit >= len(mark.encode()) else ""


def _dump(body: dict[str, Any]) -> str:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), sort_keys=True, allow_nan=False)


def encode(body: dict[str, Any], *, tail: str = "") -> str:
    """Write a message; `tail` (evidence) gets whatever room the fixed fields leave.

    Raises:
        ValueError: the fixed fields alone do not fit, or hold a number that is not finite.
    """
    room = MAX_MESSAGE_BYTES - len(_dump({**body, "tail": ""}).encode()) - len("1500 ffffffff ")
    if room < 0:
        msg = f"a report's fixed fields take {-room} bytes more than a termination message holds"
        raise ValueError(msg)
    text = _dump({**body, "tail": cut_bytes(tail, room)})
    return f"{len(text.encode())} {zlib.crc32(text.encode()):08x} {text}"


def decode(message: str, *, nonce: str) -> dict[str, Any]:
    """Read a message of the Job that was given `nonce`.

    Raises:
        MessageError: cut, altered, without our form, or of another attempt.
    """
    parts = message.split(" ", 2)
    if len(parts) != 3 or not parts[0].isdigit():
        msg = "no length and checksum in front"
        raise MessageError(msg)
    raw = parts[2].encode()
    if len(raw) != int(parts[0]) or f"{zlib.crc32(raw):08x}" != parts[1]:
        msg = f"{len(raw)} bytes came, {parts[0]} were sent, or they were altered on the way"
        raise MessageError(msg)
    try:
        body = json.loads(parts[2])
    except ValueError as error:
        raise MessageError(str(error)) from error
    if not isinstance(body, dict) or body.get("nonce") != nonce:
        msg = "the nonce is not this attempt's"
        raise MessageError(msg)
    return body
