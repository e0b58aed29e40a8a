"""`Commit`: one change to a repository, to be timed on the revisions around it."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, ClassVar, Literal

from pydantic import Field, StrictInt, field_validator, model_validator
from pydantic_core import PydanticCustomError

from .commit_status import CommitStatus
from .endpoint import Endpoint, MaxTokens, Temperature
from .fields import (
    API_VERSION,
    ApiModel,
    DnsName,
    Flag,
    FolderRef,
    LocalRef,
    ObjectMeta,
    Path,
    RevisionName,
    Rule,
    Sha,
    ShellLine,
    Text,
    TextRef,
    Word,
)
from .pod import Pod, Resources

Url = Annotated[
    str,
    Field(
        pattern=r"^((https?|ssh|git)://[A-Za-z0-9\[][^\s]*|file:///.+|/.+|[A-Za-z0-9._~-]+@[A-Za-z0-9][A-Za-z0-9._-]*:[^\s].*)$",
        max_length=1024,
    ),
]
"""https, http, ssh, git and file URLs, scp-like addresses and absolute paths: git's other transports run programs."""
RepositoryName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+$", max_length=140)]
Ref = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/+@-]*$", max_length=255)]
"""A branch, tag or sha; none begins with a dash, which git would read as an option."""
PackageName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$", max_length=256)]
Percent = Annotated[str, Field(pattern=r"^[0-9]{1,2}(\.[0-9]{1,3})?$", max_length=6)]
AsOf = Annotated[str, Field(pattern=r"^(head|today|[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]))$", max_length=10)]
Requirement = Annotated[str, Field(pattern=r"^[^\s-].*$", max_length=512)]
Bound = Annotated[StrictInt, Field(ge=0, le=10)]
Seconds = Annotated[StrictInt, Field(ge=60, le=7 * 24 * 3600)]
"""A deadline: a minute to a week."""

_PASSWORD = r"://[^/@]*:[^/@]*@"  # noqa: S105 - where a URL would hold one


class Repository(ApiModel):
    """Where the revisions come from.

    Attributes:
        name: `owner/name` in the record and in every key; null for the one in the URL.
        credentials_secret_ref: a Secret of type kubernetes.io/basic-auth or kubernetes.io/ssh-auth.
    """

    RULES: ClassVar = (
        Rule(f"!self.url.matches('{_PASSWORD}')", "a URL holds no password: name a Secret in credentialsSecretRef"),
    )

    url: Url
    name: RepositoryName | None = None
    credentials_secret_ref: LocalRef | None = None

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str) -> str:
        if re.search(_PASSWORD, url):
            raise PydanticCustomError("url_password", "a URL holds no password: name a Secret in credentialsSecretRef")
        return url


class Attempts(ApiModel):
    """How often, over the Commit's whole life, a model is asked again.

    Attributes:
        regenerate: for an empty or trivial answer.
        repair: for code that does not compile or does not meet the contract.
        execute: for a test that falls on base.
    """

    regenerate: Bound = 2
    repair: Bound = 2
    execute: Bound = 2


class Generate(ApiModel):
    """A test written by a model.

    Attributes:
        models: in the order of fallback.
        prompt: null for the release's own.
        seeds: pre-generated scripts, one of which wins over any request where its name holds head's sha.
        temperature, max_tokens: for the models that do not say otherwise.
    """

    models: Annotated[tuple[Endpoint, ...], Field(min_length=1, max_length=8)]
    prompt: TextRef | None = None
    seeds: FolderRef | None = None
    temperature: Temperature | None = None
    max_tokens: MaxTokens = 10000
    attempts: Attempts = Field(default_factory=Attempts)


class Test(ApiModel):
    """How to get the test: exactly one way."""

    ONE_OF: ClassVar = ("script", "generate")

    script: TextRef | None = None
    generate: Generate | None = None


class Requires(ApiModel):
    """What a test needs of the GPU; where no machine has it, nothing is measured.

    Attributes:
        gpu_compute_capability: the least: "9.0" is a Hopper.
        gpu_memory_gib: the least, in GiB as the driver counts: a card of 80 GB has 79.
    """

    gpu_compute_capability: Annotated[str, Field(pattern=r"^[1-9][0-9]?\.[0-9]$", max_length=4)] | None = None
    gpu_memory_gib: Annotated[StrictInt, Field(ge=1, le=4096)] | None = Field(default=None, alias="gpuMemoryGiB")

    def words(self) -> str:
        """What is asked for, empty where nothing is."""
        capability, memory = self.gpu_compute_capability, self.gpu_memory_gib
        asked = (f"compute capability {capability}" if capability else "", f"{memory} GiB of memory" if memory else "")
        return " and ".join(filter(None, asked))


class Environment(ApiModel):
    """How a revision is installed, into a fresh environment of its own.

    Attributes:
        image: null for the release's default on a cluster; the embedded runtime runs no images.
        inherit: whose site packages the environment starts from; null for `image` where one is named, else `none`.
        python: a version ("3.11") or a path; null for the image's, on a laptop the one that isobench runs on.
        setup: shell lines, once per environment, before install.
        install: shell lines, once per revision, in its tree, with ISOBENCH_SHA and ISOBENCH_TREE set.
        test_requirements: what the test itself needs, the same for every revision.
        packages_as_of: the date of the package index: head's, today's, or one as YYYY-MM-DD.
        path: folders of the tree on the import path.
        package: what must be imported from the revision, and is proved to be.
        resources: of prepare.
        requires: of the GPU that is measured on.
        timeout_seconds: of one revision's build.
    """

    image: Annotated[str, Field(pattern=r"^[A-Za-z0-9][^\s]*$", max_length=512)] | None = None
    inherit: Literal["image", "interpreter", "none"] | None = None
    python: Word | None = None
    setup: Annotated[tuple[ShellLine, ...], Field(max_length=32)] = ()
    install: Annotated[tuple[ShellLine, ...], Field(max_length=32)] = ()
    test_requirements: Annotated[tuple[Requirement, ...], Field(max_length=64)] = ()
    packages_as_of: AsOf = "head"
    path: Annotated[tuple[Path, ...], Field(max_length=16)] = ()
    package: PackageName | None = None
    resources: Resources = Field(default_factory=Resources)
    requires: Requires = Field(default_factory=Requires)
    timeout_seconds: Seconds = 7200

    RULES: ClassVar = (
        Rule("!has(self.inherit) || self.inherit != 'image' || has(self.image)", "inherit: image wants an image"),
        Rule(
            "!has(self.path) || self.path.all(p, !p.startsWith('/') && !p.contains('..'))",
            "path holds folders inside the tree: relative, without ..",
        ),
    )

    @property
    def inherits(self) -> Literal["image", "interpreter", "none"]:
        """`inherit` with its default."""
        return self.inherit or ("image" if self.image else "none")

    @field_validator("packages_as_of")
    @classmethod
    def _is_a_day(cls, value: str) -> str:
        if value not in ("head", "today"):
            try:
                date.fromisoformat(value)
            except ValueError:
                raise PydanticCustomError("no_such_day", "the calendar has no such day") from None
        return value

    @field_validator("path")
    @classmethod
    def _inside_the_tree(cls, path: tuple[str, ...]) -> tuple[str, ...]:
        if any(entry.startswith("/") or ".." in entry for entry in path):
            raise PydanticCustomError("outside_tree", "path holds folders inside the tree: relative, without ..")
        return path

    @model_validator(mode="after")
    def _image_to_inherit(self) -> Environment:
        if self.inherit == "image" and self.image is None:
            raise PydanticCustomError("no_image", "inherit: image wants an image")
        return self


class Measurement(ApiModel):
    """How long and how closely to look.

    Attributes:
        budget_seconds: measuring time of one Job.
        minimum_effect_percent: a smaller effect is `negligible`.
        precision_percent: measure on, as far as the budget goes, until the interval reaches no further than this to either side (0: all
            that the budget has room for); by default a verdict is enough.
        revisions: base and head, and main unless it is left out.
        timeout_seconds: of one Job's measuring, images and environments not counted.
    """

    RULES: ClassVar = (
        Rule("'base' in self.revisions && 'head' in self.revisions", "revisions holds base and head at least"),
    )

    budget_seconds: Annotated[StrictInt, Field(ge=1, le=24 * 3600)] = 300
    minimum_effect_percent: Percent = "2"
    precision_percent: Percent | None = None
    revisions: Annotated[
        tuple[RevisionName, ...], Field(max_length=3, json_schema_extra={"x-kubernetes-list-type": "set"})
    ] = ("base", "head", "main")
    timeout_seconds: Seconds = 3600

    @field_validator("revisions")
    @classmethod
    def _base_and_head(cls, revisions: tuple[RevisionName, ...]) -> tuple[RevisionName, ...]:
        if not {"base", "head"} <= set(revisions):
            raise PydanticCustomError("revisions", "revisions holds base and head at least")
        if len(set(revisions)) != len(revisions):
            raise PydanticCustomError("revisions", "a revision is named twice")
        return revisions


class Record(ApiModel):
    """Words that go into the record as they are."""

    api: Word | None = None
    notes: Text | None = None


class CommitSpec(ApiModel):
    """What to measure and how; immutable once accepted, but for suspend, ttlSecondsAfterFinished and priorityClassName.

    Attributes:
        head: the revision that is to be faster; a full sha.
        base: what it is compared with; null for head's first parent.
        main: a ref or sha; null for the repository's default branch. Resolved once.
        extraction: a description of the change; null to have it computed from the repository.
    """

    MUTABLE: ClassVar = ("suspend", "ttlSecondsAfterFinished", "priorityClassName")
    RULES: ClassVar = (Rule("!has(self.main) || !self.main.contains('..')", "main names one revision, not a range"),)

    repository: Repository
    head: Sha
    base: Sha | None = None
    main: Ref | None = None
    category: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._/-]*$", max_length=63)] | None = None
    extraction: TextRef | None = None
    test: Test
    environment: Environment = Field(default_factory=Environment)
    measurement: Measurement = Field(default_factory=Measurement)
    record: Record = Field(default_factory=Record)
    pod: Pod = Field(default_factory=Pod)
    suspend: Flag = False
    ttl_seconds_after_finished: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)] | None = None
    priority_class_name: DnsName | None = None

    @field_validator("main")
    @classmethod
    def _one_revision(cls, main: str | None) -> str | None:
        if main is not None and ".." in main:
            raise PydanticCustomError("range", "main names one revision, not a range")
        return main


class Commit(ApiModel):
    """A performance commit, and what was measured of it."""

    api_version: Literal["isobench.dev/v1alpha1"] = API_VERSION
    kind: Literal["Commit"] = "Commit"
    metadata: ObjectMeta
    spec: CommitSpec
    status: CommitStatus = Field(default_factory=CommitStatus)
