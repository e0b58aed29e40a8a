"""The one way in which a build fails: a reason of the contract's closed list, in the words that the user will read."""

from typing import Any, Dict, Optional


class BuildError(Exception):
    """A typed failure of the build.

    Attributes:
        reason: one of the contract's reasons, as text: the harness cannot import the contract.
        detail: further facts for `report`, never believed.
    """

    def __init__(self, reason: str, message: str, detail: Optional[Dict[str, Any]] = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.detail = detail or {}
