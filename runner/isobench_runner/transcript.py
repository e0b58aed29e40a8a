"""What a trusted stage prints: shown as it comes, and kept beside its output for `report`, bounded and without what it holds secret.

The files hold what a container's log holds, so that a log can still be read when the container's is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import selectors
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from .contract import CollectRequest, GenerateRequest, PrepareRequest, Request
from .location import CREDENTIALS_VARIABLE

MAX_BYTES = 1 << 20
"""Of one stage's log."""
MAX_LINE_BYTES = 1 << 16
LEAST_SECRET = 8
"""Characters below which a value is no secret that could be told from an ordinary word."""
END_SECONDS = 5.0
"""How long a program that a stage left behind may hold its output open."""
CUT = b"... the log ends here, at its limit\n"
_IN_URL = re.compile(rb"(?<=://)[^/\s@]+@")
"""Linear in any text, for foreign code writes what is searched: a match begins after a slash and ends before the next one."""
_HARMLESS = frozenset({"known_hosts", "username", "type"})


def log_name(job: str) -> str:
    """The name under which the store has the log of a Job."""
    return f"log/{job}"


def _values(path: Path) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        yield from (line.strip() for line in path.read_bytes().splitlines())


def secrets_of(request: Request, environment: Mapping[str, str]) -> frozenset[bytes]:
    """What the containers of a Job may hold and nobody may read: git's passwords, models' keys, the Hub's token, the store's keys."""
    files: list[Path] = []
    folders = [environment.get(CREDENTIALS_VARIABLE)]
    if isinstance(request, PrepareRequest | GenerateRequest):
        folders.append(request.credentials)
    if isinstance(request, GenerateRequest):
        files += [Path(model.key_file) for model in request.models if model.key_file]
    if isinstance(request, CollectRequest) and request.publish is not None:
        files.append(Path(request.publish.token_file))
    for folder in filter(None, folders):
        with contextlib.suppress(OSError):
            files += [one for one in Path(folder).iterdir() if one.name not in _HARMLESS and one.is_file()]
    found = (value for file in files for value in _values(file))
    return frozenset(value for value in found if len(value) >= LEAST_SECRET)


def redacted(text: bytes, secrets: Iterable[bytes] = ()) -> bytes:
    """`text` without these values, and without the user and password that a URL may hold."""
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, b"***")
    return _IN_URL.sub(b"", text)


class _Lines:
    """One stream on its way: whole lines go out redacted."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self.target, self.rest = source, target, b""

    def take(self, piece: bytes) -> bytes:
        """What can go out by now; at the end of the stream, everything."""
        text = self.rest + piece
        cut = text.rfind(b"\n") + 1 if piece and len(text) < MAX_LINE_BYTES else len(text)
        self.rest = text[cut:]
        return text[:cut]


class Transcript:
    """Keeps what this process and its children print while the block runs, and passes it on.

    Args:
        path: of the log.
        secrets: values that neither the log nor the container's may hold.
    """

    def __init__(self, path: Path, secrets: frozenset[bytes] = frozenset()) -> None:
        self._path, self._secrets = path, secrets
        self._streams: list[_Lines] = []
        self._thread = threading.Thread(target=self._copy, daemon=True)

    def __enter__(self) -> Self:
        for number in (1, 2):
            source, write = os.pipe()
            self._streams.append(_Lines(source, os.dup(number)))
            os.dup2(write, number)
            os.close(write)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, stream in zip((1, 2), self._streams, strict=True):
            os.dup2(stream.target, number)
        self._thread.join(END_SECONDS)

    def _open(self) -> BinaryIO:
        """The log; where it cannot be kept, what is printed still has to be taken, or whoever prints it waits for ever."""
        try:
            return self._path.open("wb", buffering=0)
        except OSError:
            return Path(os.devnull).open("wb", buffering=0)

    def _copy(self) -> None:
        room = MAX_BYTES
        with selectors.DefaultSelector() as waiting, self._open() as log:
            for stream in self._streams:
                waiting.register(stream.source, selectors.EVENT_READ, stream)
            while waiting.get_map():
                for key, _ in waiting.select():
                    stream = key.data
                    piece = os.read(stream.source, MAX_LINE_BYTES)
                    if not piece:
                        waiting.unregister(stream.source)
                    text = redacted(stream.take(piece), self._secrets)
                    _write(stream.target, text)
                    with contextlib.suppress(OSError):
                        log.write(text[:room])
                        if 0 < room < len(text):
                            log.write(CUT)
                    room -= min(room, len(text))


def _write(target: int, text: bytes) -> None:
    with contextlib.suppress(OSError):
        while text:
            text = text[os.write(target, text) :]
