"""What is refused before anything starts, and with which remedy."""

from __future__ import annotations

from typing import Any

import pytest

from isobench_operator.api import Dataset
from isobench_operator.local import preflight
from isobench_operator.local.gpus import Gpu, parse


def commit(*, image: str | None = None, key: bool = False, inherit: str | None = None) -> dict[str, Any]:
    environment = {name: value for name, value in (("image", image), ("inherit", inherit)) if value}
    model = {"provider": "openai", "model": "m"} | ({"secretKeyRef": {"name": "s", "key": "k"}} if key else {})
    return {"metadata": {"name": "c"}, "spec": {"environment": environment, "test": {"generate": {"models": [model]}}}}


@pytest.mark.parametrize(
    ("document", "isolated", "none_typed", "ignore_image", "words"),
    [
        (commit(), True, False, False, []),
        (commit(), False, False, False, []),
        (commit(key=True), True, False, False, []),
        (commit(key=True), False, False, False, ["--isolation none"]),
        (commit(key=True), False, True, False, []),
        (commit(image="x:1"), True, False, False, ["--ignore-image"]),
        (commit(image="x:1"), True, False, True, []),
        (commit(image="x:1", key=True), False, False, False, ["--ignore-image", "--isolation none"]),
    ],
)
def test_what_a_laptop_must_not_do_is_refused_with_its_remedy(
    document: dict[str, Any], isolated: bool, none_typed: bool, ignore_image: bool, words: list[str]
) -> None:
    found = preflight.problems(
        [document], isolated=isolated, isolation_words="no bwrap", none_typed=none_typed, ignore_image=ignore_image
    )
    assert len(found) == len(words)
    for text, word in zip(found, words, strict=True):
        assert word in text
        assert "Commit c" in text


HOPPER, AMPERE = Gpu("NVIDIA H100", (9, 0), 81559), Gpu("NVIDIA A100", (8, 0), 40960)


@pytest.mark.parametrize(
    ("wanted", "gpus", "words"),
    [
        ({}, (), None),
        ({"gpuComputeCapability": "8.0"}, (AMPERE,), None),
        ({"gpuComputeCapability": "8.0", "gpuMemoryGiB": 40}, (AMPERE,), None),
        ({"gpuComputeCapability": "9.0"}, (HOPPER,), None),
        ({"gpuComputeCapability": "9.0"}, (AMPERE,), "the GPU here is NVIDIA A100, 8.0, 40.0 GiB"),
        ({"gpuComputeCapability": "9.0"}, (AMPERE, HOPPER), "NVIDIA A100"),
        ({"gpuComputeCapability": "10.0"}, (HOPPER,), "compute capability 10.0"),
        ({"gpuMemoryGiB": 80}, (HOPPER,), "80 GiB of memory"),
        ({"gpuMemoryGiB": 1}, (), "there is no GPU here"),
    ],
)
def test_a_gpu_that_is_not_enough_is_said_before_anything_starts(
    wanted: dict[str, Any], gpus: tuple[Gpu, ...], words: str | None
) -> None:
    document = commit()
    document["spec"]["environment"]["requires"] = wanted
    found = preflight.problems(
        [document], isolated=True, isolation_words="", none_typed=False, ignore_image=False, gpus=gpus
    )
    assert len(found) == (words is not None)
    assert words is None or (words in found[0] and "spec.environment.requires" in found[0])


def test_what_the_driver_prints_is_read() -> None:
    assert parse("NVIDIA H100, 9.0, 81559\nNVIDIA A100, 8.0, 40960\n\nNo devices were found\n") == (HOPPER, AMPERE)


@pytest.mark.parametrize(("inherit", "after"), [(None, "interpreter"), ("image", "interpreter"), ("none", "none")])
def test_an_ignored_image_is_said_in_the_record(inherit: str | None, after: str) -> None:
    original = commit(image="x:1", inherit=inherit)
    changed = preflight.without_image(original)
    assert changed["spec"]["environment"] == {"inherit": after}
    assert "x:1" in changed["spec"]["record"]["notes"]
    assert original["spec"]["environment"]["image"] == "x:1"


def test_a_commit_without_an_image_stays_as_it_is() -> None:
    document = commit()
    assert preflight.without_image(document) is document


def test_nothing_is_pushed_unless_the_user_typed_so() -> None:
    publish = {"repository": "acme", "secretKeyRef": {"name": "hub", "key": "token"}}
    document = {**preflight.default_dataset(), "spec": {**preflight.default_dataset()["spec"], "publish": publish}}
    assert preflight.published(document, publish=False)["spec"]["publish"] == {**publish, "dryRun": True}
    assert preflight.published(document, publish=True) is document
    assert preflight.published(preflight.default_dataset(), publish=False) == preflight.default_dataset()


def test_the_default_dataset_is_a_valid_one() -> None:
    assert Dataset.model_validate(preflight.default_dataset()).metadata.name == "dataset"
