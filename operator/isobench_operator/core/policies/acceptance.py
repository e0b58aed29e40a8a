"""Whether a custom resource can be run as written: `Accepted` means this and no more, for nobody here has git."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from isobench_operator.api.commit import Commit
from isobench_operator.api.dataset import Dataset
from isobench_operator.core.settings import Settings
from isobench_operator.errors import SpecError
from isobench_runner.contract import Reason

Kind = TypeVar("Kind", Commit, Dataset)
RESERVED = "ISOBENCH_"


class NotAcceptedError(SpecError):
    """A custom resource that is refused, with the reason for its conditions."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def accept(kind: type[Kind], owner: Mapping[str, Any], settings: Settings) -> Kind:
    """The typed object.

    Raises:
        NotAcceptedError: the namespace is not prepared, or the spec is invalid; the text names field, value and remedy.
    """
    metadata = owner["metadata"]
    namespace = metadata.get("namespace") or ""
    if settings.namespaces is not None and namespace not in settings.namespaces:
        prepared = ", ".join(sorted(settings.namespaces)) or "none"
        raise NotAcceptedError(
            Reason.NAMESPACE_NOT_PREPARED,
            f"namespace {namespace!r} is not prepared for Jobs; the prepared ones are: {prepared}",
        )
    try:
        # Only what decisions read: a status written by another release must not make a valid spec invalid.
        found = kind.model_validate({"metadata": {"name": metadata["name"]}, "spec": owner.get("spec") or {}})
    except ValidationError as error:
        raise NotAcceptedError(Reason.SPEC_INVALID, _words(error)) from error
    if isinstance(found, Commit):
        _refuse_reserved(found)
        _refuse_no_gpu(found)
    return found


def _words(error: ValidationError) -> str:
    lines = []
    for one in error.errors(include_url=False)[:5]:
        where = ".".join(str(part) for part in one["loc"])
        lines.append(f"{where}: {one['msg']} (it is {str(one.get('input'))[:80]!r})")
    return "; ".join(lines)


def _refuse_reserved(commit: Commit) -> None:
    for variable in commit.spec.pod.env:
        if variable.name.startswith(RESERVED):
            raise NotAcceptedError(
                Reason.SPEC_INVALID,
                f"spec.pod.env: {variable.name} begins with {RESERVED}, which is the pod contract's; rename it",
            )


def _refuse_no_gpu(commit: Commit) -> None:
    wanted = commit.spec.environment.requires.words()
    if wanted and commit.spec.pod.resources.limits.get("nvidia.com/gpu") == "0":
        raise NotAcceptedError(
            Reason.SPEC_INVALID,
            f"spec.environment.requires: {wanted} is asked of the GPU, and spec.pod.resources asks for none; take one of the two out",
        )
