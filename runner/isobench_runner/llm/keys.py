"""Where keys come from and who may see them: the one place that reads a key.

A process that holds a key is not dumpable (`isobench_runner.dumpable`): no core file, and no reading of its memory or environment by a
process of the same user.
A key is never part of a request, a report, a log line or an exception: `redact` takes it out of whatever an endpoint echoes.
"""

from __future__ import annotations

from pathlib import Path

from isobench_runner.contract import Model

from .answers import KeyMissing, name_of


def key_from_file(model: Model) -> str | None:
    """The key that `model.key_file` holds, without the line end that editors leave behind.

    Raises:
        KeyMissing: the file is not there, cannot be read or is empty; says which.
    """
    if model.key_file is None:
        return None
    place = model.key_origin or model.key_file
    try:
        key = Path(model.key_file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is no text"
        raise KeyMissing(f"the key of {name_of(model)} cannot be read from {place}: {what}; create it") from error
    if not key:
        raise KeyMissing(f"the key of {name_of(model)} in {place} is empty")
    return key


def redact(text: str, key: str | None) -> str:
    """`text` without the key; endpoints like to echo it."""
    return text if not key else text.replace(key, "[key]")


def mask(key: str) -> str:
    """What people are shown of a key: its length's order and last four characters of a long one."""
    return f"…{key[-4:]}" if len(key) >= 16 else "…"
