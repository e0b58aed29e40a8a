"""Before anything starts: what a laptop cannot or must not do, said with its remedy; and what a run adds to the manifests. Pure."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from isobench_operator.api import API_VERSION
from isobench_operator.api.commit import Requires

from .gpus import Gpu

Json = dict[str, Any]
DEFAULT_DATASET = "dataset"


def _environment(commit: Mapping[str, Any]) -> Mapping[str, Any]:
    environment: Mapping[str, Any] = commit["spec"].get("environment") or {}
    return environment


def _has_key(commit: Mapping[str, Any]) -> bool:
    generate = commit["spec"]["test"].get("generate") or {}
    return any(model.get("secretKeyRef") for model in generate.get("models", ()))


def requires(commit: Mapping[str, Any]) -> Requires:
    """What a Commit requires of the GPU that is measured on."""
    return Requires.model_validate(_environment(commit).get("requires") or {})


def meets(gpu: Gpu, wanted: Requires) -> bool:
    """Whether a GPU is enough."""
    capability = tuple(map(int, (wanted.gpu_compute_capability or "0.0").split(".")))
    return gpu.capability >= capability and gpu.memory >= (wanted.gpu_memory_gib or 0) * 1024


def problems(
    commits: Sequence[Json],
    *,
    isolated: bool,
    isolation_words: str,
    none_typed: bool,
    ignore_image: bool,
    gpus: Sequence[Gpu] = (),
) -> list[str]:
    """Why these Commits are not started here; empty where they may be.

    Args:
        isolated: whether untrusted containers have a sandbox.
        none_typed: whether the user typed `--isolation none`.
        ignore_image: whether the user typed `--ignore-image`.
        gpus: of this machine.
    """
    found = []
    for commit in commits:
        name, image = commit["metadata"]["name"], _environment(commit).get("image")
        if image and not ignore_image:
            found.append(
                f"Commit {name}: spec.environment.image: {image}: images are not run without a cluster; "
                "--ignore-image builds on this machine's interpreter instead, and the record says so"
            )
        wanted = requires(commit)
        if wanted.words() and not any(meets(gpu, wanted) for gpu in gpus[:1]):
            first = f"the GPU here is {gpus[0].name}, {'.'.join(map(str, gpus[0].capability))}, {gpus[0].memory / 1024:.1f} GiB" if gpus else "there is no GPU here"  # fmt: skip
            found.append(
                f"Commit {name}: spec.environment.requires: {wanted.words()}: {first}; "
                "run it on a machine that has it, or take the field out"
            )
        if _has_key(commit) and not isolated and not none_typed:
            found.append(
                f"Commit {name}: spec.test.generate: a model key and code that nobody has read would share this machine without a sandbox "
                f"({isolation_words}); install bubblewrap, or type --isolation none to accept that"
            )
    return found


def without_image(commit: Json) -> Json:
    """The same Commit on this machine's interpreter: `inherit: image` becomes `interpreter`, and the record's notes say so."""
    image = _environment(commit).get("image")
    if not image:
        return commit
    changed = copy.deepcopy(commit)
    environment = changed["spec"]["environment"]
    environment.pop("image")
    if environment.get("inherit", "image") == "image":
        environment["inherit"] = "interpreter"
    record = dict(changed["spec"].get("record") or {})
    said = f"image {image} ignored (--ignore-image)"
    record["notes"] = f"{record['notes']}; {said}" if record.get("notes") else said
    changed["spec"]["record"] = record
    return changed


def published(dataset: Json, *, publish: bool) -> Json:
    """The same Dataset, which tells what a push would do and pushes only where the user typed `--publish`."""
    wanted = dataset["spec"].get("publish")
    if wanted is None or publish:
        return dataset
    return {**dataset, "spec": {**dataset["spec"], "publish": {**wanted, "dryRun": True}}}


def default_dataset() -> Json:
    """The Dataset of a run whose manifests have none: everything, as JSONL and Parquet."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Dataset",
        "metadata": {"name": DEFAULT_DATASET},
        "spec": {"source": {"commits": {"selector": {"matchLabels": {}}}}, "formats": ["jsonl", "parquet"]},
    }
