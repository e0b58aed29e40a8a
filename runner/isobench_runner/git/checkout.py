"""A revision's tree as a self-contained clone: what a build may see of a repository.

History up to the revision and the tags that are reachable from it (versions are computed from them), nothing that came later, no remote,
no alternates, no hook; submodules checked out inside, each a clone of its own. No `git submodule` command is run: it would act on what
the repository says.
"""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from isobench_runner.contract import Reason, StageError

from .commands import Git, GitError
from .mirror import UPLOAD_PACK, Mirror, Mirrors
from .names import local_path
from .urls import checked_url, submodule_url

MAX_SUBMODULES = 200
_LEFT_OVERS = ("FETCH_HEAD", "ORIG_HEAD", "description", "hooks", "logs", "branches")


@dataclass
class Checkout:
    """A tree on disk.

    Attributes:
        blobs: git's blob ids of all Python files, by their path in the tree, submodules included.
        notes: sentences about what is odd: LFS pointers that stayed pointers, submodules.
    """

    folder: Path
    sha: str
    blobs: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Entry:
    mode: str
    blob: str
    path: str


def _entries(git: Git, sha: str) -> list[_Entry]:
    result: list[_Entry] = []
    for row in git.run("ls-tree", "-r", "-z", "--full-tree", sha).split(b"\0"):
        head, _, path = row.partition(b"\t")
        if path:
            mode, _, blob = head.decode().split()
            result.append(_Entry(mode, blob, path.decode("utf-8", "surrogateescape")))
    return result


def python_blobs(mirror: Mirror, sha: str) -> dict[str, str]:
    """git's blob ids of a revision's Python files, by path."""
    return {
        entry.path: entry.blob
        for entry in _entries(mirror.git, sha)
        if entry.path.endswith(".py") and entry.mode[:2] == "10"
    }


def _clone(mirror: Mirror, sha: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    git = Git(folder)
    git.run("init", "--quiet", "--template=", ".")
    tags = mirror.git.run("for-each-ref", "--format=%(refname)", f"--merged={sha}", "refs/tags")
    refspecs = [sha, *(f"{ref}:{ref}" for ref in tags.decode("utf-8", "replace").split())]
    with tempfile.TemporaryFile() as stdin:
        stdin.write("\n".join(refspecs).encode() + b"\n")
        stdin.seek(0)
        options = ["--quiet", "--no-tags", "--update-shallow", "--stdin", f"--upload-pack={UPLOAD_PACK}"]
        git.run("fetch", *options, "--", str(mirror.path), stdin=stdin)
    git.run("-c", "core.protectNTFS=false", "checkout", "--quiet", "--force", "--detach", sha)
    for name in _LEFT_OVERS:
        left = folder / ".git" / name
        if left.is_dir() and not left.is_symlink():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)


def _submodule_urls(git: Git, sha: str) -> dict[str, str]:
    """Path to URL, as the revision's .gitmodules has them."""
    try:
        raw = git.run("config", f"--blob={sha}:.gitmodules", "--null", "--get-regexp", r"^submodule\..*\.(path|url)$")
    except GitError:
        return {}
    values: dict[str, dict[str, str]] = {}
    for row in raw.decode("utf-8", "replace").split("\0"):
        key, _, value = row.partition("\n")
        name, _, what = key.removeprefix("submodule.").rpartition(".")
        if name:
            values.setdefault(name, {})[what] = value
    return {item["path"].rstrip("/"): item["url"] for item in values.values() if {"path", "url"} <= item.keys()}


def _check_out(mirror: Mirror, mirrors: Mirrors, sha: str, folder: Path, *, prefix: str, result: Checkout) -> None:
    _clone(mirror, sha, folder)
    entries = _entries(mirror.git, sha)
    result.blobs |= {
        prefix + entry.path: entry.blob for entry in entries if entry.path.endswith(".py") and entry.mode[:2] == "10"
    }
    if any(entry.path.endswith(".gitattributes") for entry in entries) and b"filter=lfs" in _attributes(
        mirror.git, entries
    ):
        result.notes.append(f"{prefix or 'the repository'} keeps files in Git LFS: they stay pointers")
    links = [entry for entry in entries if entry.mode == "160000"]
    urls = _submodule_urls(mirror.git, sha) if links else {}
    for link in links:
        name = prefix + link.path
        url = urls.get(link.path)
        if url is None:
            result.notes.append(f"submodule {name} has no URL in .gitmodules: left empty, as git leaves it")
            continue
        if name.count("/") > 64 or len(result.notes) > MAX_SUBMODULES:
            raise StageError(
                Reason.SUBMODULE_UNAVAILABLE, f"submodule {name}: more than {MAX_SUBMODULES} are nested here"
            )
        absolute = checked_url(submodule_url(mirror.url, url), from_remote=local_path(mirror.url) is None)
        try:
            inner = mirrors.of(absolute, mirror.access)
            inner.commit(link.blob)
            _check_out(inner, mirrors, link.blob, folder / link.path, prefix=f"{name}/", result=result)
        except StageError as error:
            reason = Reason.AUTHENTICATION_FAILED if error.reason is Reason.AUTHENTICATION_FAILED else None
            raise StageError(
                reason or Reason.SUBMODULE_UNAVAILABLE, f"submodule {name} ({url}) at {link.blob[:12]}: {error}"
            ) from error
        result.notes.append(f"submodule {name} is checked out at {link.blob}")


def _attributes(git: Git, entries: list[_Entry]) -> bytes:
    found = [entry for entry in entries if entry.path.endswith(".gitattributes")][:50]
    return b"\n".join(git.bounded(["cat-file", "blob", entry.blob], 1 << 20) or b"" for entry in found)


def check_out(mirror: Mirror, mirrors: Mirrors, sha: str, folder: Path) -> Checkout:
    """Check a revision out into a new folder, submodules inside.

    Raises:
        StageError: SubmoduleUnavailable, or AuthenticationFailed where a submodule asks for credentials.
    """
    result = Checkout(folder, sha)
    _check_out(mirror, mirrors, sha, folder, prefix="", result=result)
    return result


def archive_tree(folder: Path, archive: Path) -> None:
    """Pack a folder's entries into an uncompressed tar that says nothing of who made it."""

    def neutral(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
        member.uid = member.gid = 0
        member.uname = member.gname = ""
        return member if member.isreg() or member.isdir() or member.issym() or member.islnk() else None

    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
        for entry in sorted(folder.iterdir(), key=lambda path: path.name):
            tar.add(entry, arcname=entry.name, filter=neutral)
