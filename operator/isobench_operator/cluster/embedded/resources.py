"""What the API server does with a custom resource that is applied: identity, generation, and what of an accepted spec may change.

Pure: identities and times are passed in.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from isobench_operator.api.commit import CommitSpec
from isobench_operator.cluster.ports import Key, Rejected

Json = dict[str, Any]


def key_of(resource: Mapping[str, Any]) -> Key:
    """The identity of a resource; its namespace is `default` where it names none."""
    metadata = resource["metadata"]
    return Key(resource["kind"], metadata.get("namespace") or "default", metadata["name"])


def created(key: Key, manifest: Mapping[str, Any], *, uid: str, at: str) -> Json:
    """A manifest as it is stored the first time; a status that it brings is not taken."""
    given = {name: copy.deepcopy(value) for name, value in manifest.items() if name != "status"}
    identity = {"namespace": key.namespace, "uid": uid, "creationTimestamp": at, "generation": 1}
    return {**given, "metadata": {**given["metadata"], **identity}}


def changed(key: Key, old: Mapping[str, Any], manifest: Mapping[str, Any]) -> Json:
    """A stored resource after a manifest of the same name was applied: annotations and labels are merged, the status stays.

    Raises:
        Rejected: the spec of an accepted Commit would change.
    """
    given = {name: copy.deepcopy(value) for name, value in manifest.items() if name != "status"}
    _keep_immutable(key, old, given)
    before, metadata = old["metadata"], given["metadata"]
    identity = {
        "namespace": key.namespace,
        **{name: before[name] for name in ("uid", "creationTimestamp", "generation")},
    }
    if old.get("spec") != given.get("spec"):
        identity["generation"] += 1
    merged = {
        group: {**(before.get(group) or {}), **(metadata.get(group) or {})} for group in ("annotations", "labels")
    }
    new = {**given, "metadata": {**metadata, **{name: value for name, value in merged.items() if value}, **identity}}
    return {**new, "status": old["status"]} if "status" in old else new


def belongs(job: Mapping[str, Any], uid: str) -> bool:
    """Whether a Job is a child of the resource with that UID, by owner or by label."""
    metadata = job["metadata"]
    owners = (owner.get("uid") for owner in metadata.get("ownerReferences") or ())
    return uid in owners or uid in (metadata.get("labels") or {}).values()


def _keep_immutable(key: Key, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    conditions = (old.get("status") or {}).get("conditions") or ()
    accepted = any(one.get("type") == "Accepted" and one.get("status") == "True" for one in conditions)
    if key.kind != "Commit" or not accepted:
        return
    before, after = old.get("spec") or {}, new.get("spec") or {}
    for name in sorted(before.keys() | after.keys()):
        if name not in CommitSpec.MUTABLE and before.get(name) != after.get(name):
            raise Rejected(
                f"Commit {key.name}: spec.{name} cannot change once the Commit is accepted; give it another name or choose a new folder"
            )
