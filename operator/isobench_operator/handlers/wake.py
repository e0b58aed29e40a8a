"""Which events are watched, and whom they are handed to. Of Jobs and pods only ours cross the wire: the selector is the server's."""

from __future__ import annotations

from typing import Any

import kopf

from isobench_operator.control.attention import Attention
from isobench_operator.core import naming

OURS = f"app.kubernetes.io/managed-by={naming.MANAGED_BY}"
UNENDED = "status.phase!=Succeeded"
"""A pod that has ended well is told of by its Job; one that has not may be why its Job is to have no other."""


def register(registry: kopf.OperatorRegistry, settings: kopf.OperatorSettings, attention: Attention) -> None:
    """Hand every event of Commits, Datasets, their Jobs and their pods to `attention`."""
    group, version = naming.API_VERSION.split("/")

    @kopf.on.event(group, version, "commits", id="commits", registry=registry)
    async def commit(event: kopf.RawEvent, **_: Any) -> None:
        attention.owner(event["type"], {"kind": "Commit", **event["object"]})

    @kopf.on.event(group, version, "datasets", id="datasets", registry=registry)
    async def dataset(event: kopf.RawEvent, **_: Any) -> None:
        attention.owner(event["type"], {"kind": "Dataset", **event["object"]})

    @kopf.on.event("batch", "v1", "jobs", id="jobs", registry=registry)
    async def job(event: kopf.RawEvent, **_: Any) -> None:
        attention.job(event["type"], event["object"])

    @kopf.on.event("", "v1", "pods", id="pods", registry=registry)
    async def pod(event: kopf.RawEvent, **_: Any) -> None:
        attention.pod(event["type"], event["object"])

    for selector in (("batch", "v1", "jobs"), ("", "v1", "pods")):
        settings.watching.label_selectors[selector] = OURS
    settings.watching.field_selectors["", "v1", "pods"] = UNENDED
