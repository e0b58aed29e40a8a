"""Git, as `fetch` needs it: cached mirrors, exact commits, diffs and self-contained checkouts.

Repositories are hostile here: no hook, filter, textconv or external diff of theirs ever runs, and what goes wrong ends as a StageError
with a reason of the closed list. Nothing of environments, tests or records may enter.
"""

from .checkout import Checkout, archive_tree, check_out
from .commands import Git
from .commits import CommitInfo, read_commit, resolve_base
from .credentials import Access
from .diff import Change, Diff, is_test, read_diff
from .mirror import Mirror, Mirrors
from .names import local_repository_name

__all__ = [
    "Access", "Change", "Checkout", "CommitInfo", "Diff", "Git", "Mirror", "Mirrors", "archive_tree", "check_out", "is_test",
    "local_repository_name", "read_commit", "read_diff", "resolve_base",
]  # fmt: skip
