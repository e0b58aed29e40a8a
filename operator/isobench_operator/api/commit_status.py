"""`Commit.status`: what was observed. Small by design: scripts, samples and logs are named by digest and live in the artifact store."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictBool

from .conditions import CamelCase, Condition
from .fields import ApiModel, Count, Decimal, Digest, RevisionName, Sha, Timestamp, Word

Verdict = Literal[
    "faster", "slower", "negligible", "no_change", "inconclusive", "incomparable", "invalid", "behaviour_changed"
]
Origin = Literal["given", "generated"]
Interval = Annotated[tuple[Decimal, ...], Field(min_length=2, max_length=2)]
"""Two numbers, low and high."""
FlagName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=64)]
StageName = Literal["prepare-base", "prepare-head", "prepare-main", "generate", "base", "head", "main"]
ImageId = Annotated[str, Field(max_length=512)]

KEYED_BY_NAME = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
KEYED_BY_TYPE = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}

Conditions = Annotated[tuple[Condition, ...], Field(max_length=16, json_schema_extra=KEYED_BY_TYPE)]


class RevisionStatus(ApiModel):
    """One revision: how it was built and what it took.

    Attributes:
        environment: digest of the prepared environment's manifest.
        key: of the environment, below ISOBENCH_ENVS.
        distributions: digest of the list of what is installed.
        as_of: the date of the package index that it was built with.
        result: digest of the result: raw samples, fingerprint, checks.
        evidence: digest of what is known about a failure.
        attempts: measuring Jobs so far.
        median_ms: of the revision's own samples; base_median_ms of base in the same Job.
        noise_floor_percent, changed_share, flags: of base, whose Job finds them for the whole Commit.
        reason: why there is no result; SameAsHead and SameAsBase are no failures.
    """

    name: RevisionName
    sha: Sha | None = None
    environment: Digest | None = None
    key: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", max_length=32)] | None = None
    distributions: Digest | None = None
    python: Word | None = None
    as_of: Timestamp | None = None
    image_id: ImageId | None = Field(default=None, alias="imageID")
    result: Digest | None = None
    evidence: Digest | None = None
    node: Word | None = None
    gpu: Word | None = None
    attempts: Count | None = None
    median_ms: Decimal | None = None
    base_median_ms: Decimal | None = None
    samples: Count | None = None
    noise_floor_percent: Decimal | None = None
    changed_share: Decimal | None = None
    flags: Annotated[tuple[FlagName, ...], Field(max_length=32)] = ()
    reason: CamelCase | None = None


class Artifacts(ApiModel):
    """Digests of what belongs to the whole Commit: what head's prepare collected, and every attempt of generation."""

    inputs: Digest | None = None
    generation: Digest | None = None


class Result(ApiModel):
    """What was found, base against head.

    Attributes:
        speedup: time of base over time of head, the estimate that ci95 belongs to.
        human_performance: mean of base over mean of head, over the record's own samples.
        noise_floor_percent: what base against base came out apart: half-width of the interval, or the ratio itself where that is more.
        equivalent: whether both returned the same; absent where it was not checked.
        cold_speedup: of the first call of a process.
        cpu_speedup: in CPU time.
        changed_share: of the test's time on base that is spent in changed functions; absent for compiled code.
        flags: warnings, from a closed list.
    """

    verdict: Verdict
    speedup: Decimal | None = None
    ci95: Interval | None = None
    human_performance: Decimal | None = None
    noise_floor_percent: Decimal | None = None
    equivalent: StrictBool | None = None
    cold_speedup: Decimal | None = None
    cpu_speedup: Decimal | None = None
    changed_share: Decimal | None = None
    flags: Annotated[tuple[FlagName, ...], Field(max_length=32)] = ()


class FirstTest(ApiModel):
    """The test to fall back on while a better one is tried."""

    digest: Digest
    model: Word | None = None
    changed_share: Decimal | None = None


class FallenTest(ApiModel):
    """A test that fell on base, and what the next answer is shown of it."""

    digest: Digest
    evidence: Digest
    reason: CamelCase


class TestStatus(ApiModel):
    """The test that is measured with, and how often a model was asked, since the last retry.

    Attributes:
        attempts: answers of models, over the Commit's whole life.
        regenerate, repair, execute: what of spec.test.generate.attempts is used up.
        asked_better: whether a better test was asked for because of a low share; that happens once.
    """

    digest: Digest | None = None
    origin: Origin | None = None
    model: Word | None = None
    attempts: Count | None = None
    regenerate: Count | None = None
    repair: Count | None = None
    execute: Count | None = None
    asked_better: StrictBool | None = None
    first: FirstTest | None = None
    fallen: FallenTest | None = None


class StageStatus(ApiModel):
    """One kind of Job of the Commit.

    Attributes:
        attempt: number of the Job that counts, never used twice.
        incomparable: how often it was measured again because its node was too restless.
    """

    name: StageName
    attempt: Count
    state: Literal["Pending", "Succeeded", "Failed", "Cancelled"]
    reason: CamelCase | None = None
    message: Annotated[str, Field(max_length=1024)] | None = None
    incomparable: Count | None = None


class Usage(ApiModel):
    """What the Commit has cost so far."""

    prompt_tokens: Count = 0
    completion_tokens: Count = 0
    usd: Decimal = "0.00"
    gpu_seconds: Decimal = "0"


class CommitStatus(ApiModel):
    """What was observed of a Commit.

    Attributes:
        observed_generation: of the spec that the status is about.
        observed_retry: value of the annotation isobench.dev/retry that was acted upon.
    """

    observed_generation: Count | None = None
    observed_retry: Annotated[str, Field(max_length=64)] | None = None
    conditions: Conditions = ()
    revisions: Annotated[tuple[RevisionStatus, ...], Field(max_length=3, json_schema_extra=KEYED_BY_NAME)] = ()
    artifacts: Artifacts = Field(default_factory=Artifacts)
    result: Result | None = None
    test: TestStatus = Field(default_factory=TestStatus)
    stages: Annotated[tuple[StageStatus, ...], Field(max_length=7, json_schema_extra=KEYED_BY_NAME)] = ()
    usage: Usage | None = None
