"""Pure functions that name things: environment keys and repository names."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from .requests import Environment


def environment_key(
    repository: str, sha: str, environment: Environment, *, python: str, as_of: str, inherited: tuple[str, ...] = ()
) -> str:
    """The key of a prepared environment: 32 hex digits, equal where and only where the build would be the same.

    Args:
        repository: `owner/name`.
        sha: the revision's full sha.
        environment: how it is built; `package`, `path` and the timeout change nothing of what is built.
        python: the interpreter as resolved by whoever can see it (a real path and version), or the spec's words inside an image.
        as_of: the resolved date of the package index, or `today`'s date.
        inherited: `name==version` of the distributions inherited from an interpreter, sorted.
    """
    parts = asdict(environment)
    for name in ("package", "path", "timeout_seconds", "packages_as_of", "python"):
        parts.pop(name)
    text = json.dumps([1, repository, sha, python, as_of, parts, inherited], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


_SCP_LIKE = re.compile(r"^(?:[^@/]+@)?(?P<host>[^:/]+):(?P<path>[^/].*)$")


def repository_name(url: str) -> str:
    """`owner/name` from a URL, an scp-like address or a path without origin (`local/<folder>`)."""
    scp = _SCP_LIKE.match(url)
    path = (
        scp["path"]
        if scp and "://" not in url
        else urlsplit(url).path
        if "://" in url and not url.startswith("file://")
        else ""
    )
    parts = [part for part in PurePosixPath(path).parts if part != "/"]
    if len(parts) >= 2:
        return f"{parts[-2]}/{parts[-1].removesuffix('.git')}"
    folder = PurePosixPath(url.removeprefix("file://").rstrip("/")).name.removesuffix(".git")
    return f"local/{folder or 'repository'}"
