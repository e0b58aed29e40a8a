"""The log of a Job, put into the store under the Job's name: what every container before `report` left of its own, and the report's word.

Read when the pod is gone. Nothing in it is evidence, and a log that cannot be kept costs nobody a result.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from isobench_runner.contract import Report
from isobench_runner.store import Store, StoreError
from isobench_runner.transcript import log_name, redacted

SOURCES = ("in/fetch", "in/list", "out/build", "out/generate", "out/measure", "out/collect", "out/publish")
"""Logs below a Job's folder, in the order in which they are written."""
MAX_BYTES = 16 << 20
"""Of a Job's log, all of its pods together: of a longer one the end is kept."""
CUT = b"... the beginning was too long to be kept\n"


def heading(container: str, pod: str) -> bytes:
    """What stands above a container's part."""
    return f"==> {container} ({pod}) <==\n".encode()


def conclusion(report: Report) -> str:
    """What the Job came to, in words."""
    reason = report.reason.value if report.reason else "Succeeded"
    tail = redacted(report.tail.encode("utf-8", "replace")).decode()
    return f"report: {reason}{': ' if tail else ''}{tail}"


def _end(path: Path) -> bytes | None:
    """The end of a file that anybody may have written; None where there is none, or it is no ordinary one."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode):
            return None
        file.seek(max(0, info.st_size - MAX_BYTES))
        return file.read(MAX_BYTES)


def gather(report: Report, root: Path, pod: str) -> bytes:
    """The log of one pod."""
    parts = []
    for source in SOURCES:
        text = _end(root / f"{source}.log")
        if text:
            parts += [heading(source.partition("/")[2], pod), redacted(text), b"" if text.endswith(b"\n") else b"\n"]
    parts += [heading("report", pod), f"{conclusion(report)}\n".encode("utf-8", "replace")]
    return b"".join(parts)


def keep(report: Report, root: Path, store: Store, environment: Mapping[str, str]) -> None:
    """Put it into the store, after what earlier pods of the Job left there."""
    job = environment.get("ISOBENCH_JOB")
    if not job:
        return
    try:
        before = store.resolve(log_name(job))
        text = (store.get(before) if before is not None else b"") + gather(
            report, root, environment.get("ISOBENCH_POD", "")
        )
        if len(text) > MAX_BYTES:
            text = CUT + text[len(text) - MAX_BYTES + len(CUT) :]
        store.point(log_name(job), store.put(text))
    except (StoreError, OSError) as error:
        sys.stderr.write(f"report: the log could not be kept: {error}\n")
