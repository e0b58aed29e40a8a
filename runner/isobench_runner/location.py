"""From what the environment says of the store to the place where it lies. The libraries of buckets are loaded where one is named."""

from __future__ import annotations

import importlib
import os
from pathlib import Path

from .places import Folder, Place

CREDENTIALS_VARIABLE = "ISOBENCH_STORE_CREDENTIALS"


def take_credentials(environment: dict[str, str] | os._Environ[str]) -> bool:
    """Read the mounted Secret of the store, one file per variable, into the variables that drivers read; returns whether there is one."""
    folder = environment.get(CREDENTIALS_VARIABLE)
    if not folder:
        return False
    for path in sorted(Path(folder).glob("[A-Z]*")):
        if path.is_file():
            environment[path.name] = path.read_text().strip()
    return True


def open_place(where: str) -> Place:
    """A folder for a path, a bucket for an URL.

    Raises:
        UnreachableError: the URL cannot be used.
    """
    if "://" not in where:
        return Folder(Path(where))
    place: Place = importlib.import_module(".buckets", __package__).Bucket(where)
    return place
