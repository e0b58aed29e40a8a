"""The content-addressed artifact store, as trusted containers see it: a folder of `sha256/<2>/<62>` files and create-only names.

Untrusted containers never see it. Nothing is changed in place: a blob is written beside its place and renamed into it, so a
half-written file is never found under a digest. Remote stores are a later matter of this module alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

BLOCK = 1 << 20
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class StoreError(Exception):
    """The store does not hold what was asked for, or holds something else under that name."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is either wholly there or not at all, surviving a crash at any point."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)  # noqa: PTH101 - a temporary name is a string
        os.replace(name, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


def copy_atomic(source: Path, target: Path) -> None:
    """Copy a file so that it is either wholly there or not at all; its size does not matter."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as written, source.open("rb") as read:
            shutil.copyfileobj(read, written, 1 << 20)
            written.flush()
            os.fsync(written.fileno())
        os.chmod(name, 0o644)  # noqa: PTH101 - a temporary name is a string
        os.replace(name, target)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


def dump_json(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no white space, finite numbers only; equal values give equal bytes.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


class Store:
    """Blobs by digest, and names that are written once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def _place(self, digest: str) -> Path:
        if not _DIGEST.fullmatch(digest):
            msg = f"{digest!r} is no digest"
            raise StoreError(msg)
        value = digest.removeprefix("sha256:")
        return self.root / "sha256" / value[:2] / value[2:]

    def put(self, content: bytes) -> str:
        """Keep bytes; returns `sha256:<hex>`."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = self._place(digest)
        if not place.exists():
            write_atomic(place, content)
        return digest

    def take_file(self, digest: str, path: Path) -> None:
        """Copy a blob of any size out, proved against its digest.

        Raises:
            StoreError: missing, or damaged.
        """
        place = self._place(digest)
        try:
            copy_atomic(place, path)
        except FileNotFoundError as error:
            msg = f"the store has no {digest}"
            raise StoreError(msg) from error
        with path.open("rb") as copied:
            found = hashlib.file_digest(copied, "sha256").hexdigest()
        if found != digest.removeprefix("sha256:"):
            path.unlink()
            msg = f"what the store has under {digest} is damaged; delete {place} and retry"
            raise StoreError(msg)

    def put_json(self, value: Any) -> str:
        """Keep a value as canonical JSON."""
        return self.put(dump_json(value))

    def get(self, digest: str) -> bytes:
        """Read bytes, proved against their digest.

        Raises:
            StoreError: missing, or damaged.
        """
        place = self._place(digest)
        try:
            content = place.read_bytes()
        except FileNotFoundError as error:
            msg = f"the store has no {digest}"
            raise StoreError(msg) from error
        if hashlib.sha256(content).hexdigest() != digest.removeprefix("sha256:"):
            msg = f"what the store has under {digest} is damaged; delete {place} and retry"
            raise StoreError(msg)
        return content

    def get_json(self, digest: str) -> Any:
        """Read canonical JSON."""
        return json.loads(self.get(digest))

    def put_file(self, source: Path, *, limit: int | None = None) -> str:
        """Keep a file of any size, which untrusted code may have written: copied once, hashed on the way; returns its digest.

        Args:
            limit: the most bytes that are taken; None for any number.

        Raises:
            StoreError: it is missing, no ordinary file, larger than that, or not readable.
        """
        try:
            handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError as error:
            msg = f"{source.name} cannot be read: {error.strerror}"
            raise StoreError(msg) from error
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                msg = f"{source.name} is no ordinary file"
                raise StoreError(msg)
            digest, size = hashlib.sha256(), 0
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.root, prefix=".new.", delete=False) as copy:
                try:
                    while block := file.read(BLOCK):
                        size += len(block)
                        if limit is not None and size > limit:
                            msg = f"{source.name} is larger than {limit:,} bytes"
                            raise StoreError(msg)
                        digest.update(block)
                        copy.write(block)
                    copy.flush()
                    os.fsync(copy.fileno())
                    found = f"sha256:{digest.hexdigest()}"
                    place = self._place(found)
                    place.parent.mkdir(parents=True, exist_ok=True)
                    os.chmod(copy.name, 0o644)  # noqa: PTH101 - a temporary name is a string
                    os.replace(copy.name, place)  # noqa: PTH105
                except BaseException:
                    with contextlib.suppress(OSError):
                        os.unlink(copy.name)  # noqa: PTH108
                    raise
        return found

    def has(self, digest: str) -> bool:
        """Whether a blob is there, unproved."""
        return self._place(digest).exists()

    def _name(self, name: str) -> Path:
        return self.root / "names" / hashlib.sha256(name.encode()).hexdigest()

    def link(self, name: str, digest: str) -> str:
        """Give a blob a name, create-only: returns the digest that the name has now, which is the first one's."""
        path = self._name(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".new.", delete=False) as file:
            file.write(f"{digest}\n{name}\n")
        try:
            os.link(file.name, path)
        except FileExistsError:
            return path.read_text().partition("\n")[0]
        finally:
            os.unlink(file.name)  # noqa: PTH108
        return digest

    def resolve(self, name: str) -> str | None:
        """The digest under a name, or None."""
        try:
            return self._name(name).read_text().partition("\n")[0]
        except FileNotFoundError:
            return None

    def unlink(self, name: str) -> None:
        """Forget a name (its blob stays); used where a user asks for a thing to be made again."""
        self._name(name).unlink(missing_ok=True)
