"""CustomResourceDefinitions made from the models: `python -m isobench_operator.api.crds crds/` writes one file per kind."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from . import KINDS
from .commit import CommitSpec
from .fields import GROUP, VERSION, Json, Rule
from .structural import structural

_ACCEPTED = (
    "has(oldSelf.status) && has(oldSelf.status.conditions)"
    " && oldSelf.status.conditions.exists(c, c.type == 'Accepted' && c.status == 'True')"
)


@dataclass(frozen=True)
class Column:
    """A column of `kubectl get`; a wide one is shown with `-o wide` alone."""

    name: str
    path: str
    type: str = "string"
    wide: bool = False

    def to_json(self) -> Json:
        """As a CRD has it."""
        return {"name": self.name, "type": self.type, "jsonPath": self.path, **({"priority": 1} if self.wide else {})}


def _condition(kind: str, field: str) -> str:
    return f'.status.conditions[?(@.type=="{kind}")].{field}'


def _revision(name: str, field: str) -> str:
    return f'.status.revisions[?(@.name=="{name}")].{field}'


_AGE = Column("Age", ".metadata.creationTimestamp", "date")
_SUMMARY = (Column("Succeeded", _condition("Succeeded", "status")), Column("Reason", _condition("Succeeded", "reason")))


@dataclass(frozen=True, kw_only=True)
class Definition:
    """What a CRD has beside its schema.

    Attributes:
        immutable: fields of the spec that may not change once the object is accepted.
    """

    plural: str
    short_names: tuple[str, ...]
    columns: tuple[Column, ...]
    immutable: tuple[str, ...] = ()


def _frozen_fields(spec: type[CommitSpec]) -> tuple[str, ...]:
    names = (info.alias or name for name, info in spec.model_fields.items())
    return tuple(name for name in names if name not in spec.MUTABLE)


DEFINITIONS = {
    "Commit": Definition(
        plural="commits",
        short_names=("pc",),
        immutable=_frozen_fields(CommitSpec),
        columns=(
            *_SUMMARY,
            Column("Verdict", ".status.result.verdict"),
            Column("Speedup", ".status.result.speedup"),
            Column("CI95", ".status.result.ci95", wide=True),
            Column("Base-ms", _revision("head", "baseMedianMs")),
            Column("Head-ms", _revision("head", "medianMs")),
            Column("GPU", _revision("head", "gpu"), wide=True),
            Column("Node", _revision("head", "node"), wide=True),
            _AGE,
        ),
    ),
    "Dataset": Definition(
        plural="datasets",
        short_names=("pds",),
        columns=(
            *_SUMMARY,
            Column("Commits", ".status.commits", "integer"),
            Column("Records", ".status.records", "integer"),
            Column("Digest", ".status.digest", wide=True),
            _AGE,
        ),
    ),
}


def _immutable(kind: str, field: str, *, required: bool) -> Json:
    """The rule that keeps one field of an accepted spec: at the root, for only there is oldSelf.status in sight."""
    same = f"self.spec.{field} == oldSelf.spec.{field}"
    if not required:
        same = f"has(self.spec.{field}) == has(oldSelf.spec.{field}) && (!has(self.spec.{field}) || {same})"
    rule = Rule(
        f"!({_ACCEPTED}) || ({same})", f"{field} is immutable once the {kind} is accepted: apply it under another name"
    )
    return {**rule._asdict(), "fieldPath": f".spec.{field}", "reason": "FieldValueForbidden"}


def _schema(kind: str, definition: Definition) -> Json:
    raw = KINDS[kind].model_json_schema()
    open_by_nature = ("apiVersion", "kind", "metadata")
    own = {
        **raw,
        "properties": {name: value for name, value in raw["properties"].items() if name not in open_by_nature},
    }
    own["required"] = ["spec"]
    schema = structural(own)
    schema["properties"] = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        **schema["properties"],
    }
    required = schema["properties"]["spec"].get("required", ())
    rules = [_immutable(kind, field, required=field in required) for field in definition.immutable]
    return {**schema, **({"x-kubernetes-validations": rules} if rules else {})}


def crd(kind: str) -> Json:
    """The CustomResourceDefinition of a kind."""
    definition = DEFINITIONS[kind]
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [column.to_json() for column in definition.columns],
        "schema": {"openAPIV3Schema": _schema(kind, definition)},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{definition.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind,
                "listKind": f"{kind}List",
                "plural": definition.plural,
                "singular": kind.lower(),
                "shortNames": list(definition.short_names),
                "categories": ["isobench"],
            },
            "versions": [version],
        },
    }


class _Dumper(yaml.SafeDumper):
    """Without anchors: equal parts of a schema are written out each time, as a reader of a CRD expects."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - as PyYAML calls it
        return True


def render(kind: str) -> str:
    """The text of a kind's file."""
    head = "# Generated from the models by `make crds`; edits are lost.\n"
    return head + yaml.dump(crd(kind), Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def files() -> dict[str, str]:
    """Every file, by name."""
    return {f"{definition.plural}.yaml": render(kind) for kind, definition in DEFINITIONS.items()}


def main(arguments: Sequence[str]) -> int:
    """Write every file into a folder."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m isobench_operator.api.crds FOLDER\n")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files().items():
        (folder / name).write_text(content, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
