"""What a manifest's local repository path means: an absolute path, a proof that git finds something there, and its name by `origin`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from isobench_operator.api.commit import RepositoryName
from isobench_runner.contract import repository_name

from .words import pattern_of

_REMOTE = re.compile(r"^([a-z][a-z0-9+.-]*://(?!/)|[A-Za-z0-9._~-]+@[A-Za-z0-9._-]+:|[a-z0-9+.-]+::)", re.IGNORECASE)
_ORIGIN = re.compile(r'^\[remote "origin"\]\s*$(?P<body>[^\[]*)', re.MULTILINE)
_URL = re.compile(r"^\s*url\s*=\s*\"?(?P<url>[^\"\n#;]+?)\"?\s*$", re.MULTILINE)


def local_path(url: str, *, folder: Path, environ: Mapping[str, str]) -> Path | None:
    """The absolute path that a manifest in `folder` means by `url`; None for what git fetches from elsewhere."""
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    if not url or _REMOTE.match(url):
        return None
    if url.startswith("~/") and environ.get("HOME"):
        return Path(environ["HOME"], url[2:])
    return Path(folder.absolute() / url).resolve()


def git_folder(path: Path) -> Path | None:
    """Where git keeps the repository of a checkout, a linked worktree or a bare clone; None where none is."""
    dot_git = path / ".git"
    if dot_git.is_file():
        target = dot_git.read_text(errors="replace").removeprefix("gitdir:").strip()
        dot_git = path / target
        common = dot_git / "commondir"
        if common.is_file():
            dot_git = dot_git / common.read_text(errors="replace").strip()
    for candidate in (dot_git, path):
        if (candidate / "HEAD").is_file() and (candidate / "objects").is_dir():
            return candidate
    return None


def name_by_origin(git: Path) -> str | None:
    """`owner/name` of where a local repository was cloned from, if that is elsewhere."""
    try:
        text = (git / "config").read_text(errors="replace")
    except OSError:
        return None
    origin = _ORIGIN.search(text)
    url = _URL.search(origin["body"]) if origin else None
    if url is None or not _REMOTE.match(url["url"]):
        return None
    name = repository_name(url["url"])
    return name if re.fullmatch(pattern_of(RepositoryName), name) and not name.startswith("local/") else None
