"""The committed CRDs are those of the models, and an API server can take them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jsonschema
import pytest
import yaml
from pydantic import Field

from isobench_operator.api import KINDS, Commit
from isobench_operator.api.commit import CommitSpec
from isobench_operator.api.crds import crd, files, main
from isobench_operator.api.fields import ApiModel
from isobench_operator.api.structural import SchemaError, structural

ROOT = Path(__file__).parents[3]
FORBIDDEN = {
    "$ref",
    "$defs",
    "oneOf",
    "allOf",
    "not",
    "const",
    "prefixItems",
    "discriminator",
    "patternProperties",
    "title",
}
FORBIDDEN |= {"propertyNames", "uniqueItems", "exclusiveMinimum", "exclusiveMaximum", "nullable"}


def _schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = crd(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def _walk(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from _walk(inner, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if key in schema:
            yield from _walk(schema[key], f"{path}[]")


def test_the_committed_files_are_the_generated_ones(tmp_path: Path) -> None:
    assert main([str(tmp_path / "crds")]) == 0
    committed = {path.name: path.read_text() for path in (ROOT / "crds").glob("*.yaml")}
    generated = {path.name: path.read_text() for path in (tmp_path / "crds").iterdir()}
    assert generated == committed == files(), "run `make crds`"


def test_the_program_says_how_it_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_everything_has_a_maximum_and_nothing_is_a_float(kind: str) -> None:
    for path, schema in _walk(_schema(kind)):
        if path in (".apiVersion", ".kind", ".metadata"):
            continue
        if "x-kubernetes-int-or-string" in schema:
            assert schema["maxLength"], path
            continue
        assert schema["type"] in ("object", "array", "string", "integer", "boolean"), path
        assert not FORBIDDEN & set(schema), path
        assert "anyOf" not in schema, path
        if schema["type"] == "string":
            assert "maxLength" in schema or "enum" in schema, path
        elif schema["type"] == "array":
            assert "maxItems" in schema, path
        elif schema["type"] == "integer":
            assert "maximum" in schema, path
        elif schema["type"] == "object" and "properties" not in schema:
            assert "maxProperties" in schema, path


@pytest.mark.parametrize("kind", KINDS)
def test_conditions_are_a_map_by_type(kind: str) -> None:
    conditions = _schema(kind)["properties"]["status"]["properties"]["conditions"]
    assert conditions["x-kubernetes-list-type"] == "map"
    assert conditions["x-kubernetes-list-map-keys"] == ["type"]
    assert set(conditions["items"]["required"]) >= set(conditions["x-kubernetes-list-map-keys"])


@pytest.mark.parametrize("kind", KINDS)
def test_status_is_a_subresource_and_the_category_is_isobench(kind: str) -> None:
    spec = crd(kind)["spec"]
    assert spec["versions"][0]["subresources"] == {"status": {}}
    assert spec["names"]["categories"] == ["isobench"]
    assert spec["names"]["shortNames"]


def test_columns_answer_whether_it_got_faster() -> None:
    columns = {
        column["name"]: column.get("priority", 0)
        for column in crd("Commit")["spec"]["versions"][0]["additionalPrinterColumns"]
    }
    assert [name for name, priority in columns.items() if priority == 0] == [
        "Succeeded",
        "Reason",
        "Verdict",
        "Speedup",
        "Base-ms",
        "Head-ms",
        "Age",
    ]
    assert {"GPU", "Node"} <= set(columns)


def test_every_field_of_an_accepted_spec_but_three_is_immutable() -> None:
    rules = _schema("Commit")["x-kubernetes-validations"]
    frozen = {rule["fieldPath"].removeprefix(".spec.") for rule in rules}
    fields = {info.alias for info in CommitSpec.model_fields.values()}
    assert fields - frozen == {"suspend", "ttlSecondsAfterFinished", "priorityClassName"}
    assert all("oldSelf.status.conditions.exists" in rule["rule"] for rule in rules)


def test_a_choice_is_a_rule_of_the_schema() -> None:
    test = _schema("Commit")["properties"]["spec"]["properties"]["test"]
    assert test["x-kubernetes-validations"] == [
        {
            "rule": "[has(self.script), has(self.generate)].exists_one(x, x)",
            "message": "exactly one of script and generate is wanted",
        }
    ]


def test_defaults_of_the_schema_are_those_of_the_models() -> None:
    spec = _schema("Commit")["properties"]["spec"]["properties"]
    minimal = {
        "repository": {"url": "/x"},
        "head": "0" * 40,
        "test": {"script": {"configMapKeyRef": {"name": "a", "key": "b"}}},
    }
    written = Commit.model_validate({"metadata": {"name": "x"}, "spec": minimal}).to_json()["spec"]
    assert {name: one["default"] for name, one in spec.items() if "default" in one} == {
        name: value for name, value in written.items() if name not in minimal
    }


def test_what_a_model_writes_passes_its_schema() -> None:
    body = yaml.safe_load((Path(__file__).parent / "commit.yaml").read_text())
    commit = Commit.model_validate(body)
    validator = jsonschema.Draft7Validator(_schema("Commit"))
    assert list(validator.iter_errors(commit.to_json())) == []


def test_a_whole_commit_stays_under_10_kb() -> None:
    text = (Path(__file__).parent / "commit.yaml").read_text()
    assert len(yaml.safe_dump(Commit.model_validate(yaml.safe_load(text)).to_json())) < 10_000


def test_attributes_of_docstrings_explain_fields() -> None:
    spec = _schema("Commit")["properties"]["spec"]["properties"]
    assert spec["head"]["description"].startswith("the revision that is to be faster")
    model = spec["test"]["properties"]["generate"]["properties"]["models"]["items"]["properties"]
    assert model["baseURL"]["description"].startswith("where it answers")


class Unbounded(ApiModel):
    """A string without an end."""

    name: str


class Floating(ApiModel):
    """A float."""

    share: float


class Either(ApiModel):
    """A union."""

    value: Annotated[str, Field(max_length=3)] | bool


class Nested(ApiModel):
    """Contains itself."""

    inner: Nested | None = None


class Pair(ApiModel):
    """A tuple of two kinds."""

    pair: tuple[bool, int]


class Bare(ApiModel):
    """A list without an end."""

    names: tuple[bool, ...]


class Keyed(ApiModel):
    """A map without an end."""

    names: dict[str, bool]


class Exclusive(ApiModel):
    """Bounds that JSON schema writes otherwise."""

    ONE_OF: ClassVar = ()
    low: Annotated[int, Field(gt=0, lt=10)]


@pytest.mark.parametrize("model", [Unbounded, Floating, Either, Nested, Pair, Bare, Keyed])
def test_what_cannot_be_structural_is_an_error(model: type[ApiModel]) -> None:
    with pytest.raises(SchemaError):
        structural(model.model_json_schema())


def test_exclusive_bounds_of_integers_become_inclusive() -> None:
    low = structural(Exclusive.model_json_schema())["properties"]["low"]
    assert (low["minimum"], low["maximum"]) == (1, 9)
