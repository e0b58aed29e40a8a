"""The contract with users: one module per kind, conditions, and the CRDs made from them. Pure pydantic: no IO, no clock, no client."""

from __future__ import annotations

from .commit import Commit, CommitSpec
from .commit_status import CommitStatus
from .conditions import Condition, get_condition, set_condition, timestamp
from .dataset import Dataset, DatasetSpec, DatasetStatus
from .fields import API_VERSION, GROUP, VERSION

KINDS: dict[str, type[Commit | Dataset]] = {"Commit": Commit, "Dataset": Dataset}
"""Every kind of the group, by name."""

__all__ = [
    "API_VERSION",
    "GROUP",
    "KINDS",
    "VERSION",
    "Commit",
    "CommitSpec",
    "CommitStatus",
    "Condition",
    "Dataset",
    "DatasetSpec",
    "DatasetStatus",
    "get_condition",
    "set_condition",
    "timestamp",
]
