"""What of the store nothing refers to any more: decided over frozen data, found by reading the store once, taken away after a second look.

Whoever asks names the roots: digests and names that some resource has. All else is read off the store. A doubt keeps.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from .store import Store

DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
DOCUMENT_BYTES = 64 << 20
"""What names other blobs is a document of ours, and none that is not a root is larger; an environment's archive is, and names none."""
AT_ONCE = 8
"""Blobs that are read at once: a bucket answers one request like many."""
_BLOCK = 1 << 20
_OVERLAP = len("sha256:") + 64


class ChangedError(Exception):
    """The store is not what it was when it was looked at."""


@dataclass(frozen=True)
class Blob:
    """A blob, and seconds since the epoch when it was written last."""

    digest: str
    size: int
    written: float


@dataclass(frozen=True)
class Name:
    """A name, what it means, and seconds since the epoch when it was given."""

    name: str
    digest: str
    written: float


@dataclass(frozen=True)
class Unfinished:
    """What a writer that was killed has left: a file of the place, its bytes, and when it was written last."""

    file: str
    size: int
    written: float


@dataclass(frozen=True)
class Roots:
    """What resources refer to.

    Attributes:
        records: files whose references are kept, but not what those refer to in turn.
    """

    digests: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    records: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Holdings:
    """What a store holds.

    Attributes:
        young: blobs and names that were written after this moment are kept, with all that they refer to.
    """

    blobs: tuple[Blob, ...] = ()
    names: tuple[Name, ...] = ()
    young: float = 0.0
    unfinished: tuple[Unfinished, ...] = ()


@dataclass(frozen=True)
class Garbage:
    """What nothing refers to, the largest first."""

    blobs: tuple[Blob, ...] = ()
    names: tuple[Name, ...] = ()
    unfinished: tuple[Unfinished, ...] = ()

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(blob.size for blob in self.blobs) + sum(one.size for one in self.unfinished)


def reachable(holdings: Holdings, roots: Roots, references: Mapping[str, Iterable[str]]) -> frozenset[str]:
    """The blobs that are kept: roots, what is young, what kept names mean, and whatever those refer to.

    Args:
        references: digests that a blob's content names, by its digest; one that is not in it is taken to name none.
    """
    there = {blob.digest for blob in holdings.blobs}
    waiting = {blob.digest for blob in holdings.blobs if blob.written > holdings.young}
    waiting |= {one.digest for one in holdings.names if one.name in roots.names or one.written > holdings.young}
    waiting |= roots.digests
    found: set[str] = set()
    while waiting:
        digest = waiting.pop()
        if digest in there and digest not in found:
            found.add(digest)
            waiting.update(references.get(digest, ()))
    named = {one for record in roots.records & there for one in (record, *references.get(record, ()))}
    return frozenset(found | named & there)


def garbage(holdings: Holdings, roots: Roots, kept: frozenset[str]) -> Garbage:
    """What is not kept; a name goes with the blob that it means."""
    blobs = sorted(
        (blob for blob in holdings.blobs if blob.digest not in kept), key=lambda blob: (-blob.size, blob.digest)
    )
    names = (
        one for one in holdings.names
        if one.digest not in kept and one.name not in roots.names and one.written <= holdings.young
    )  # fmt: skip
    unfinished = tuple(one for one in holdings.unfinished if one.written <= holdings.young)
    return Garbage(tuple(blobs), tuple(sorted(names, key=lambda one: one.name)), unfinished)


def digests_in(file: BinaryIO) -> Iterator[str]:
    """The digests in a document; none in what is no JSON."""
    block = file.read(_BLOCK)
    if block[:1] not in (b"{", b"["):
        return
    while block:
        yield from (match.decode() for match in DIGEST.findall(block))
        more = file.read(_BLOCK)
        block = block[-_OVERLAP:] + more if more else b""


def _references(store: Store, digest: str, size: int, *, root: bool) -> frozenset[str]:
    """What a blob refers to; its content is proved, for what a damaged one names is not known."""
    if size <= DOCUMENT_BYTES:
        return frozenset(digests_in(io.BytesIO(store.get(digest))))
    if not root:
        return frozenset()
    with tempfile.TemporaryDirectory(prefix="gc.") as scratch:
        store.take_file(digest, Path(scratch) / "blob")
        with (Path(scratch) / "blob").open("rb") as file:
            return frozenset(digests_in(file))


def survey(store: Store, roots: Roots, *, young: float) -> tuple[Holdings, Garbage]:
    """Look the whole store over.

    Raises:
        StoreError: a part of it cannot be read; then nothing is known.
    """
    names = tuple(Name(*one) for one in store.names())
    blobs = tuple(Blob(*one) for one in store.blobs())
    unfinished = tuple(Unfinished(*one) for one in store.place.unfinished())
    holdings, sizes = Holdings(blobs, names, young, unfinished), {blob.digest: blob.size for blob in blobs}
    known: dict[str, frozenset[str]] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        while True:
            kept = reachable(holdings, roots, known)
            unread = sorted(kept - known.keys())
            if not unread:
                return holdings, garbage(holdings, roots, kept)
            read = pool.map(
                lambda one: _references(store, one, sizes[one], root=one in roots.digests | roots.records), unread
            )
            known.update(zip(unread, read, strict=True))


def sweep(store: Store, found: Garbage, *, young: float) -> Garbage:
    """Take it away, names first; what was written again meanwhile stays. Returns what is gone.

    Raises:
        ChangedError: a name among it was used meanwhile, so that blobs among it may be needed; no blob is gone.
        StoreError: the store does not answer.
    """
    for one in found.names:
        written = store.named_at(one.name)
        if written is not None and written > young:
            raise ChangedError(f"{one.name} was used meanwhile; nothing more was deleted, look again")
    for one in found.names:
        store.unlink(one.name)
    gone = []
    for blob in found.blobs:
        written = store.written_at(blob.digest)
        if written is not None and written <= young:
            store.delete(blob.digest)
            gone.append(blob)
    dropped = []
    for left in found.unfinished:
        written = store.place.written(left.file)
        if written is not None and written <= young:
            store.place.remove(left.file)
            dropped.append(left)
    return Garbage(tuple(gone), found.names, tuple(dropped))


def to_json(holdings: Holdings, found: Garbage) -> dict[str, object]:
    """What a survey found, for another process."""
    return {
        "blobs": len(holdings.blobs),
        "bytes": sum(blob.size for blob in holdings.blobs),
        "young": holdings.young,
        "garbage": asdict(found),
    }


def from_json(body: Mapping[str, object]) -> Garbage:
    """The garbage of a survey of another process."""
    found = json.loads(json.dumps(body["garbage"]))
    return Garbage(
        tuple(Blob(**one) for one in found["blobs"]),
        tuple(Name(**one) for one in found["names"]),
        tuple(Unfinished(**one) for one in found["unfinished"]),
    )
