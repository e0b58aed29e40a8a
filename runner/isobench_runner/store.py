"""The content-addressed artifact store, as trusted containers see it: `sha256/<2>/<62>` files and create-only names, in a place.

Untrusted containers never see it. Nothing is changed in place, and a half-written file is never found under a digest: that is what
a place promises (`places.py`).
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .places import Folder, Found, Place, UnreachableError, write_whole

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class StoreError(Exception):
    """The store does not hold what was asked for, holds something else under that name, or does not answer."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that it is either wholly there or not at all, surviving a crash at any point."""
    write_whole(path, io.BytesIO(content))


def dump_json(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no white space, finite numbers only; equal values give equal bytes.

    Raises:
        ValueError: a number is not finite.
    """
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _place_of(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        msg = f"{digest!r} is no digest"
        raise StoreError(msg)
    value = digest.removeprefix("sha256:")
    return f"sha256/{value[:2]}/{value[2:]}"


class Store:
    """Blobs by digest, and names that are written once.

    Every method may raise StoreError, where the place does not answer.
    """

    def __init__(self, place: Place | Path) -> None:
        self.place: Place = Folder(place) if isinstance(place, Path) else place

    def _damaged(self, digest: str) -> StoreError:
        return StoreError(
            f"what the store has under {digest} is damaged; delete {self.place}/{_place_of(digest)} and retry"
        )

    def put(self, content: bytes) -> str:
        """Keep bytes; returns `sha256:<hex>`. What was there is as young as what is new, or it could be taken for garbage."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        try:
            if not self.place.fresh(_place_of(digest)):
                self.place.write(_place_of(digest), io.BytesIO(content))
        except UnreachableError as error:
            raise StoreError(str(error)) from error
        return digest

    def put_json(self, value: Any) -> str:
        """Keep a value as canonical JSON."""
        return self.put(dump_json(value))

    def get(self, digest: str) -> bytes:
        """Read bytes, proved against their digest.

        Raises:
            StoreError: missing, or damaged.
        """
        try:
            content = self.place.read(_place_of(digest))
        except FileNotFoundError as error:
            msg = f"the store has no {digest}"
            raise StoreError(msg) from error
        except UnreachableError as error:
            raise StoreError(str(error)) from error
        if hashlib.sha256(content).hexdigest() != digest.removeprefix("sha256:"):
            raise self._damaged(digest)
        return content

    def get_json(self, digest: str) -> Any:
        """Read canonical JSON."""
        return json.loads(self.get(digest))

    def put_file(self, source: Path, *, limit: int | None = None) -> str:
        """Keep a file of any size, which untrusted code may have written; returns its digest. Whoever wrote it has ended by now.

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
            info = os.fstat(file.fileno())
            if not stat.S_ISREG(info.st_mode):
                msg = f"{source.name} is no ordinary file"
                raise StoreError(msg)
            if limit is not None and info.st_size > limit:
                msg = f"{source.name} is larger than {limit:,} bytes"
                raise StoreError(msg)
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
            file.seek(0)
            try:
                if not self.place.fresh(_place_of(digest)):
                    self.place.write(_place_of(digest), file)
            except UnreachableError as error:
                raise StoreError(str(error)) from error
        return digest

    def take_file(self, digest: str, path: Path) -> None:
        """Copy a blob of any size out, proved against its digest.

        Raises:
            StoreError: missing, or damaged; then no file is left.
        """
        try:
            self.place.download(_place_of(digest), path)
        except FileNotFoundError as error:
            msg = f"the store has no {digest}"
            raise StoreError(msg) from error
        except UnreachableError as error:
            raise StoreError(str(error)) from error
        with path.open("rb") as copied:
            found = hashlib.file_digest(copied, "sha256").hexdigest()
        if found != digest.removeprefix("sha256:"):
            path.unlink()
            raise self._damaged(digest)

    def has(self, digest: str) -> bool:
        """Whether a blob is there, unproved."""
        try:
            return self.place.exists(_place_of(digest))
        except UnreachableError as error:
            raise StoreError(str(error)) from error

    def _name(self, name: str) -> str:
        return f"names/{hashlib.sha256(name.encode()).hexdigest()}"

    def link(self, name: str, digest: str) -> str:
        """Give a blob a name, create-only: returns the digest that the name has now, which is the first one's."""
        try:
            if self.place.create(self._name(name), f"{digest}\n{name}\n".encode()):
                return digest
        except UnreachableError as error:
            raise StoreError(str(error)) from error
        return self.resolve(name) or digest

    def resolve(self, name: str) -> str | None:
        """The digest under a name, or None."""
        try:
            return self.place.read(self._name(name)).decode().partition("\n")[0]
        except FileNotFoundError:
            return None
        except UnreachableError as error:
            raise StoreError(str(error)) from error

    def point(self, name: str, digest: str) -> None:
        """Have a name mean this blob from now on, whatever it meant before."""
        try:
            self.place.write(self._name(name), io.BytesIO(f"{digest}\n{name}\n".encode()))
        except UnreachableError as error:
            raise StoreError(str(error)) from error

    def unlink(self, name: str) -> None:
        """Forget a name (its blob stays); used where a user asks for a thing to be made again."""
        try:
            self.place.remove(self._name(name))
        except UnreachableError as error:
            raise StoreError(str(error)) from error

    def show(self, source: Path, target: str) -> None:
        """Leave a readable copy of a file beside the artifacts; whoever reads it meanwhile has the old or the new one, whole."""
        folder, _, name = target.rpartition("/")
        try:
            with source.open("rb") as file:
                self.place.beside(folder).write(name, file)
        except UnreachableError as error:
            raise StoreError(str(error)) from error

    def blobs(self) -> Iterator[Found]:
        """Every blob, named by its digest."""
        for one in self.place.files("sha256"):
            _, first, rest = one.name.split("/", 2)
            yield one._replace(name=f"sha256:{first}{rest}")

    def names(self) -> Iterator[tuple[str, str, float]]:
        """Every name, the digest that it means, and when it was given.

        Raises:
            StoreError: a file among the names holds none.
        """
        for one in self.place.files("names"):
            with contextlib.suppress(FileNotFoundError):
                digest, _, name = self.place.read(one.name).decode("utf-8", "replace").rstrip("\n").partition("\n")
                if not _DIGEST.fullmatch(digest) or self._name(name) != one.name:
                    msg = f"{self.place}/{one.name} is no name of a blob; delete it and retry"
                    raise StoreError(msg)
                yield name, digest, one.written

    def delete(self, digest: str) -> None:
        """Take a blob away."""
        self.place.remove(_place_of(digest))

    def written_at(self, digest: str) -> float | None:
        """When a blob was written last, in seconds since the epoch; None where there is none."""
        return self.place.written(_place_of(digest))

    def named_at(self, name: str) -> float | None:
        """When a name was given or used last, in seconds since the epoch; None where there is none."""
        return self.place.written(self._name(name))

    def use(self, name: str) -> str | None:
        """The digest under a name that is about to be relied on: from now on it counts as given just now."""
        digest = self.resolve(name)
        try:
            if digest is not None and not self.place.fresh(self._name(name)):
                self.point(name, digest)
        except UnreachableError as error:
            raise StoreError(str(error)) from error
        return digest
