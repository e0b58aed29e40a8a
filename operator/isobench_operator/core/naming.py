"""Names and labels of everything that belongs to a custom resource, as pure functions of its identity.

A name is deterministic, so that creating a child twice is one child: no memory, lock or random word is needed to be idempotent.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

GROUP = "isobench.dev"
API_VERSION = f"{GROUP}/v1alpha1"
MANAGED_BY = "isobench"

UID_LABEL = f"{GROUP}/commit-uid"
"""UID of the custom resource that a child belongs to, of either kind: one selector finds all children."""
ROLE_LABEL = f"{GROUP}/role"
ATTEMPT_LABEL = f"{GROUP}/attempt"
NAME_LABEL = f"{GROUP}/name"
NETWORK_LABEL = f"{GROUP}/network"
"""Which of the chart's network policies holds: prepare, generate, measure or collect."""
EXCLUSIVE = f"{GROUP}/exclusive"
UNTRUSTED = f"{GROUP}/untrusted"
OFFLINE = f"{GROUP}/offline"
RETRY_ANNOTATION = f"{GROUP}/retry"
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"

MAX_NAME = 63
"""A Job's name becomes its pods' label `batch.kubernetes.io/job-name`, and a label's value holds 63 characters."""
MAX_STEM = 200
"""A file's name holds 255 bytes, endings and those of its unfinished copy included; an object's name may have 253."""
_HASH = 8


def dns_label(text: str, *, limit: int = MAX_NAME) -> str:
    """A DNS-1123 label for any text: itself where it is one, else what is left of it and eight digits of its hash."""
    if len(text) <= limit and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", text):
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
    words = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[: limit - _HASH - 1].strip("-")
    return f"{words}-{digest}" if words else f"x-{digest}"


def label_value(text: str) -> str:
    """A label's value for any text: itself where it is one, else as `dns_label` makes it."""
    if len(text) <= MAX_NAME and re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?", text):
        return text
    return dns_label(text)


def file_stem(name: str) -> str:
    """A resource's name as the beginning of file names: itself, or of a very long one the beginning and its hash."""
    if len(name) <= MAX_STEM:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:_HASH]
    return f"{name[: MAX_STEM - _HASH - 1]}-{digest}"


def collect_role(inputs: str) -> str:
    """The role of the Job that collects these inputs, a digest: another content is another Job."""
    return f"collect-{inputs.removeprefix('sha256:')[:16]}"


def child_name(*, owner: str, uid: str, role: str, attempt: int) -> str:
    """The name of a Job: for people the owner's name, for uniqueness ten digits of a hash of (UID, role, attempt), then both words.

    Equal where and only where UID, role and attempt are, whatever the owner's name was cut to.
    """
    digest = hashlib.sha256(f"{uid}/{role}/{attempt}".encode()).hexdigest()[:10]
    ending = f"-{dns_label(role, limit=24)}-{attempt}-{digest}"
    return f"{dns_label(owner, limit=MAX_NAME - len(ending))}{ending}"


def job_name(owner: Mapping[str, Any], role: str, attempt: int) -> str:
    """The name of a custom resource's Job; `owner` is its JSON."""
    metadata = owner["metadata"]
    return child_name(owner=metadata["name"], uid=str(metadata["uid"]), role=role, attempt=attempt)


def network(role: str) -> str:
    """The network policy of a role."""
    stage = role.partition("-")[0]
    return "measure" if stage in {"base", "head", "main"} else stage


def labels(owner: Mapping[str, Any], *, role: str, attempt: int) -> dict[str, str]:
    """The labels of a child; `owner` is the custom resource's JSON."""
    metadata = owner["metadata"]
    return {
        "app.kubernetes.io/name": "isobench",
        "app.kubernetes.io/instance": label_value(metadata["name"]),
        "app.kubernetes.io/component": label_value(role),
        "app.kubernetes.io/managed-by": MANAGED_BY,
        UID_LABEL: metadata["uid"],
        NAME_LABEL: label_value(metadata["name"]),
        ROLE_LABEL: label_value(role),
        NETWORK_LABEL: network(role),
        ATTEMPT_LABEL: str(attempt),
    }


def owner_reference(owner: Mapping[str, Any]) -> dict[str, Any]:
    """The reference by which a child goes when its owner goes."""
    metadata = owner["metadata"]
    return {
        "apiVersion": owner.get("apiVersion", API_VERSION),
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }
