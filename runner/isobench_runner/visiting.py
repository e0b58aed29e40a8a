"""`python -m isobench_runner.visiting`: what the command line asks of a pod that sees the store. Bytes go to stdout, words to stderr."""

from __future__ import annotations

import argparse
import os
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import BinaryIO

from .places import open_place, take_credentials
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


def main(argv: list[str] | None = None) -> int:
    """Answer; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m isobench_runner.visiting", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="a tar of blobs")
    packing.add_argument("digests", nargs="+")
    arguments = parser.parse_args(argv)
    take_credentials(os.environ)
    pack(Store(open_place(os.environ["ISOBENCH_STORE"])), arguments.digests, sys.stdout.buffer)
    return 0


if __name__ == "__main__":
    sys.exit(main())
