"""Programs that tests run: those that the test cluster pins, else those of the machine."""

from __future__ import annotations

import functools
import shutil

import filelock

from cluster.build import TOOLS, build, folder
from cluster.layout import PACKAGES, Layout

BUILD_SECONDS = 3600


class ToolMissingError(Exception):
    """A program that the tests need is not here and could not be built."""


@functools.cache
def tool(name: str) -> str:
    """The path of a program: from the test cluster's cache, else from PATH, else built into that cache, which takes minutes.

    Raises:
        ToolMissingError: none of the three.
    """
    layout, pinned = Layout(), next((one for one in TOOLS if name in one.commands), None)
    if pinned is not None and (found := shutil.which(name, path=str(folder(layout, pinned)))):
        return found
    if found := shutil.which(name):
        return found
    if pinned is None:
        raise ToolMissingError(f"no {name} on PATH: apt-get install {PACKAGES.get(name, name)}")
    if shutil.which("go") is None:
        raise ToolMissingError(
            f"no {name} on PATH, and no Go to build it with: install either, or leave these tests out by -m 'not chart and not apiserver'"
        )
    layout.cache.mkdir(parents=True, exist_ok=True)
    try:
        with filelock.FileLock(layout.cache / f".{pinned.module}.lock", timeout=BUILD_SECONDS):
            return str(build(layout, pinned) / name)
    except SystemExit as error:
        raise ToolMissingError(f"no {name} on PATH, and it did not build: {error}") from error
