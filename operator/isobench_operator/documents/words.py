"""From pydantic's findings to words: what is wrong with a value and what to write instead."""

from __future__ import annotations

import difflib
import json
import types
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from isobench_operator.api import commit, endpoint, fields
from isobench_operator.api.fields import ApiModel

from .errors import ABSENT, DocumentError, shown
from .nodes import Document, Loc


def pattern_of(kind: Any) -> str:
    """The pattern of a constrained string."""
    found = next((one.metadata for one in get_args(kind) if isinstance(one, FieldInfo)), [])
    return str(next(one.pattern for one in found if getattr(one, "pattern", None)))


_DNS = (
    "must be lower-case letters, digits and dashes, with a letter or digit at both ends",
    "as Kubernetes names things: `numpy-1f2e3d4c`",
)
_NUMBER = "a number with a fraction is written as a string"
PATTERNS: dict[str, tuple[str, str]] = {
    pattern_of(fields.Sha): (
        "must be a full commit sha: 40 hex digits, lower case",
        "`git rev-parse REVISION` prints it",
    ),
    pattern_of(fields.DnsLabel): _DNS,
    pattern_of(fields.DnsName): _DNS,
    pattern_of(fields.ConfigKey): ("must be letters, digits, dots, dashes and underscores", "rename the key"),
    pattern_of(fields.LabelValue): (
        "is no value of a label",
        "at most 63 letters, digits, dots, dashes and underscores",
    ),
    pattern_of(fields.Quantity): ("is no amount of a resource", 'write it as Kubernetes does: 4, "500m", "16Gi"'),
    pattern_of(commit.Url): (
        "is no address of a repository",
        "write an https, ssh or file URL, git@host:owner/name, or a path",
    ),
    pattern_of(commit.RepositoryName): ("must be owner/name", "leave it out to take it from the URL"),
    pattern_of(commit.Ref): ("is no name of a branch, tag or commit", "leave it out for the default branch"),
    pattern_of(commit.PackageName): (
        "is no name of a package as Python imports it",
        "write it as in `import`: `cacheflow`, not `cache-flow`",
    ),
    pattern_of(commit.Percent): ("must be a percentage from 0 to 99.999", f'{_NUMBER}: "2" or "0.5"'),
    pattern_of(commit.AsOf): ("must be head, today or a date", "write a date as 2024-05-31"),
    pattern_of(commit.Requirement): (
        "is no requirement",
        'as pip takes it: "pytest>=8"; options belong in an install line',
    ),
    pattern_of(endpoint.Temperature): ("must be a number from 0 to 2", f'{_NUMBER}: "0.2"'),
    pattern_of(endpoint.BaseUrl): ("must be an http or https URL without credentials", "put the key in secretKeyRef"),
}

_HIDDEN = {"missing", "one_of", "no_image", "extra_forbidden"}


def near(word: str, known: Iterable[str]) -> str:
    """The remedy for an unknown word: the nearest known one, or all of them."""
    names = sorted(known)
    by_plain = {name.replace("_", "").replace("-", "").lower(): name for name in names}
    found = difflib.get_close_matches(word.replace("_", "").replace("-", "").lower(), by_plain, n=1, cutoff=0.6)
    return f"did you mean {by_plain[found[0]]}?" if found else f"known: {', '.join(names)}"


def models_in(annotation: Any) -> list[type[ApiModel]]:
    """The models that an annotation is made of, lists and `or None` seen through."""
    if isinstance(annotation, type) and issubclass(annotation, ApiModel):
        return [annotation]
    if get_origin(annotation) in (Annotated, tuple, types.UnionType, typing.Union):
        return [model for argument in get_args(annotation) for model in models_in(argument)]
    return []


def fields_at(model: type[BaseModel], path: Loc) -> Mapping[str, FieldInfo]:
    """The fields, by JSON name, of the object at a path; empty where it is no object of ours."""
    current: type[BaseModel] | None = model
    for part in path:
        if isinstance(part, int):
            continue
        info = {info.alias or name: info for name, info in current.model_fields.items()}.get(part) if current else None
        found = models_in(info.annotation) if info else []
        current = found[0] if found else None
    return {info.alias or name: info for name, info in current.model_fields.items()} if current else {}


def _wrong_type(document: Document, path: Loc, value: Any, wanted: str) -> tuple[str, str]:
    kinds: dict[type, str] = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "a string",
        list: "a list",
        dict: "a mapping",
    }
    message = f"must be {wanted}, not {kinds.get(type(value), 'null')}"
    if wanted == "a string" and isinstance(value, (bool, int, float)):
        return message, f"put it in quotes: {json.dumps(document.written.get(path, str(value)))}"
    if wanted == "a list" and isinstance(value, str):
        return message, f"write [{json.dumps(value)}], or a line with a dash for each"
    if wanted in ("a whole number", "true or false") and isinstance(value, str):
        return message, "remove the quotes" if value.isdigit() or value in ("true", "false") else "correct it"
    return message, "correct it"


_TYPES = {
    "string_type": "a string",
    "string_unicode": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "dict_type": "a mapping",
    "tuple_type": "a list",
}


def _bounds(kind: str, context: Mapping[str, Any]) -> tuple[str, str] | None:
    match kind:
        case "greater_than_equal":
            return f"must be at least {context['ge']}", f"write {context['ge']} or more"
        case "less_than_equal":
            return f"must be at most {context['le']}", f"write {context['le']} or less"
        case "string_too_long":
            return f"is longer than {context['max_length']} characters", "shorten it, or keep it in a file of its own"
        case "string_too_short":
            return "is empty", "write something, or leave the field out"
        case "too_long":
            return f"holds more than {context['max_length']} entries", "leave some out"
        case "too_short":
            return f"holds fewer than {context['min_length']} entries", "add one"
        case _:
            return None


def _words(found: ErrorDetails, document: Document, model: type[BaseModel]) -> tuple[str, str]:
    """Message and remedy."""
    kind, path, value, context = found["type"], found["loc"], found["input"], found.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown field", near(str(path[-1]), fields_at(model, path[:-1]))
    if kind == "missing":
        return "is required", "add it"
    if kind == "string_pattern_mismatch":
        return PATTERNS.get(context["pattern"], (f"does not match {context['pattern']}", "correct it"))
    if kind == "literal_error":
        expected = str(context["expected"])
        known = [word.strip("'") for word in expected.replace(" or ", ", ").split(", ")]
        return f"must be {expected.replace(chr(39), '')}", near(value, known) if isinstance(
            value, str
        ) else "choose one"
    if kind == "one_of":
        return found["msg"], "keep one of them" if context["chosen"] else "add one of them"
    if kind in _TYPES:
        return _wrong_type(document, path, value, _TYPES[kind])
    return _bounds(kind, context) or (found["msg"], str(context.get("remedy", "correct it")))


def explain(error: ValidationError, document: Document, model: type[BaseModel]) -> list[DocumentError]:
    """Everything that pydantic found, each with its place in the file."""
    found = error.errors(include_url=False)
    return [_explain(one, document, model) for one in found if not _follows(one, found)]


def _follows(one: ErrorDetails, found: Sequence[ErrorDetails]) -> bool:
    """Whether a list is too short only because entries of it are wrong themselves."""
    loc = one["loc"]
    return one["type"] == "too_short" and any(
        len(other["loc"]) > len(loc) and other["loc"][: len(loc)] == loc for other in found
    )


def _explain(found: ErrorDetails, document: Document, model: type[BaseModel]) -> DocumentError:
    message, remedy = _words(found, document, model)
    value = found["input"]
    # An unknown field may be a key of its user's under a guessed name, and an object is too long for a line.
    hidden = found["type"] in _HIDDEN or "{" in shown(value)
    unknown = found["type"] == "extra_forbidden"
    return document.error(found["loc"], message, remedy, value=ABSENT if hidden else value, key=unknown)
