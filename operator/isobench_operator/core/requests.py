"""What each Job is asked, from spec and progress: the contract's requests, and the mounts that they name. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from isobench_operator.api.commit import Commit
from isobench_runner.contract import (
    Environment,
    GenerateRequest,
    MeasureRequest,
    Model,
    PrepareRequest,
    Repair,
    Revision,
    Role,
    repository_name,
)

from . import naming
from .policies import generation, measuring, repairs
from .progress import Progress
from .terms import Terms
from .volumes import Input, config_map, secret

FETCH = "fetch"
GENERATE = "generate"


@dataclass(frozen=True, kw_only=True)
class JobId:
    """Which Job a request is for.

    Attributes:
        name: the Job's.
        nonce: what its report has to carry.
    """

    name: str
    role: str
    attempt: int
    nonce: str


def job_id(owner: Any, role: str, attempt: int, *, secret_key: str) -> JobId:
    """The identity of a Job: the same whoever computes it, and whenever; nobody without the secret can compute the nonce."""
    uid = str(owner["metadata"]["uid"])
    name = naming.job_name(owner, role, attempt)
    nonce = hmac.new(secret_key.encode(), f"{name}/{uid}".encode(), hashlib.sha256).hexdigest()[:32]
    return JobId(name=name, role=role, attempt=attempt, nonce=nonce)


def seed(name: str) -> int:
    """The seed of a measuring plan: of the Job's name, so that another attempt draws other orders."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")


def terms(commit: Commit, *, incomparable: int) -> Terms:
    """What the spec allows.

    Args:
        incomparable: how often a role is measured again, from the settings.
    """
    spec = commit.spec
    same = next((name for name in ("head", "base") if spec.main is not None and spec.main == getattr(spec, name)), None)
    generate = spec.test.generate
    bounds = generate.attempts if generate is not None else None
    return Terms(
        generated=generate is not None,
        main="main" in spec.measurement.revisions,
        same_as=same,
        regenerate=bounds.regenerate if bounds else 0,
        repair=bounds.repair if bounds else 0,
        execute=bounds.execute if bounds else 0,
        incomparable=incomparable,
    )


def _common(commit: Commit, job: JobId) -> dict[str, Any]:
    repository = commit.spec.repository
    return {
        "commit": commit.metadata.name,
        "nonce": job.nonce,
        "attempt": job.attempt,
        "repository_url": repository.url,
        "repository": repository.name or repository_name(repository.url),
    }


def environment(commit: Commit) -> Environment:
    """`spec.environment` with its defaults filled in: inherit none where no image is named, "." where nothing is installed."""
    spec = commit.spec.environment
    return Environment(
        image=spec.image,
        inherit=spec.inherits,
        python=spec.python,
        setup=tuple(spec.setup),
        install=tuple(spec.install),
        test_requirements=tuple(spec.test_requirements),
        packages_as_of=spec.packages_as_of,
        path=import_path(commit),
        package=spec.package,
        timeout_seconds=spec.timeout_seconds,
    )


def import_path(commit: Commit) -> tuple[str, ...]:
    """Folders of the tree on the import path: those named, else the tree itself where there is no install line."""
    spec = commit.spec.environment
    return tuple(spec.path) or (() if spec.install else (".",))


def _credentials(commit: Commit) -> list[Input]:
    reference = commit.spec.repository.credentials_secret_ref
    return [] if reference is None else [secret("credentials", reference.name, None, container=FETCH)]


def _text(folder: str, reference: Any) -> list[Input]:
    if reference is None:
        return []
    key = reference.config_map_key_ref
    return [config_map(folder, key.name, key.key, container=FETCH)]


def _path(inputs: Sequence[Input], folder: str) -> str | None:
    return next((one.path for one in inputs if one.folder == folder), None)


def prepare(commit: Commit, progress: Progress, job: JobId, *, revision: Role) -> tuple[PrepareRequest, list[Input]]:
    """A prepare Job's request and mounts; what others resolved before is in it, so that it is resolved once."""
    spec = commit.spec
    inputs = _credentials(commit)
    if revision == "head":
        inputs += _text("script", spec.test.script) + _text("extraction", spec.extraction)
    request = PrepareRequest(
        **_common(commit, job),
        role=revision,
        head=spec.head,
        base=spec.base or progress.revision("base").get("sha"),
        main=progress.revision("main").get("sha") or spec.main,
        environment=environment(commit),
        script=_path(inputs, "script"),
        extraction=_path(inputs, "extraction"),
        credentials=_path(inputs, "credentials"),
    )
    return request, inputs


def _models(commit: Commit) -> tuple[tuple[Model, ...], list[Input]]:
    generate = commit.spec.test.generate
    assert generate is not None
    inputs: list[Input] = []
    models = []
    for index, endpoint in enumerate(generate.models):
        key = endpoint.secret_key_ref
        if key is not None:
            inputs.append(secret(f"model-{index}", key.name, key.key, container=GENERATE))
        models.append(
            Model(
                provider=endpoint.provider,
                model=endpoint.model,
                base_url=endpoint.base_url,
                key_file=_path(inputs, f"model-{index}"),
                key_origin=f"Secret {key.name}, key {key.key}" if key is not None else None,
                temperature=endpoint.temperature or generate.temperature,
                max_tokens=endpoint.max_tokens or generate.max_tokens,
                reasoning_effort=endpoint.reasoning_effort,
            )
        )
    return tuple(models), inputs


def generate(commit: Commit, progress: Progress, job: JobId, *, allowed: Terms) -> tuple[GenerateRequest, list[Input]]:
    """A generate Job's request and mounts: never a script, never main, never a measured effect."""
    spec = commit.spec
    wanted = spec.test.generate
    assert wanted is not None
    models, keys = _models(commit)
    inputs = [*_credentials(commit), *_text("extraction", spec.extraction), *_text("prompt", wanted.prompt), *keys]
    if wanted.seeds is not None:
        inputs.append(config_map("seeds", wanted.seeds.config_map_ref.name, None, container=FETCH))
    left = generation.allowance(progress, allowed)
    fallen = progress.test.fallen
    request = GenerateRequest(
        **_common(commit, job),
        head=spec.head,
        base=spec.base or progress.revision("base").get("sha"),
        package=spec.environment.package,
        models=models,
        prompt=_path(inputs, "prompt"),
        extraction=_path(inputs, "extraction"),
        seeds=_path(inputs, "seeds"),
        regenerate=left.regenerate,
        repair=left.repair,
        reuse=job.attempt == 1,
        fallen=Repair(test=fallen.test, evidence=fallen.evidence, reason=fallen.reason.value) if fallen else None,
        packages=progress.revision("base").get("distributions"),
        credentials=_path(inputs, "credentials"),
        budget_seconds=spec.measurement.budget_seconds,
    )
    return request, inputs


def _revision(progress: Progress, source: str, *, name: str) -> Revision:
    fields = progress.revision(source)
    return Revision(name=name, sha=fields["sha"], environment=fields["environment"], key=fields["key"])


def measure(commit: Commit, progress: Progress, job: JobId, *, role: Role) -> MeasureRequest:
    """A measuring Job's request: everything by digest, so that base and head cannot meet two tests."""
    spec = commit.spec
    other = _revision(progress, role, name="base2" if role == "base" else role)
    origin: Literal["given", "generated"] = progress.test.origin or "given"
    digest, floor = progress.test.digest, measuring.Floor() if role == "base" else measuring.floor(progress)
    assert digest is not None
    return MeasureRequest(
        **_common(commit, job),
        role=role,
        revisions=(_revision(progress, "base", name="base"), other),
        test=digest,
        origin=origin,
        inputs=progress.artifacts["inputs"],
        package=spec.environment.package,
        path=import_path(commit),
        budget_seconds=spec.measurement.budget_seconds,
        minimum_effect_percent=spec.measurement.minimum_effect_percent,
        precision_percent=spec.measurement.precision_percent,
        timeout_seconds=spec.measurement.timeout_seconds,
        ask_better=role == "base" and repairs.ask_better(progress),
        seed=seed(job.name),
        floor_percent=floor.percent,
        floor_node=floor.node,
    )
