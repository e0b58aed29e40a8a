"""outcome.json: the last act of every container that is not `report`, trusted or not, and how `report` reads it.

What an untrusted container left is data: it is opened without following links, limited in size, and believed only where it has the
form `{stage, reason, tail}` with a reason of the closed list.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .contract import Reason, StageError
from .store import write_atomic

MAX_OUTCOME_BYTES = 1 << 20


@dataclass(frozen=True)
class Outcome:
    """What a container says of itself.

    Attributes:
        reason: None where it did all it had to.
        tail: its last lines, for people.
        detail: further fields by stage; untrusted.
    """

    stage: str
    reason: Reason | None
    tail: str = ""
    detail: dict[str, Any] = field(default_factory=dict)


def write_outcome(
    folder: Path, stage: str, reason: Reason | None, tail: str = "", detail: dict[str, Any] | None = None
) -> None:
    """Write outcome.json into a stage's output folder."""
    body = {
        "v": 1,
        "stage": stage,
        "reason": reason.value if reason else None,
        "tail": tail[-20000:],
        "detail": detail or {},
    }
    write_atomic(folder / "outcome.json", json.dumps(body).encode())


def read_untrusted(path: Path, limit: int) -> bytes | None:
    """Read a file that untrusted code wrote: no links, ordinary files only, at most `limit` bytes; None where it is not there.

    Raises:
        StageError: ResultInvalid, naming the file.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StageError(Reason.RESULT_INVALID, f"{path.name} cannot be read: {error.strerror}") from error
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or info.st_size > limit:
            raise StageError(Reason.RESULT_INVALID, f"{path.name} is no ordinary file of at most {limit} bytes")
        content = file.read(limit + 1)
    if len(content) > limit:
        raise StageError(Reason.RESULT_INVALID, f"{path.name} is larger than {limit} bytes")
    return content


def read_outcome(folder: Path) -> Outcome | None:
    """Read outcome.json, or None where its container left none.

    Raises:
        StageError: ResultInvalid, naming what is wrong with it.
    """
    content = read_untrusted(folder / "outcome.json", MAX_OUTCOME_BYTES)
    if content is None:
        return None
    try:
        body = json.loads(content)
        reason = body["reason"]
        detail = body.get("detail", {})
        if not isinstance(detail, dict):
            raise TypeError("detail")
        return Outcome(
            str(body["stage"]), None if reason is None else Reason(reason), str(body.get("tail", "")), detail
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StageError(Reason.RESULT_INVALID, f"outcome.json has no valid {error}") from error
