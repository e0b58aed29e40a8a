"""`Dataset`: records, from one source."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt

from .commit_status import Conditions
from .fields import API_VERSION, ApiModel, Count, Digest, Flag, Labels, ObjectMeta, Word

Format = Literal["jsonl", "parquet"]
View = Literal["canonical", "swe-perf", "gso"]
_SET = {"x-kubernetes-list-type": "set"}


class CommitSelector(ApiModel):
    """Which Commits of the namespace: those with all of these labels; with none named, all of them."""

    match_labels: Labels = Field(default_factory=dict)


class CommitSource(ApiModel):
    """The records of finished Commits."""

    selector: CommitSelector = Field(default_factory=CommitSelector)


class Source(ApiModel):
    """Where the records come from: exactly one."""

    ONE_OF: ClassVar = ("commits",)

    commits: CommitSource | None = None


class DatasetSpec(ApiModel):
    """What to collect, and in which forms.

    Attributes:
        formats: of the full records.
        views: further files in the forms of other projects.
    """

    source: Source
    formats: Annotated[tuple[Format, ...], Field(min_length=1, max_length=2, json_schema_extra=_SET)] = (
        "jsonl",
        "parquet",
    )
    views: Annotated[tuple[View, ...], Field(max_length=3, json_schema_extra=_SET)] = ()
    suspend: Flag = False


class DatasetFile(ApiModel):
    """A file of the Dataset."""

    name: Word
    digest: Digest
    size: Annotated[StrictInt, Field(ge=0, le=2**53)] | None = None


class DatasetStatus(ApiModel):
    """What was collected.

    Attributes:
        digest: of the full records; equal where and only where their bytes are.
        records: in the Dataset.
        commits: that were selected, those without a record among them.
        inputs: digest of what the selected Commits had come to when they were collected.
        attempt: number of the Job that counts.
    """

    observed_generation: Count | None = None
    observed_retry: Annotated[str, Field(max_length=64)] | None = None
    conditions: Conditions = ()
    digest: Digest | None = None
    records: Count | None = None
    commits: Count | None = None
    inputs: Digest | None = None
    attempt: Count | None = None
    files: Annotated[tuple[DatasetFile, ...], Field(max_length=16)] = ()


class Dataset(ApiModel):
    """Records of finished Commits, as files."""

    api_version: Literal["isobench.dev/v1alpha1"] = API_VERSION
    kind: Literal["Dataset"] = "Dataset"
    metadata: ObjectMeta
    spec: DatasetSpec
    status: DatasetStatus = Field(default_factory=DatasetStatus)
