"""`affinity` as in a PodSpec, with maxima."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from .fields import ApiModel, DnsLabel, LabelKey, Labels, Word

Weight = Annotated[StrictInt, Field(ge=1, le=100)]
Values = Annotated[tuple[Word, ...], Field(max_length=64)]


class NodeSelectorRequirement(ApiModel):
    """As in a PodSpec."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
    values: Values = ()


Requirements = Annotated[tuple[NodeSelectorRequirement, ...], Field(max_length=16)]


class NodeSelectorTerm(ApiModel):
    """As in a PodSpec."""

    match_expressions: Requirements = ()
    match_fields: Requirements = ()


class NodeSelector(ApiModel):
    """As in a PodSpec."""

    node_selector_terms: Annotated[tuple[NodeSelectorTerm, ...], Field(min_length=1, max_length=8)]


class PreferredSchedulingTerm(ApiModel):
    """As in a PodSpec."""

    weight: Weight
    preference: NodeSelectorTerm


class NodeAffinity(ApiModel):
    """As in a PodSpec."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[PreferredSchedulingTerm, ...], Field(max_length=8)
    ] = ()


class LabelSelectorRequirement(ApiModel):
    """As in metav1.LabelSelector."""

    key: LabelKey
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: Values = ()


class LabelSelector(ApiModel):
    """As in metav1.LabelSelector: an empty one selects everything."""

    match_labels: Labels = Field(default_factory=dict)
    match_expressions: Annotated[tuple[LabelSelectorRequirement, ...], Field(max_length=16)] = ()


class PodAffinityTerm(ApiModel):
    """As in a PodSpec."""

    label_selector: LabelSelector | None = None
    topology_key: LabelKey
    namespaces: Annotated[tuple[DnsLabel, ...], Field(max_length=16)] = ()
    namespace_selector: LabelSelector | None = None


class WeightedPodAffinityTerm(ApiModel):
    """As in a PodSpec."""

    weight: Weight
    pod_affinity_term: PodAffinityTerm


class PodAffinity(ApiModel):
    """As in a PodSpec, for podAffinity and podAntiAffinity alike."""

    required_during_scheduling_ignored_during_execution: Annotated[
        tuple[PodAffinityTerm, ...], Field(max_length=8)
    ] = ()
    preferred_during_scheduling_ignored_during_execution: Annotated[
        tuple[WeightedPodAffinityTerm, ...], Field(max_length=8)
    ] = ()


class Affinity(ApiModel):
    """As in a PodSpec."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAffinity | None = None
