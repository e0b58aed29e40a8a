"""Where the artifact store's files lie: a folder, or a prefix of a bucket. The few operations that both can do whole or not at all.

What a file means, and what its name says of its content, is the store's; nothing here hashes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol

BLOCK = 1 << 20
FRESH_SECONDS = 1800.0
"""A file that was written longer ago might be taken for one that nobody needs; far below the least age at which any is."""


class UnreachableError(Exception):
    """The place did not do what it was asked; the text says where it is and what to look at."""


class Found(NamedTuple):
    """A file: its name, bytes, and seconds since the epoch when it was written."""

    name: str
    size: int
    written: float


class Place(Protocol):
    """Files by name. A file is wholly there or not at all; every method may raise UnreachableError."""

    def read(self, name: str) -> bytes:
        """The content. Raises FileNotFoundError."""

    def write(self, name: str, content: BinaryIO) -> None:
        """Write a file, over one that is there."""

    def create(self, name: str, content: bytes) -> bool:
        """Write a file unless there is one; returns whether it was written."""

    def download(self, name: str, target: Path) -> None:
        """Copy a file out. Raises FileNotFoundError; then nothing is left at the target."""

    def exists(self, name: str) -> bool:
        """Whether there is one."""

    def written(self, name: str) -> float | None:
        """When it was written, in seconds since the epoch; None where there is none."""

    def fresh(self, name: str) -> bool:
        """Whether there is one that counts as written just now; one that does not has to be written anew by whoever relies on it."""

    def remove(self, name: str) -> None:
        """Take a file away, or leave it away."""

    def beside(self, folder: str) -> Place:
        """The place of another folder next to this one."""

    def files(self, prefix: str) -> Iterator[Found]:
        """Every file whose name begins with a folder."""

    def unfinished(self) -> Iterator[Found]:
        """What writers that were killed have left; none of it is ever read."""


def write_whole(path: Path, content: BinaryIO) -> None:
    """Write a file so that it is either wholly there or not at all, surviving a crash at any point."""
    with whole(path) as file:
        shutil.copyfileobj(content, file, BLOCK)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file that gets its name when it is written to the end."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # noqa: PTH101 - a temporary name is a string
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


class Folder:
    """A folder of this machine, or of a volume."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def __str__(self) -> str:
        return str(self.root)

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, content: BinaryIO) -> None:
        write_whole(self.root / name, content)

    def create(self, name: str, content: bytes) -> bool:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".new.", delete=False) as file:
            file.write(content)
        try:
            os.chmod(file.name, 0o644)  # noqa: PTH101
            os.link(file.name, path)
        except FileExistsError:
            return False
        finally:
            os.unlink(file.name)  # noqa: PTH108
        return True

    def download(self, name: str, target: Path) -> None:
        with (self.root / name).open("rb") as file:
            write_whole(target, file)

    def exists(self, name: str) -> bool:
        return (self.root / name).exists()

    def written(self, name: str) -> float | None:
        try:
            return (self.root / name).stat().st_mtime
        except FileNotFoundError:
            return None

    def fresh(self, name: str) -> bool:
        written = self.written(name)
        if written is None:
            return False
        if time.time() - written > FRESH_SECONDS:
            try:
                os.utime(self.root / name)
            except OSError:
                return False
        return True

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def beside(self, folder: str) -> Folder:
        return Folder(self.root.parent / folder)

    def files(self, prefix: str) -> Iterator[Found]:
        for path in sorted((self.root / prefix).rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                info = path.stat()
                yield Found(str(path.relative_to(self.root)), info.st_size, info.st_mtime)

    def unfinished(self) -> Iterator[Found]:
        for path in sorted(path for folder in ("sha256", "names") for path in (self.root / folder).rglob(".*")):
            # What a file server keeps of a deleted file that is still open (`.nfs…`) goes by itself.
            if path.is_file() and not path.is_symlink() and not path.name.startswith(".nfs"):
                info = path.stat()
                yield Found(str(path.relative_to(self.root)), info.st_size, info.st_mtime)
