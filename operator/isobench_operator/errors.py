"""The errors that decisions raise; effects have their own two in `cluster/ports.py`.

    IsobenchError
    └── SpecError    a spec that cannot be run as written: ends its object with SpecInvalid

Nothing that a retry could cure belongs here: that is a ClusterError.
"""

from __future__ import annotations


class IsobenchError(Exception):
    """The root of the tree: caught where one object's trouble must not become another's."""


class SpecError(IsobenchError):
    """A spec that cannot be run as written; the text names field, value and remedy."""
