"""What was read: resources as an API server would hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

Json = dict[str, Any]

MAX_CONFIG_MAP = 1024 * 1024
"""Bytes of a ConfigMap's or Secret's keys and values: the API server's own limit."""


class Location(NamedTuple):
    """Where a resource stands: the line of its first field, from 1."""

    file: Path
    line: int


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """The resources of some manifests, in the order in which they stand.

    Attributes:
        commits, datasets: custom resources, defaults filled in, without status.
        config_maps: texts by name and key.
        secrets: values by name and key; in memory alone, and in no repr.
        variables: for a Secret made of `env: NAME`, that NAME.
        sources: where a resource stands, by kind and name; of a synthetic one, where it is first asked for.
    """

    commits: tuple[Json, ...] = ()
    datasets: tuple[Json, ...] = ()
    config_maps: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    secrets: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    variables: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[tuple[str, str], Location] = field(default_factory=dict)
