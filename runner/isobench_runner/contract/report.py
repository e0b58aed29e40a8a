"""What the trusted `report` container concludes from a Job's output, and the message that it becomes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .message import encode, exit_code
from .reasons import Reason
from .requests import Request


@dataclass(frozen=True, kw_only=True)
class Report:
    """The outcome of a Job.

    Attributes:
        reason: None for success.
        data: the fields that go into status, by the request's kind (`reporting/` has one module per kind); numbers are strings.
        tail: the last lines of evidence, cut to what fits; the whole is in the store under `data["evidence"]`.
    """

    reason: Reason | None = None
    data: dict[str, Any] = field(default_factory=dict)
    tail: str = ""

    def message(self, request: Request) -> str:
        """The termination message, at most 1,500 bytes."""
        body = {"v": 1, "nonce": request.nonce, "reason": self.reason.value if self.reason else None, "data": self.data}
        return encode(body, tail=self.tail)

    @property
    def exit_code(self) -> int:
        """What the report container exits with."""
        return exit_code(self.reason)


class StageError(Exception):
    """A typed failure inside a trusted stage: ends the Job with its reason, never with a stack trace."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
