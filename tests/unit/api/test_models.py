"""What the models take, refuse and write."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from pydantic import ValidationError

from isobench_operator.api import Commit, Dataset

SHA = "0f40557af6141ced118b81f2a04e651a0c6c9dbd"
REF = {"configMapKeyRef": {"name": "tests", "key": "t.py"}}


def _commit(**spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "isobench.dev/v1alpha1",
        "kind": "Commit",
        "metadata": {"name": "vllm-0f40557a"},
        "spec": {
            "repository": {"url": "https://github.com/vllm-project/vllm.git"},
            "head": SHA,
            "test": {"script": REF},
            **spec,
        },
    }


def _refused(body: dict[str, Any]) -> list[tuple[tuple[str | int, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        Commit.model_validate(body)
    return [(error["loc"], error["type"]) for error in caught.value.errors()]


def test_defaults_are_those_of_the_design() -> None:
    spec = Commit.model_validate(_commit()).spec
    assert spec.base is None
    assert spec.main is None
    assert spec.environment.inherits == "none"
    assert spec.environment.packages_as_of == "head"
    assert spec.environment.timeout_seconds == 7200
    assert spec.measurement.model_dump() == {
        "budgetSeconds": 300,
        "minimumEffectPercent": "2",
        "revisions": ("base", "head", "main"),
        "timeoutSeconds": 3600,
    }


def test_generation_has_bounds_by_default() -> None:
    spec = Commit.model_validate(_commit(test={"generate": {"models": [{"provider": "openai", "model": "m"}]}})).spec
    assert spec.test.generate is not None
    assert spec.test.generate.max_tokens == 10000
    assert spec.test.generate.attempts.to_json() == {"regenerate": 2, "repair": 2, "execute": 2}


def test_an_image_is_inherited_from_by_default() -> None:
    assert (
        Commit.model_validate(_commit(environment={"image": "vllm/vllm-openai:v1"})).spec.environment.inherits
        == "image"
    )


def test_what_is_written_reads_back_equal() -> None:
    body = _commit(
        environment={"setup": ["true"], "resources": {"limits": {"cpu": 4, "memory": "16Gi"}}},
        pod={
            "nodeSelector": {"nvidia.com/gpu.product": "H200"},
            "volumes": [{"name": "w", "mountPath": "/weights", "persistentVolumeClaim": {"claimName": "w"}}],
            "affinity": {
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [
                        {"topologyKey": "kubernetes.io/hostname", "namespaceSelector": {}}
                    ]
                }
            },
        },
    )
    commit = Commit.model_validate(body)
    assert Commit.model_validate(commit.to_json()) == commit


def test_an_empty_selector_is_kept_where_it_means_everything() -> None:
    term = {"topologyKey": "zone", "namespaceSelector": {}}
    body = _commit(pod={"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}})
    written = Commit.model_validate(body).to_json()
    assert written["spec"]["pod"]["affinity"] == body["spec"]["pod"]["affinity"]


def test_what_holds_nothing_is_not_written() -> None:
    written = Commit.model_validate(_commit()).to_json()
    assert "status" not in written
    assert set(written["spec"]) == {"repository", "head", "test", "environment", "measurement", "suspend"}


def test_status_reads_back_equal() -> None:
    status = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "Succeeded",
                "status": "True",
                "reason": "Faster",
                "message": "",
                "lastTransitionTime": "2026-05-01T12:00:00Z",
            }
        ],
        "revisions": [
            {"name": "head", "sha": SHA, "attempts": 1, "medianMs": "6.31", "samples": 96, "imageID": "x@sha256:1"}
        ],
        "result": {
            "verdict": "faster",
            "speedup": "1.84",
            "ci95": ["1.79", "1.90"],
            "equivalent": True,
            "flags": ["low_share"],
        },
        "test": {"digest": f"sha256:{'0' * 64}", "origin": "generated", "attempts": 2},
        "usage": {"promptTokens": 1, "completionTokens": 2, "usd": "0.01", "gpuSeconds": "12.5"},
    }
    assert Commit.model_validate({**_commit(), "status": status}).to_json()["status"] == status


@pytest.mark.parametrize("head", ["0f40557", SHA.upper(), f"{SHA}0", f"{SHA}\n", "HEAD", ""])
def test_head_is_a_full_sha(head: str) -> None:
    assert _refused(_commit(head=head))[0][0] == ("spec", "head")


@pytest.mark.parametrize("main", ["main", "release/1.0", "v1.2.3", SHA])
def test_main_is_a_ref_or_a_sha(main: str) -> None:
    assert Commit.model_validate(_commit(main=main)).spec.main == main


@pytest.mark.parametrize("main", ["-upload-pack=x", "a..b", "a b", "", "a:b", "a~1"])
def test_main_is_never_an_option_or_a_range(main: str) -> None:
    assert _refused(_commit(main=main))[0][0] == ("spec", "main")


@pytest.mark.parametrize(
    "url",
    [
        "https://h/o/n.git",
        "ssh://git@h/o/n",
        "git@github.com:o/n.git",
        "file:///srv/n",
        "/srv/n n",
        "http://[::1]:80/n",
    ],
)
def test_addresses_of_repositories(url: str) -> None:
    assert Commit.model_validate(_commit(repository={"url": url})).spec.repository.url == url


@pytest.mark.parametrize(
    "url", ["ext::sh -c x", "-x", "https://-x/", "git@-h:x", "o/n", "https://u:secret@h/o/n", "fd::3", ""]
)
def test_addresses_that_run_programs_or_hold_passwords_are_refused(url: str) -> None:
    assert _refused(_commit(repository={"url": url}))[0][0] == ("spec", "repository", "url")


@pytest.mark.parametrize("test", [{}, {"script": REF, "generate": {"models": [{"provider": "openai", "model": "m"}]}}])
def test_exactly_one_source_of_the_test(test: dict[str, Any]) -> None:
    assert _refused(_commit(test=test)) == [(("spec", "test"), "one_of")]


@pytest.mark.parametrize(
    ("section", "loc"),
    [
        ({"measurement": {"budgetSeconds": -1}}, ("spec", "measurement", "budgetSeconds")),
        ({"measurement": {"budgetSeconds": "300"}}, ("spec", "measurement", "budgetSeconds")),
        ({"measurement": {"budgetSeconds": 300.0}}, ("spec", "measurement", "budgetSeconds")),
        ({"measurement": {"minimumEffectPercent": 2}}, ("spec", "measurement", "minimumEffectPercent")),
        ({"measurement": {"minimumEffectPercent": "-2"}}, ("spec", "measurement", "minimumEffectPercent")),
        ({"measurement": {"revisions": ["head"]}}, ("spec", "measurement", "revisions")),
        ({"measurement": {"revisions": ["base", "head", "head"]}}, ("spec", "measurement", "revisions")),
        ({"suspend": "yes"}, ("spec", "suspend")),
        ({"environment": {"inherit": "image"}}, ("spec", "environment")),
        ({"environment": {"packagesAsOf": "2023-02-30"}}, ("spec", "environment", "packagesAsOf")),
        ({"environment": {"packagesAsOf": "yesterday"}}, ("spec", "environment", "packagesAsOf")),
        ({"environment": {"path": ["../x"]}}, ("spec", "environment", "path")),
        ({"environment": {"testRequirements": ["--index-url=x"]}}, ("spec", "environment", "testRequirements", 0)),
        (
            {"pod": {"resources": {"limits": {"nvidia.com/gpu": -1}}}},
            ("spec", "pod", "resources", "limits", "nvidia.com/gpu"),
        ),
        ({"pod": {"resources": {"limits": {"cpu": 0.5}}}}, ("spec", "pod", "resources", "limits", "cpu")),
        ({"pod": {"resources": {"limits": {"memory": "16GiB"}}}}, ("spec", "pod", "resources", "limits", "memory")),
        ({"pod": {"nodeSelector": {"a b": "x"}}}, ("spec", "pod", "nodeSelector")),
        ({"pod": {"volumes": [{"name": "v", "mountPath": "/v"}]}}, ("spec", "pod", "volumes", 0)),
        ({"pod": {"env": [{"name": "1A"}]}}, ("spec", "pod", "env", 0, "name")),
    ],
)
def test_values_out_of_bounds_are_refused_at_their_place(section: dict[str, Any], loc: tuple[str | int, ...]) -> None:
    assert _refused(_commit(**section))[0][0] == loc


@pytest.mark.parametrize("path", ["/", "/isobench", "/isobench/out"])
def test_a_volume_never_covers_the_pod_contract(path: str) -> None:
    volume = {"name": "v", "mountPath": path, "image": {"reference": "weights:1"}}
    assert _refused(_commit(pod={"volumes": [volume]}))[0][0] == ("spec", "pod", "volumes")


def test_unknown_fields_are_refused_everywhere() -> None:
    body = deepcopy(_commit())
    body["spec"]["bas"] = SHA
    body["spec"]["test"]["script"]["configMapKeyRef"]["nam"] = "x"
    found = {loc for loc, kind in _refused(body) if kind == "extra_forbidden"}
    assert found == {("spec", "bas"), ("spec", "test", "script", "configMapKeyRef", "nam")}


def test_a_temperature_is_a_string_from_0_to_2() -> None:
    for temperature, fine in {
        "0": True,
        "0.2": True,
        "2": True,
        "2.0": True,
        "2.1": False,
        "-1": False,
        "0,2": False,
    }.items():
        body = _commit(
            test={"generate": {"models": [{"provider": "openai", "model": "m"}], "temperature": temperature}}
        )
        if fine:
            Commit.model_validate(body)
        else:
            assert _refused(body)[0][0][-1] == "temperature"


def test_a_dataset_collects_all_commits_by_default() -> None:
    dataset = Dataset.model_validate({"metadata": {"name": "d"}, "spec": {"source": {"commits": {}}}})
    assert dataset.spec.source.commits is not None
    assert dataset.spec.source.commits.selector.match_labels == {}
    assert dataset.spec.formats == ("jsonl", "parquet")


def test_what_the_server_adds_to_metadata_passes() -> None:
    body = deepcopy(_commit())
    body["metadata"] |= {"uid": "u", "generation": 3, "managedFields": [], "resourceVersion": "7"}
    metadata = Commit.model_validate(body).metadata
    assert (metadata.uid, metadata.generation) == ("u", 3)
