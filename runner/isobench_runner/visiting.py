"""`python -m isobench_runner.visiting`: what the command line asks of a pod that sees the store. Bytes go to stdout, words to stderr."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from .garbage import ChangedError, Holdings, Roots, from_json, survey, sweep, to_json
from .location import open_place, take_credentials
from .places import UnreachableError
from .store import Store, StoreError

MISSING = "missing/"


def pack(store: Store, digests: list[str], output: BinaryIO) -> None:
    """Write a tar of these blobs, each named by its digest; of one that is not there an empty file below `missing/`."""
    with (
        tempfile.TemporaryDirectory(prefix="visit.") as scratch,
        tarfile.open(fileobj=output, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for digest in digests:
            copy = Path(scratch) / "blob"
            try:
                store.take_file(digest, copy)
            except StoreError as error:
                sys.stderr.write(f"{error}\n")
                tar.addfile(tarfile.TarInfo(f"{MISSING}{digest}"))
                continue
            entry = tarfile.TarInfo(digest)
            entry.size = copy.stat().st_size
            with copy.open("rb") as content:
                tar.addfile(entry, content)
            copy.unlink()


def resolve(store: Store, names: list[str], output: TextIO) -> None:
    """Write what these names mean, a JSON object: a digest, or null."""
    json.dump({name: store.resolve(name) for name in names}, output)


def _asked(source: BinaryIO) -> dict[str, Any]:
    """A request: its length on a line of its own, since the stream has no end, then JSON."""
    length = int(source.readline())
    body: dict[str, Any] = json.loads(source.read(length))
    return body


def look(store: Store, asked: dict[str, Any]) -> dict[str, Any]:
    """What of the store nothing refers to any more, given what resources refer to."""
    roots = Roots(*(frozenset(asked[name]) for name in ("digests", "names", "records")))
    return to_json(*survey(store, roots, young=time.time() - float(asked["grace_seconds"])))


def take_away(store: Store, asked: dict[str, Any]) -> dict[str, Any]:
    """Delete what a look found, as far as it is still so; returns what is gone."""
    return to_json(Holdings(), sweep(store, from_json(asked), young=float(asked["young"])))


def main(argv: list[str] | None = None) -> int:
    """Answer; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m isobench_runner.visiting", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="a tar of blobs")
    packing.add_argument("digests", nargs="+")
    resolving = commands.add_parser("resolve", help="what names mean, as JSON")
    resolving.add_argument("names", nargs="+")
    commands.add_parser("look", help="what nothing refers to, given a request on stdin")
    commands.add_parser("take-away", help="delete what a look found, given on stdin")
    arguments = parser.parse_args(argv)
    take_credentials(os.environ)
    try:
        store = Store(open_place(os.environ["ISOBENCH_STORE"]))
        match arguments.command:
            case "pack":
                pack(store, arguments.digests, sys.stdout.buffer)
            case "resolve":
                resolve(store, arguments.names, sys.stdout)
            case "look":
                json.dump(look(store, _asked(sys.stdin.buffer)), sys.stdout)
            case _:
                json.dump(take_away(store, _asked(sys.stdin.buffer)), sys.stdout)
    except (StoreError, UnreachableError, ChangedError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
