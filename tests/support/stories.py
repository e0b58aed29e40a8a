"""How the Jobs of a Commit end, told by role: the good story, and stories that change one Job of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from isobench_runner.contract import CollectRequest, Request

from .builders import digest, measured, prepared, written
from .fake_cluster import Answer, Said, role_of

Told = Answer | None | Callable[[Request], Answer | None]


def said(data: dict[str, Any]) -> Said:
    """A success."""
    return Said(data=data)


def good(role: str, request: Request, *, script: bool) -> Said:
    """How a Job ends when all goes well."""
    if role.startswith("prepare-"):
        return said(prepared(role.removeprefix("prepare-"), script=script))
    if role == "generate":
        return said(written(request.attempt))
    if isinstance(request, CollectRequest):
        echo = {"finished": request.finished, "through": request.through}
        return said({"dataset": digest("dataset"), "records": 1, "commits": 1, **echo})
    return said(measured(role))


class Story:
    """Answers for a FakeCluster: what was told for a role, in turn, and the good ending after that.

    Attributes:
        requests: those seen, with the role of their Job, in order.
    """

    def __init__(self, *, script: bool = True, **told: Told | Iterable[Told]) -> None:
        self._script = script
        self._told: dict[str, list[Told]] = {
            role.replace("_", "-"): list(answers) if isinstance(answers, list) else [answers]  # type: ignore[list-item]
            for role, answers in told.items()
        }
        self.requests: list[tuple[str, Request]] = []

    def __call__(self, request: Request, job: dict[str, Any]) -> Answer | None:
        role = role_of(job)
        self.requests.append((role, request))
        waiting = self._told.get(role)
        if waiting:
            answer = waiting.pop(0)
            return answer(request) if callable(answer) else answer
        return good(role, request, script=self._script)

    def of(self, role: str) -> list[Any]:
        """The requests of a role."""
        return [request for seen, request in self.requests if seen == role]
