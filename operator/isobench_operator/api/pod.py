"""What a Commit may say about its measuring pods: the part of a PodSpec that cannot weaken the pod contract.

Nothing may enter by which a pod gains a privilege, a token or a writable volume that another pod sees.
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt, field_validator
from pydantic_core import PydanticCustomError

from .affinity import Affinity
from .fields import (
    ApiModel,
    DnsLabel,
    DnsName,
    LabelKey,
    Labels,
    LabelValue,
    LocalRef,
    Path,
    Quantities,
    Quantity,
    Rule,
    Word,
)

EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
MountPath = Annotated[str, Field(pattern=r"^/[^:]*$", max_length=1024)]


class Resources(ApiModel):
    """Requests and limits; `limits: {nvidia.com/gpu: 0}` asks for no GPU where the chart's default is one."""

    limits: Quantities = Field(default_factory=dict)
    requests: Quantities = Field(default_factory=dict)


_WHOLE = r"^[0-9]+(000m)?$"
NOT_WHOLE = "resources: a measuring container has whole CPUs, so that a static CPU manager may pin it: 4, not 3500m"
NOT_GUARANTEED = "resources: requests equal limits where both name a resource, so that measuring pods are Guaranteed"


class Toleration(ApiModel):
    """As in a PodSpec."""

    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    toleration_seconds: Annotated[StrictInt, Field(ge=0, le=2**31)] | None = None


class EnvVar(ApiModel):
    """A variable of the untrusted containers; by value alone, for a key must never reach them."""

    name: EnvName
    value: Annotated[str, Field(max_length=4096)] = ""


class ClaimRef(ApiModel):
    """A PersistentVolumeClaim in the same namespace."""

    claim_name: DnsName


class ImageRef(ApiModel):
    """An OCI image or artifact, mounted as a volume."""

    reference: Word


class Volume(ApiModel):
    """Weights or data, mounted read-only in the untrusted containers.

    Attributes:
        mount_path: absolute, and outside /isobench, which is the pod contract's.
        sub_path: a folder of the volume; null for all of it.
    """

    ONE_OF: ClassVar = ("persistentVolumeClaim", "configMap", "image")

    name: DnsLabel
    mount_path: MountPath
    sub_path: Path | None = None
    persistent_volume_claim: ClaimRef | None = None
    config_map: LocalRef | None = None
    image: ImageRef | None = None


class Pod(ApiModel):
    """What measuring pods have beyond the release's defaults.

    Attributes:
        queue_name: a Kueue LocalQueue; null for none.
        shm_size: of /dev/shm, in memory, counted against the limit.
    """

    RULES: ClassVar = (
        Rule(
            "!has(self.volumes) || self.volumes.all(v, v.mountPath != '/' && !(v.mountPath + '/').startsWith('/isobench/'))",
            "a volume may be mounted neither at / nor below /isobench",
        ),
        *(
            Rule(
                f"!has(self.resources) || !has(self.resources.{kind}) || !('cpu' in self.resources.{kind})"
                f" || string(self.resources.{kind}['cpu']).matches('{_WHOLE}')",
                NOT_WHOLE,
            )
            for kind in ("limits", "requests")
        ),
        Rule(
            "!has(self.resources) || !has(self.resources.limits) || !has(self.resources.requests)"
            " || self.resources.requests.all(name, !(name in self.resources.limits)"
            " || string(self.resources.requests[name]) == string(self.resources.limits[name]))",
            NOT_GUARANTEED,
        ),
    )

    resources: Resources = Field(default_factory=Resources)
    node_selector: Labels = Field(default_factory=dict)
    affinity: Affinity | None = None
    tolerations: Annotated[tuple[Toleration, ...], Field(max_length=16)] = ()
    runtime_class_name: DnsName | None = None
    queue_name: DnsLabel | None = None
    env: Annotated[tuple[EnvVar, ...], Field(max_length=32)] = ()
    image_pull_secrets: Annotated[tuple[LocalRef, ...], Field(max_length=8)] = ()
    volumes: Annotated[tuple[Volume, ...], Field(max_length=8)] = ()
    shm_size: Quantity | None = None

    @field_validator("resources")
    @classmethod
    def _guaranteed(cls, resources: Resources) -> Resources:
        for amounts in (resources.limits, resources.requests):
            if "cpu" in amounts and not re.fullmatch(_WHOLE, amounts["cpu"]):
                raise PydanticCustomError("cpu", NOT_WHOLE)
        both = resources.limits.keys() & resources.requests.keys()
        if any(resources.limits[name] != resources.requests[name] for name in both):
            raise PydanticCustomError("guaranteed", NOT_GUARANTEED)
        return resources

    @field_validator("volumes")
    @classmethod
    def _mounts(cls, volumes: tuple[Volume, ...]) -> tuple[Volume, ...]:
        for volume in volumes:
            if volume.mount_path == "/" or f"{volume.mount_path}/".startswith("/isobench/"):
                raise PydanticCustomError("mount_path", "a volume may be mounted neither at / nor below /isobench")
        return volumes
