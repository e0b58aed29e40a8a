"""The name of a repository that is a local path; for a URL the contract's `repository_name` is enough.

Read from the folder's own `origin` without running anything in it.
"""

from __future__ import annotations

from pathlib import Path

from isobench_runner.contract import repository_name

from .commands import Git, GitError


def local_path(url: str) -> Path | None:
    """The folder that a URL names, or None where it names a remote."""
    if url.startswith("file://"):
        return Path(url.removeprefix("file://"))
    return Path(url) if url.startswith(("/", "./", "../", "~")) or url in {".", ".."} else None


def local_repository_name(url: str) -> str:
    """`owner/name` for any repository: of a local path by its `origin`, else `local/<folder>`; of a URL by itself."""
    path = local_path(url)
    if path is None:
        return repository_name(url)
    path = path.expanduser().resolve()
    try:
        origin = Git(path).text("config", "--get", "remote.origin.url")
    except (GitError, OSError):
        origin = ""
    if origin and local_path(origin) is None:
        return repository_name(origin)
    return repository_name(str(path.parent if path.name == ".git" else path))
