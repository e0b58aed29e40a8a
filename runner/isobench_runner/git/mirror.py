"""Cached bare mirrors, one per repository: whatever is asked of a repository is asked of its mirror.

A mirror is filled under a lock and only ever grows. What an interrupted fetch left is cleared away by the next holder of the lock, and a
mirror that git itself calls damaged is made anew, once. Nothing here looks into commits beyond their parents.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock

from isobench_runner.contract import Reason, StageError, repository_name

from .commands import Git, GitError
from .credentials import Access
from .names import local_path
from .urls import checked_url, redacted

FETCH_SECONDS = 3600
"""The longest that one clone or fetch may take: the largest Python repositories take minutes."""
LOCK_SECONDS = 2 * FETCH_SECONDS
SHA = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
UPLOAD_PACK = "git -c safe.directory=* -c uploadpack.allowAnySHA1InWant=true upload-pack"
_AUTHENTICATION = re.compile(
    r"authentication failed|could not read (username|password)|permission denied|publickey|access denied|"
    r"error: (401|403)|host key verification failed|invalid credentials|terminal prompts disabled",
    re.IGNORECASE,
)
_NOT_THERE = re.compile(
    r"not our ref|couldn't find remote ref|unadvertised object|no such remote ref|remote error: upload-pack: not our ref|"
    r"does not allow request for unadvertised",
    re.IGNORECASE,
)
_DAMAGED = re.compile(
    r"bad object|loose object|is corrupt|object file .* is empty|not a git repository|bad config|unable to read tree|"
    r"did not send all necessary objects|inflate: data|index file .* is too small|packfile .* (cannot|is)|bad signature|"
    r"unresolved deltas|could not read from remote repository's own",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Mirror:
    """One repository's mirror.

    Attributes:
        url: what it is a mirror of.
        path: the bare repository.
        access: how its remote is reached.
    """

    url: str
    path: Path
    access: Access

    @property
    def git(self) -> Git:
        """git in the mirror."""
        return Git(self.path)

    def _error(self, error: GitError, what: str) -> StageError:
        words = redacted(error.words, self.url)
        name = redacted(self.url, self.url)
        if _AUTHENTICATION.search(words):
            return StageError(
                Reason.AUTHENTICATION_FAILED,
                f"{name} asks for credentials or refused those given ({words[-600:]}); set repository.credentialsSecretRef",
            )
        return StageError(Reason.REPOSITORY_UNREACHABLE, f"{what} of {name} failed: {words[-1200:]}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the mirror's lock, cleared of what an interrupted holder left.

        Raises:
            StageError: RepositoryUnreachable where another holds it for longer than any fetch may take.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with filelock.FileLock(f"{self.path}.lock", timeout=LOCK_SECONDS):
                self._heal()
                yield
        except filelock.Timeout as error:
            raise StageError(
                Reason.REPOSITORY_UNREACHABLE,
                f"another process holds the mirror {self.path} for more than {LOCK_SECONDS} s; end it, or delete {self.path}.lock",
            ) from error

    def _heal(self) -> None:
        for left in [
            *self.path.rglob("*.lock"),
            *self.path.glob("objects/pack/tmp_*"),
            *self.path.glob("objects/??/tmp_*"),
        ]:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
        try:
            whole = self.git.text("rev-parse", "--is-bare-repository", "--git-dir") == "true\n."
        except (GitError, OSError):
            whole = False
        if not whole:
            self._start()

    def _start(self) -> None:
        """An empty mirror in place of what is there; a rename makes it whole or absent."""
        fresh = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        Git(fresh).run("init", "--quiet", "--bare", "--template=", ".")
        fresh.chmod(0o755)
        if self.path.exists():
            shutil.rmtree(self.path)
        fresh.rename(self.path)

    def _fetch(self, *refspecs: str, prune: bool) -> None:
        local = local_path(self.url)
        options = ["--quiet", "--no-tags", "--force", "--no-write-fetch-head", "--update-shallow"]
        options += ["--prune"] if prune else []
        options += [f"--upload-pack={UPLOAD_PACK}"] if local is not None else []
        source = str(local.expanduser()) if local is not None else self.url
        self.git.run(
            "fetch", *options, "--", source, *refspecs, network=self.access.environment(), seconds=FETCH_SECONDS
        )

    def update(self) -> None:
        """Fetch all branches and tags.

        Raises:
            StageError: RepositoryUnreachable or AuthenticationFailed.
        """
        refspecs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        try:
            try:
                self._fetch(*refspecs, prune=True)
            except GitError as error:
                if not _DAMAGED.search(error.words) or not any(self.path.glob("objects/*/*")):
                    raise
                self._start()
                self._fetch(*refspecs, prune=True)
        except GitError as error:
            raise self._error(error, "the fetch") from error

    def has(self, sha: str) -> bool:
        """Whether a commit is here with all that belongs to it (a commit whose tree was lost counts as absent)."""
        try:
            self.git.run("cat-file", "-e", f"{sha}^{{commit}}")
            self.git.run("cat-file", "-e", f"{sha}^{{tree}}")
        except GitError:
            return False
        return True

    def commit(self, name: str, *, field: str | None = None) -> str:
        """Bring a commit here and return its full sha; already present ones cost no network.

        Args:
            name: a sha, whole or at least seven digits of it, or a branch or tag.
            field: of the spec that names it, for the words of an error.

        Raises:
            StageError: CommitNotFound, RepositoryUnreachable, AuthenticationFailed.
        """
        asked = f"{field}: " if field else ""
        if name.startswith("-") or not name:
            raise StageError(Reason.COMMIT_NOT_FOUND, f"{asked}{name!r} is no name of a commit")
        if SHA.fullmatch(name) and self.has(name):
            return name
        with self.locked():
            if SHA.fullmatch(name) and self.has(name):
                return name
            self.update()
            found = self._resolve(name)
            if found is None and SHA.fullmatch(name):
                self._fetch_one(name)
                found = self._resolve(name)
            if found is None:
                raise StageError(
                    Reason.COMMIT_NOT_FOUND,
                    f"{asked}{redacted(self.url, self.url)} has no commit {name!r}{self._shallow_words()}; "
                    "check the name, and that it was pushed there",
                )
            self._keep(found)
        return found

    def _keep(self, sha: str) -> None:
        """A ref of our own, so that no force push upstream lets a commit that was asked for be collected."""
        self.git.run("update-ref", f"refs/isobench/{sha}", sha)

    def _resolve(self, name: str) -> str | None:
        names = [name] if re.fullmatch(r"[0-9a-f]{7,64}", name) else []
        for candidate in [*names, f"refs/heads/{name}", f"refs/tags/{name}"]:
            try:
                sha = self.git.text("rev-parse", "--verify", "--quiet", "--end-of-options", f"{candidate}^{{commit}}")
            except GitError:
                continue
            if self.has(sha):
                return sha
        return None

    def _fetch_one(self, sha: str) -> None:
        """Ask for a commit by its sha, which no branch has: of a pull request, of a force-pushed branch."""
        try:
            self._fetch(f"+{sha}:refs/isobench/{sha}", prune=False)
        except GitError as error:
            if not _NOT_THERE.search(error.words):
                raise self._error(error, f"the fetch of {sha}") from error

    def _shallow_words(self) -> str:
        return (
            "; it is a shallow clone, which holds the latest commits alone" if (self.path / "shallow").exists() else ""
        )

    def parents(self, sha: str) -> tuple[str, ...]:
        """The parents that the commit itself names, also where a shallow remote hides them."""
        raw = self.git.run("cat-file", "commit", sha).partition(b"\n\n")[0]
        return tuple(line.split()[1].decode() for line in raw.split(b"\n") if line.startswith(b"parent "))

    def main(self, name: str | None) -> str:
        """The commit that main is now: of the named branch, tag or sha, else of the repository's default branch.

        Raises:
            StageError: CommitNotFound, RepositoryUnreachable, AuthenticationFailed.
        """
        return self.commit(name or self._local_default() or self._remote_default(), field="spec.main")

    def _local_default(self) -> str | None:
        path = local_path(self.url)
        if path is None:
            return None
        for name in ("refs/remotes/origin/HEAD", "HEAD"):
            try:
                return Git(path.expanduser()).text("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            except (GitError, OSError):
                continue
        raise StageError(Reason.COMMIT_NOT_FOUND, f"{path} has neither origin/HEAD nor HEAD; name main in the spec")

    def _remote_default(self) -> str:
        try:
            folder = self.path.parent
            folder.mkdir(parents=True, exist_ok=True)
            answer = Git(folder).run(
                "ls-remote", "--quiet", "--", self.url, "HEAD", network=self.access.environment(), seconds=FETCH_SECONDS
            )
        except GitError as error:
            raise self._error(error, "asking for the default branch") from error
        for line in answer.decode("utf-8", "replace").splitlines():
            sha, _, ref = line.partition("\t")
            if ref == "HEAD" and SHA.fullmatch(sha):
                return sha
        raise StageError(
            Reason.COMMIT_NOT_FOUND, f"{redacted(self.url, self.url)} has no default branch; name main in the spec"
        )


class Mirrors:
    """The folder of all mirrors."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def of(self, url: str, access: Access) -> Mirror:
        """The mirror of a repository; nothing is fetched yet.

        Raises:
            StageError: SpecInvalid where the URL is not one that git may be given; RepositoryUnreachable for a path without
                a repository.
        """
        checked_url(url)
        local = local_path(url)
        if local is not None and not local.expanduser().is_dir():
            raise StageError(Reason.REPOSITORY_UNREACHABLE, f"repository.url {url}: there is no such folder")
        place = os.path.realpath(local.expanduser()) if local is not None else url
        name = repository_name(url).replace("/", "__")
        digest = hashlib.sha256(place.encode()).hexdigest()[:12]
        return Mirror(url, self.root / f"{re.sub(r'[^A-Za-z0-9._-]', '_', name)}-{digest}.git", access)
