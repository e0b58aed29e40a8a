"""Which URLs git may be given, and how they are shown. Pure."""

from __future__ import annotations

import os
import re
from urllib.parse import urljoin, urlsplit

from isobench_runner.contract import Reason, StageError

from .names import local_path


def checked_url(url: str, *, from_remote: bool = False) -> str:
    """A URL that git may be given.

    Args:
        from_remote: whether a remote repository named it (a submodule); then it may not point into this machine.

    Raises:
        StageError: SpecInvalid, or SubmoduleUnavailable where a repository named it.
    """
    reason = Reason.SUBMODULE_UNAVAILABLE if from_remote else Reason.SPEC_INVALID
    scheme = urlsplit(url).scheme.lower() if "://" in url else ""
    local = local_path(url) is not None
    if url.startswith("-") or "::" in url.partition("/")[0] or any(ord(sign) < 32 for sign in url):
        raise StageError(reason, f"repository URL {url!r} is not one that git may be given; use https, ssh or a path")
    if scheme not in {"", "https", "http", "ssh", "git", "file", "git+ssh"}:
        raise StageError(
            reason, f"repository URL {url!r} has the scheme {scheme!r}; use https, ssh, git, file or a path"
        )
    if local and from_remote:
        raise StageError(
            reason, f"the submodule URL {url!r} points into this machine, which a remote repository may not"
        )
    return url


def redacted(text: str, url: str) -> str:
    """`text` without the user and password that a URL may hold."""
    text = re.sub(r"(\w+://)[^/\s@]+@", r"\1", text)
    secret = urlsplit(url).password if "://" in url else None
    return text.replace(secret, "***") if secret else text


def submodule_url(parent: str, url: str) -> str:
    """A submodule's URL; a relative one (`../other.git`) is relative to its parent's."""
    if not url.startswith(("./", "../")):
        return url
    if "://" in parent and urlsplit(parent).scheme != "file":
        return urljoin(parent.rstrip("/") + "/", url)
    local = local_path(parent)
    if local is not None:
        return os.path.normpath(local.expanduser() / url)
    host, _, path = parent.partition(":")
    return f"{host}:{os.path.normpath(f'{path}/{url}')}"
