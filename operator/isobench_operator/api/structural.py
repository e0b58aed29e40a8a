"""From the JSON schema that pydantic writes to the structural schema that an API server takes.

A structural schema has no references, no null, no unions and no closed objects, and a rule in CEL is refused unless every string, list
and map that it may touch has a maximum. What cannot be said so is an error here, at build time, and never a schema that says less.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_KEPT = frozenset(
    {
        "type",
        "format",
        "enum",
        "pattern",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
    }
    | {"minimum", "maximum"}
)
_SUBSCHEMAS = frozenset({"properties", "items", "additionalProperties", "anyOf"})
_WORDS = frozenset(
    {"title", "description", "default", "required", "$defs", "const", "exclusiveMinimum", "exclusiveMaximum"}
)
_LIMIT_OF = {"string": "maxLength", "array": "maxItems"}


class SchemaError(ValueError):
    """A model that no structural schema can express; the text names the field and the keyword."""


def structural(schema: Mapping[str, Any]) -> Json:
    """The structural form of a JSON schema.

    Raises:
        SchemaError: the model uses what cannot be expressed, or leaves something without a maximum.
    """
    return _convert(schema, schema.get("$defs", {}), path="", within=())


def _resolve(
    schema: Mapping[str, Any], defs: Mapping[str, Any], path: str, within: tuple[str, ...]
) -> tuple[Json, tuple[str, ...]]:
    """Follow references and take `T or null` for T: what is absent is not written, so null is never needed."""
    found: Json = dict(schema)
    while True:
        if "$ref" in found:
            name = found.pop("$ref").removeprefix("#/$defs/")
            if name in within:
                msg = f"{path}: {name} contains itself"
                raise SchemaError(msg)
            within = (*within, name)
            found = {**defs[name], **found}
        elif "x-kubernetes-int-or-string" not in found and "anyOf" in found:
            others = [one for one in found["anyOf"] if one.get("type") != "null"]
            if len(others) != 1:
                msg = f"{path}: a union cannot be structural; use optional members and exactly one of them"
                raise SchemaError(msg)
            rest = {key: value for key, value in found.items() if key not in ("anyOf", "title")}
            found = {
                **others[0],
                **{key: value for key, value in rest.items() if (key, value) != ("default", None)},
                "nullable": True,
            }
        else:
            return found, within


def _convert(schema: Mapping[str, Any], defs: Mapping[str, Any], *, path: str, within: tuple[str, ...]) -> Json:
    found, within = _resolve(schema, defs, path, within)
    optional = found.pop("nullable", False)
    for key in found:
        if key not in _KEPT | _SUBSCHEMAS | _WORDS and not key.startswith("x-kubernetes-"):
            msg = f"{path}: {key} cannot be structural"
            raise SchemaError(msg)
    summary, words = _descriptions(found.get("description", ""))
    result: Json = {"description": summary} if summary else {}
    result |= {key: value for key, value in found.items() if key in _KEPT or key.startswith("x-kubernetes-")}
    if "x-kubernetes-int-or-string" in found:
        result["anyOf"] = found["anyOf"]
        return result
    if "const" in found:
        result["enum"] = [found["const"]]
    for key, (target, step) in {"exclusiveMinimum": ("minimum", 1), "exclusiveMaximum": ("maximum", -1)}.items():
        if key in found:
            result[target] = found[key] + step
    _check_limits(result, found, path)
    if result["type"] == "object":
        result |= _object(found, defs, path=path, within=within, words=words)
    elif result["type"] == "array":
        result["items"] = _convert(found["items"], defs, path=f"{path}[]", within=within)
    default = found.get("default", None if optional else _defaults_within(result))
    if default not in (None, {}, [], ()):
        result["default"] = default
    return result


def _check_limits(result: Json, found: Json, path: str) -> None:
    kind = result.get("type")
    if kind not in ("object", "array", "string", "integer", "boolean"):
        msg = f"{path}: type {kind} is not used: a number with a fraction is a string"
        raise SchemaError(msg)
    limit = _LIMIT_OF.get(kind)
    free_map = kind == "object" and isinstance(found.get("additionalProperties"), dict)
    if free_map:
        limit = "maxProperties"
    if limit is not None and limit not in result and "enum" not in result:
        msg = f"{path}: {kind} has no {limit}"
        raise SchemaError(msg)


def _object(
    found: Json, defs: Mapping[str, Any], *, path: str, within: tuple[str, ...], words: Mapping[str, str]
) -> Json:
    values = found.get("additionalProperties")
    if isinstance(values, dict):
        return {"additionalProperties": _convert(values, defs, path=f"{path}{{}}", within=within)}
    if values is not False:
        msg = f"{path}: an open object cannot be structural"
        raise SchemaError(msg)
    required = list(found.get("required", ()))
    properties: Json = {}
    for name, schema in found.get("properties", {}).items():
        converted = _convert(schema, defs, path=f"{path}.{name}", within=within)
        if name in required:
            converted.pop("default", None)
        described = words.get(_plain(name))
        properties[name] = {**({"description": described} if described else {}), **_without(converted, described)}
    return {"properties": properties, **({"required": required} if required else {})}


def _without(schema: Json, described: str | None) -> Json:
    return {key: value for key, value in schema.items() if not (described and key == "description")}


def _defaults_within(schema: Json) -> Json:
    """What an absent object is filled with, written out in full: an API server checks a default by the rules before it fills it."""
    if schema.get("required"):
        return {}
    return {name: one["default"] for name, one in schema.get("properties", {}).items() if "default" in one}


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def _descriptions(docstring: str) -> tuple[str, dict[str, str]]:
    """The summary of a docstring and the words on each attribute, by its plain name: what `kubectl explain` shows."""
    summary, _, attributes = docstring.partition("\n\nAttributes:\n")
    words: dict[str, str] = {}
    names: list[str] = []
    for line in attributes.splitlines():
        entry = re.match(r"    (\w+(?:, \w+)*): (.+)$", line)
        if entry:
            names = [_plain(name) for name in entry[1].split(", ")]
            words |= dict.fromkeys(names, entry[2])
        elif line.strip():
            words |= {name: f"{words[name]} {line.strip()}" for name in names}
    return " ".join(summary.split()), words
