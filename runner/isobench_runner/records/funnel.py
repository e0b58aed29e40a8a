"""Where the Commits of a Dataset got to: in, test ready, measured, verdict; and why the others stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .record import VERDICTS, condition, finished, succeeded


@dataclass(frozen=True)
class Failure:
    """A Commit that gave no record: its name, the reason of the closed list, and the last words about it."""

    commit: str
    reason: str
    message: str


@dataclass
class Funnel:
    """Counts over the Commits of one collection.

    Attributes:
        commits: all that were selected.
        tests: whose test was ready.
        measured: whose head was timed.
        succeeded: that ended with a verdict.
        pending: that have not finished.
        verdicts: count by verdict, of those that gave a record.
        failures: one per finished Commit without a record.
    """

    commits: int = 0
    tests: int = 0
    measured: int = 0
    succeeded: int = 0
    pending: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)

    def see(self, commit: Mapping[str, Any]) -> None:
        """Count a Commit by its conditions."""
        self.commits += 1
        self.tests += condition(commit, "TestReady").get("status") == "True"
        self.measured += condition(commit, "Measured").get("status") == "True"
        self.succeeded += succeeded(commit)
        if not finished(commit):
            self.pending += 1
        elif not succeeded(commit):
            ended = condition(commit, "Succeeded")
            self.fail(commit, str(ended.get("reason") or "Unknown"), str(ended.get("message") or ""))

    def fail(self, commit: Mapping[str, Any], reason: str, message: str) -> None:
        """Note a Commit that gives no record."""
        name = str((commit.get("metadata") or {}).get("name"))
        self.failures.append(Failure(name, reason, message[-2000:]))

    def body(self) -> dict[str, Any]:
        """As JSON; failures sorted, so that the order of the Commits does not show."""
        return {
            "commits": self.commits,
            "tests": self.tests,
            "measured": self.measured,
            "succeeded": self.succeeded,
            "pending": self.pending,
            "verdicts": {name: self.verdicts[name] for name in VERDICTS if self.verdicts[name]},
            "failures": [vars(item) for item in sorted(self.failures, key=lambda item: (item.commit, item.reason))],
        }
