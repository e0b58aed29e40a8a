"""`Dataset`: records, from one source."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt

from .commit_status import Conditions
from .fields import API_VERSION, ApiModel, Count, Digest, Flag, KeyRef, Labels, ObjectMeta, Timestamp, Word

Format = Literal["jsonl", "parquet"]
View = Literal["canonical", "swe-perf", "gso"]
_SET = {"x-kubernetes-list-type": "set"}
_HUB_NAME = "[A-Za-z0-9][A-Za-z0-9_.-]{0,95}"
HubRepository = Annotated[
    str,
    Field(pattern=rf"^(https?://[^/@ ]+/(datasets/)?)?{_HUB_NAME}(/{_HUB_NAME})?/?$", min_length=1, max_length=320),
]
"""A dataset repository: `owner/name`, its URL, or an owner alone."""


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


class Collect(ApiModel):
    """How long a finished Commit waits for those that are still under way.

    Attributes:
        every_seconds: so often is collected what has finished meanwhile. With none under way it is collected at once.
    """

    every_seconds: Annotated[StrictInt, Field(ge=10, le=86400)] = 600


class Publish(ApiModel):
    """Push the records to the Hugging Face Hub, as split `test`, one per (repo, head_commit).

    Attributes:
        repository: `owner/name`, its URL, or an owner alone, who gets a repository of the Dataset's name.
        secret_key_ref: a token that may write there (in a manifest on disk also `env: NAME`).
        private: of a repository that has to be made; one that is there stays as it is.
        keep: which of two rows of one commit stays: the one that was measured last, or the one that is published already.
        dry_run: say what would be added and replaced, and push nothing.
    """

    repository: HubRepository
    secret_key_ref: KeyRef
    private: Flag = True
    keep: Literal["latest", "published"] = "latest"
    dry_run: Flag = False


class DatasetSpec(ApiModel):
    """What to collect, and in which forms.

    Attributes:
        formats: of the full records.
        views: further files in the forms of other projects.
        publish: null keeps the records here.
    """

    source: Source
    formats: Annotated[tuple[Format, ...], Field(min_length=1, max_length=2, json_schema_extra=_SET)] = (
        "jsonl",
        "parquet",
    )
    views: Annotated[tuple[View, ...], Field(max_length=3, json_schema_extra=_SET)] = ()
    collect: Collect = Collect()
    publish: Publish | None = None
    suspend: Flag = False


class DatasetFile(ApiModel):
    """A file of the Dataset."""

    name: Word
    digest: Digest
    size: Annotated[StrictInt, Field(ge=0, le=2**53)] | None = None


class Published(ApiModel):
    """What the last push came to.

    Attributes:
        revision: the repository's commit that holds it; null after a dry run.
        records: rows of the split.
        added, replaced: rows that were not there, or not like this.
        kept: rows that stay although this Dataset has no or another record of that commit.
    """

    repository: Word
    revision: Annotated[str, Field(max_length=64)] | None = None
    records: Count
    added: Count
    replaced: Count
    kept: Count


class DatasetStatus(ApiModel):
    """What was collected.

    Attributes:
        digest: of the full records; equal where and only where their bytes are.
        records: in the Dataset.
        commits: that were selected, those without a record among them.
        finished: of those, how many had ended when they were collected.
        through: when the last of these ended: a Commit that ended by then is collected.
        collected_at: when the last collection ended, well or badly.
        collected_generation: of the spec that was collected by.
        inputs: digest of what the selected Commits had come to when the latest collection began.
        attempt: number of the Job that counts.
    """

    observed_generation: Count | None = None
    observed_retry: Annotated[str, Field(max_length=64)] | None = None
    conditions: Conditions = ()
    digest: Digest | None = None
    records: Count | None = None
    commits: Count | None = None
    finished: Count | None = None
    through: Timestamp | None = None
    collected_at: Timestamp | None = None
    collected_generation: Count | None = None
    published: Published | None = None
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
