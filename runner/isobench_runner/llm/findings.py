"""What is found in a test script by reading it, in the words that reasons are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from isobench_runner.contract import Reason

Origin = Literal["given", "generated"]
Granularity = Literal["function", "process"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing about a script.

    Attributes:
        fatal: the script is not used; otherwise it is a warning that goes into the record.
        words: what was seen, for people and for the model.
        line: 1-based, or None where it is about the whole.
    """

    reason: Reason
    fatal: bool
    words: str
    line: int | None = None


def fatal(findings: list[Finding]) -> Finding | None:
    """The first finding that ends the script, or None."""
    return next((finding for finding in findings if finding.fatal), None)
