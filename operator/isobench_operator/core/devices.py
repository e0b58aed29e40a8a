"""Which nodes may measure: what a Commit requires of the GPU and that nobody shares it, as node affinity. Pure.

The labels are GPU feature discovery's. A node that another tool labels otherwise keeps its place by the Commit's own affinity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isobench_operator.api.commit import Requires

Json = dict[str, Any]

VENDOR = "nvidia.com/"
MAJOR, MINOR = f"{VENDOR}gpu.compute.major", f"{VENDOR}gpu.compute.minor"
MEMORY = f"{VENDOR}gpu.memory"
"""In MiB."""
SHARING = f"{VENDOR}gpu.sharing-strategy"
SHARED = ("mps", "time-slicing")
"""Under which a GPU runs others' work beside the measured: no time on it means anything."""
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def _expression(key: str, operator: str, *values: object) -> Json:
    return {"key": key, "operator": operator, "values": [str(value) for value in values]}


def alternatives(requires: Requires) -> list[list[Json]]:
    """What a node has to have for its GPU to be measured on: any one of these lists, all of its expressions."""
    # NotIn holds where there is no such label, too.
    common = [_expression(SHARING, "NotIn", *SHARED)]
    if requires.gpu_memory_gib is not None:
        common.append(_expression(MEMORY, "Gt", requires.gpu_memory_gib * 1024 - 1))
    if requires.gpu_compute_capability is None:
        return [common]
    major, minor = map(int, requires.gpu_compute_capability.split("."))
    if minor == 0:
        return [[*common, _expression(MAJOR, "Gt", major - 1)]]
    return [
        [*common, _expression(MAJOR, "In", major), _expression(MINOR, "Gt", minor - 1)],
        [*common, _expression(MAJOR, "Gt", major)],
    ]


def with_devices(affinity: Mapping[str, Any], requires: Requires) -> Json:
    """The affinity with this required besides: of the terms of a node selector any one suffices, so each gets all of it."""
    node = dict(affinity.get("nodeAffinity") or {})
    terms = (node.get(_REQUIRED) or {}).get("nodeSelectorTerms") or [{}]
    merged = [
        {**term, "matchExpressions": [*(term.get("matchExpressions") or ()), *expressions]}
        for term in terms
        for expressions in alternatives(requires)
    ]
    return {**affinity, "nodeAffinity": {**node, _REQUIRED: {"nodeSelectorTerms": merged}}}


def asks_for_gpu(resources: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a container's resources, as they are in its pod, name a GPU or a part of one."""
    return any(name.startswith(VENDOR) for name in resources.get("limits", {}))
