"""YAML to JSON, keeping where every key and value stands: from PyYAML's node graph, never by searching the text.

Only what JSON can hold comes through, as the API server would read it: YAML's dates stay the text that was written, tags, sets and
keys that are no strings are errors, and so is a key that stands twice, of which a plain loader silently keeps the last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from .errors import ABSENT, DocumentError

Loc = tuple[str | int, ...]
MAX_VALUES = 200_000
"""Of one document, aliases expanded: a few lines of nested aliases can stand for more than a memory holds."""
MAX_FILE = 16 * 1024 * 1024

_TAG = "tag:yaml.org,2002:"
_AS_WRITTEN = {f"{_TAG}str", f"{_TAG}timestamp", f"{_TAG}value"}
_CONSTRUCTORS = {
    f"{_TAG}int": yaml.SafeLoader.construct_yaml_int,
    f"{_TAG}float": yaml.SafeLoader.construct_yaml_float,
    f"{_TAG}bool": yaml.SafeLoader.construct_yaml_bool,
}


class Place(NamedTuple):
    """Line and column, from 1."""

    line: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Document:
    """One YAML document of a file.

    Attributes:
        data: its JSON.
        place: where it begins.
        values, keys: where the value, or the key, of a path stands.
        written: how a scalar of a path was written, where that differs from what it became.
    """

    file: Path
    data: Any = None
    place: Place
    values: dict[Loc, Place] = field(default_factory=dict)
    keys: dict[Loc, Place] = field(default_factory=dict)
    written: dict[Loc, str] = field(default_factory=dict)

    def at(self, path: Loc, *, key: bool = False) -> Place:
        """Where a path stands; for one that is not there, its nearest ancestor."""
        if not key and path in self.values:
            return self.values[path]
        for length in range(len(path), 0, -1):
            found = self.keys.get(path[:length]) or self.values.get(path[:length])
            if found:
                return found
        return self.place

    def error(self, path: Loc, message: str, remedy: str, *, value: Any = ABSENT, key: bool = False) -> DocumentError:
        """Something wrong with a path; `key` where it is the field itself and not what stands in it."""
        line, column = self.at(path, key=key)
        return DocumentError(
            file=self.file, line=line, column=column, path=dotted(path), value=value, message=message, remedy=remedy
        )


class _Unreadable(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, message: str, remedy: str, place: Place, path: Loc = ()) -> None:
        self.error = (message, remedy, place, path)


def dotted(path: Loc) -> str:
    """`spec.models[0].name` for ("spec", "models", 0, "name")."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def read(path: Path) -> tuple[list[Document], list[DocumentError]]:
    """The documents of a file, empty ones left out, and what is wrong with it as YAML."""
    try:
        if path.stat().st_size > MAX_FILE:
            return [], [
                DocumentError(
                    file=path, message="is over 16 MiB", remedy="keep texts in files of their own, by `file:`"
                )
            ]
        text = path.read_bytes().decode("utf-8-sig")
    except IsADirectoryError:
        return [], [DocumentError(file=path, message="is a folder", remedy="name the manifests in it")]
    except OSError as error:
        return [], [
            DocumentError(file=path, message=f"cannot be read: {error.strerror or error}", remedy="check the path")
        ]
    except UnicodeDecodeError as error:
        return [], [
            DocumentError(
                file=path, message=f"is no UTF-8 text: {error.reason} at byte {error.start}", remedy="save it as UTF-8"
            )
        ]
    return parse(text, path)


def parse(text: str, path: Path) -> tuple[list[Document], list[DocumentError]]:
    """The documents of a text, and what is wrong with it as YAML; `path` is for messages."""
    documents: list[Document] = []
    errors: list[DocumentError] = []
    nodes = _nodes(text, path, errors)
    for node in nodes:
        document = Document(file=path, place=_place(node))
        reader = _Reader(document)
        try:
            data = reader.value(node, ())
        except _Unreadable as unreadable:
            message, remedy, place, where = unreadable.error
            errors.append(
                DocumentError(
                    file=path, line=place.line, column=place.column, path=dotted(where), message=message, remedy=remedy
                )
            )
        except RecursionError:
            errors.append(_too_deep(path, document.place))
        else:
            if data is not None:
                documents.append(Document(**{**vars(document), "data": data}))
    if not documents and not errors:
        errors.append(
            DocumentError(
                file=path, message="holds no document", remedy="`isobench new commit` writes one to start from"
            )
        )
    return documents, errors


def _too_deep(path: Path, place: Place) -> DocumentError:
    return DocumentError(
        file=path, line=place.line, column=place.column, message="is nested too deeply", remedy="flatten it"
    )


def _nodes(text: str, path: Path, errors: list[DocumentError]) -> Iterator[yaml.Node]:
    try:
        loader = yaml.SafeLoader(text)
        try:
            while loader.check_node():
                node = loader.get_node()
                if node is not None:
                    yield node
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        words = ", ".join(part for part in (error.context, error.problem) if part)
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        remedy = "check indentation, quotes and colons there"
        errors.append(DocumentError(file=path, line=line, column=column, message=f"is no YAML: {words}", remedy=remedy))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - (text.rfind("\n", 0, error.position) + 1) + 1
        words = f"is no YAML: the character #x{error.character:04x} is not allowed"
        errors.append(DocumentError(file=path, line=line, column=column, message=words, remedy="remove it"))
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        errors.append(DocumentError(file=path, message=f"is no YAML: {error}", remedy="check its quotes and escapes"))
    except RecursionError:
        errors.append(_too_deep(path, Place(0, 0)))


def _place(node: yaml.Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


class _Reader:
    """Turns one document's nodes into JSON."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._constructor = yaml.SafeLoader("")
        self._within: list[int] = []
        self._values = 0

    def value(self, node: yaml.Node, path: Loc) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise _Unreadable(f"stands for more than {MAX_VALUES:,} values", "write fewer aliases", _place(node), path)
        if id(node) in self._within:
            raise _Unreadable("contains itself, by an alias", "write out what is meant", _place(node), path)
        self._document.values.setdefault(path, _place(node))
        self._within.append(id(node))
        try:
            if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
                return self._mapping(node, path)
            if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
                return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, path)
        finally:
            self._within.pop()
        raise _Unreadable(
            f"the tag {node.tag.replace(_TAG, '!!')} is not allowed", "remove the tag", _place(node), path
        )

    def _scalar(self, node: yaml.ScalarNode, path: Loc) -> Any:
        if node.tag == f"{_TAG}null":
            return None
        if node.tag in _AS_WRITTEN:
            if any("\ud800" <= character <= "\udfff" for character in node.value):
                raise _Unreadable("holds half of a surrogate pair", "write the character itself", _place(node), path)
            return node.value
        constructor = _CONSTRUCTORS.get(node.tag)
        if constructor is None:
            raise _Unreadable(
                f"the tag {node.tag.replace(_TAG, '!!')} is not allowed", "remove the tag", _place(node), path
            )
        self._document.written[path] = node.value
        try:
            return constructor(self._constructor, node)
        except (ValueError, OverflowError, KeyError):
            raise _Unreadable(f"is no {node.tag.removeprefix(_TAG)}", "put it in quotes", _place(node), path) from None

    def _mapping(self, node: yaml.MappingNode, path: Loc) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == f"{_TAG}merge":
                for source in value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]:
                    part = self.value(source, path)
                    if not isinstance(part, dict):
                        raise _Unreadable("<< merges mappings alone", "name a mapping", _place(value_node), path)
                    merged = {**part, **merged}
                continue
            key = key_node.value
            if not isinstance(key, str) or key_node.tag not in _AS_WRITTEN:
                raise _Unreadable("a key is no string", "put it in quotes", _place(key_node), path)
            self._scalar(key_node, path)
            if key in found:
                first = self._document.keys[(*path, key)].line
                raise _Unreadable(
                    f"stands a second time, first in line {first}", "keep one", _place(key_node), (*path, key)
                )
            self._document.keys[(*path, key)] = _place(key_node)
            self._document.values.pop((*path, key), None)
            found[key] = self.value(value_node, (*path, key))
        return {**merged, **found}
