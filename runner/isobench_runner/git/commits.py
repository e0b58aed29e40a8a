"""What is said of a commit: its parents, dates and message. Authors are not read: no record or prompt needs them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from isobench_runner.contract import Reason, StageError

from .commands import GitError
from .mirror import Mirror

_PULL_REQUEST = re.compile(r"\(#(\d+)\)\s*$")


@dataclass(frozen=True)
class CommitInfo:
    """A commit.

    Attributes:
        author_date: ISO 8601 with offset.
        commit_date: the committer's, likewise.
        message: the whole message, subject included.
    """

    sha: str
    subject: str
    message: str
    author_date: str
    commit_date: str

    @property
    def pull_request(self) -> int | None:
        """The number of the pull request where the subject ends in `(#n)`."""
        match = _PULL_REQUEST.search(self.subject)
        return int(match[1]) if match else None


def read_commit(mirror: Mirror, sha: str) -> CommitInfo:
    """Read a commit that the mirror has.

    Raises:
        StageError: CommitNotFound where the mirror cannot read it.
    """
    form = "--format=%H%x00%aI%x00%cI%x00%s%x00%B"
    try:
        raw = mirror.git.text("log", "-1", "--no-show-signature", "--encoding=UTF-8", form, sha, "--")
    except GitError as error:
        raise StageError(Reason.COMMIT_NOT_FOUND, f"{sha} cannot be read: {error.words}") from error
    full, author_date, commit_date, subject, message = raw.split("\0", 4)
    return CommitInfo(full, subject, message.rstrip("\n"), author_date, commit_date)


def resolve_base(mirror: Mirror, head: str, base: str | None) -> str:
    """base's full sha: the one that the spec names, else head's first parent.

    Raises:
        StageError: NoParent for a root commit; CommitNotFound where a shallow remote does not hold the parent.
    """
    if base is not None:
        return mirror.commit(base, field="spec.base")
    parents = mirror.parents(head)
    if not parents:
        raise StageError(Reason.NO_PARENT, f"{head} is a root commit: nothing is before it; name base in the spec")
    return mirror.commit(parents[0])
