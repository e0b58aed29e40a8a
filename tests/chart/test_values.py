"""Values: what is refused, in which words, and that none is without a description or a schema."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
from types import ModuleType
from typing import Any

import jsonschema
import pytest
import yaml

from support.helm import CHART, ROOT, refusal, render

pytestmark = pytest.mark.chart
Json = dict[str, Any]
VALUES = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
ROLE = {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "helm" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


def nested(path: str, value: Any) -> Json:
    for key in reversed(path.split(".")):
        value = {key: value}
    return value


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"replicas": 2}, "additional properties 'replicas' not allowed"),
        ({"jobs": {"gpu": 2}}, "at '/jobs': additional properties 'gpu' not allowed"),
        ({"scope": "all"}, "at '/scope': value must be one of 'namespaced', 'cluster'"),
        ({"image": {"operator": {"digest": "sha256:12"}}}, "at '/image/operator/digest'"),
        ({"image": {"runner": {"repository": "ghcr.io/isobench/runner:1"}}}, "at '/image/runner/repository'"),
        ({"image": {"registry": "https://registry.local"}}, "at '/image/registry'"),
        ({"artifacts": {"url": "/mnt/store"}}, "at '/artifacts/url'"),
        (
            {"artifacts": {"url": "s3://b/p", "existingClaim": "mine"}},
            "at '/artifacts/existingClaim': value must be one of '', 'a claim, with artifacts.url left empty'",
        ),
        (
            {"artifacts": {"url": "s3://b/p", "storageClass": "fast"}},
            "at '/artifacts/storageClass': value must be one of '', 'a class, with artifacts.url left empty'",
        ),
        (
            {"artifacts": {"credentialsSecret": "s3"}},
            "at '/artifacts/credentialsSecret': value must be one of '', 'a Secret, with artifacts.url set'",
        ),
        (
            {"artifacts": {"accessMode": "ReadWriteOnce"}, "jobs": {"buildAffinity": "required"}},
            "ReadWriteOnce holds builds and measurements to one host",
        ),
        ({"artifacts": {"accessMode": "ReadOnlyMany"}}, "at '/artifacts/accessMode'"),
        ({"serviceAccounts": {"run": {"annotations": ROLE}}}, "a cloud identity belongs to every container of a pod"),
        ({"serviceAccounts": {"collect": {"annotations": ROLE}}}, "a cloud identity belongs to every container of a pod"),
        ({"packageIndex": {"url": "https://me:word@index.local/simple"}}, "at '/packageIndex/url'"),
        ({"proxy": {"https": "http://me:word@proxy.local"}}, "at '/proxy/https'"),
        ({"caBundle": {"pem": "ca.crt"}}, "at '/caBundle/pem'"),
        ({"jobs": {"ttlSeconds": 60}}, "at '/jobs/ttlSeconds'"),
        ({"jobs": {"waitingSeconds": 5}}, "at '/jobs/waitingSeconds'"),
        ({"jobs": {"resources": {"measure": {"limits": {"memory": "16 GB"}}}}}, "at '/jobs/resources/measure/limits/memory'"),
        ({"networkPolicy": {"git": [{"cidr": "10.0.0.0/8"}]}}, "additional properties 'cidr' not allowed"),
        ({"workNamespaces": ["Team A"]}, "at '/workNamespaces/0'"),
        ({"defaultDataset": {"spec": {"source": None}}}, "at '/defaultDataset/spec': missing property 'source'"),
        ({"jobs": {"trustedEnv": {"HF_TOKEN": "x"}}}, "jobs.trustedEnv.HF_TOKEN looks like a key"),
        ({"createWorkNamespaces": True}, "workNamespaces names none beside the release's own (isobench)"),
        (
            {"caBundle": {"configMap": "ca", "pem": "-----BEGIN CERTIFICATE-----"}},
            "caBundle.configMap (ca) and caBundle.pem are both set",
        ),
        (
            {"metrics": {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}},
            "every sample would be scraped and every alert fire twice",
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_refused_and_named(values: Json, words: str) -> None:
    assert words in refusal(values)


@pytest.mark.parametrize(
    "values",
    [
        {"artifacts": {"url": "s3://b/p", "credentialsSecret": "s3"}},
        {"artifacts": {"existingClaim": "mine", "accessMode": "ReadWriteOnce"}},
        {"artifacts": {"url": "s3://b/p", "accessMode": "ReadWriteOnce"}, "jobs": {"buildAffinity": "required"}},
        {"serviceAccounts": {"run": {"annotations": {"team": "a"}}}},
        {"operator": {"serviceAccount": {"annotations": ROLE}}},
        {"networkPolicy": {"git": []}},
        {"global": {"clusterName": "a"}},
        {"priorityClasses": {"create": True, "jobsValue": 2000}},
    ],
)
def test_what_is_right_is_taken(values: Json) -> None:
    assert render(values)


def test_the_schema_is_a_schema_and_takes_the_defaults() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    jsonschema.validate(VALUES, SCHEMA)


def objects_of(schema: Json, values: Any, path: str = "") -> list[tuple[str, Json, Any]]:
    """Every object of the values with its schema, references followed."""
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    if not isinstance(values, dict) or "properties" not in schema:
        return []
    below = [
        one
        for key, value in values.items()
        for one in objects_of(schema["properties"].get(key, {}), value, f"{path}.{key}")
    ]
    return [(path, schema, values), *below]


def test_the_schema_knows_every_value_and_no_other() -> None:
    for path, schema, values in objects_of(SCHEMA, VALUES):
        assert schema["additionalProperties"] is False, path
        assert set(schema["properties"]) - {"global"} == set(values), path


def test_the_readme_is_made_from_the_values() -> None:
    readme = module("readme")
    text = (CHART / "values.yaml").read_text(encoding="utf-8")
    assert (CHART / "README.md").read_text(encoding="utf-8") == readme.page(text), "run `make chart`"


def test_every_value_is_documented() -> None:
    documented = {
        value.path: value.default
        for value in module("readme").documented((CHART / "values.yaml").read_text(encoding="utf-8"))
    }
    rest = copy.deepcopy(VALUES)
    for path in documented:
        *folders, key = path.split(".")
        place = rest
        for folder in folders:
            place = place[folder]
        del place[key]

    def leaves(values: Json) -> list[Any]:
        return [leaf for value in values.values() for leaf in (leaves(value) if isinstance(value, dict) else [value])]

    assert leaves(rest) == []


def test_a_value_without_a_comment_is_an_error() -> None:
    with pytest.raises(ValueError, match=re.escape("values.yaml:2: jobs.gpus has no comment")):
        list(module("readme").documented("jobs:\n  gpus: 1\n"))
