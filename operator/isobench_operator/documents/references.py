"""`file:`, `folder:` and `env:` turned into the ConfigMaps and Secrets that an API server would hold in their place.

Where they may stand is read off the models, so that every kind, present and future, has them. A synthetic ConfigMap is named by its
content: an edited script is another reference, and an accepted spec is immutable on a laptop as on a cluster.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from isobench_operator.api.fields import ApiModel, FolderRef, KeyRef, TextRef

from .errors import ABSENT, DocumentError
from .nodes import Document, Loc
from .resources import Json, Location
from .words import models_in

MAX_TEXT = 64 * 1024 * 1024
"""Bytes of a file named by `file:`; an extraction with old_content is the largest there is."""
PUBLISH: Loc = ("spec", "publish")
_PLACEHOLDER = {"name": "x", "key": "x"}
_FILE_NAME = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def slug(text: str, *, limit: int = 40) -> str:
    """Lower-case letters, digits and single dashes."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:limit].strip("-") or "x"


def content_name(prefix: str, texts: Mapping[str, str]) -> str:
    """The name of a synthetic ConfigMap: of its content, so that equal ones are one."""
    digest = hashlib.sha256()
    for key, text in sorted(texts.items()):
        for part in (key, text):
            encoded = part.encode()
            digest.update(len(encoded).to_bytes(8) + encoded)
    return f"{prefix}-{digest.hexdigest()[:16]}"


def variable_name(variable: str) -> str:
    """The name of the Secret that stands for a variable: of its name alone, never of its value."""
    return f"env-{slug(variable)}-{hashlib.sha256(variable.encode()).hexdigest()[:8]}"


@dataclass
class Synthetic:
    """What rewriting has made so far."""

    environ: Mapping[str, str]
    secrets_required: bool
    publishing: bool = True
    config_maps: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    sources: dict[tuple[str, str], Location] = field(default_factory=dict)

    def requires(self, path: Loc) -> bool:
        """Whether the Secret that stands there has to be at hand; the Hub's token is needed by a push alone."""
        return self.secrets_required and (self.publishing or path[:2] != PUBLISH)


@dataclass(frozen=True)
class Reference:
    """A reference in a custom resource, as the models know it."""

    path: Loc
    kind: str
    name: str
    key: str | None


def objects(model: type[ApiModel], data: Any, path: Loc = ()) -> Iterator[tuple[type[ApiModel], Json, Loc]]:
    """Every object of ours within some JSON, with its model, the outermost first; what has not the right shape is passed over."""
    if not isinstance(data, dict):
        return
    yield model, data, path
    for name, info in model.model_fields.items():
        alias = info.alias or name
        inner = models_in(info.annotation)
        value = data.get(alias)
        if not inner or value is None:
            continue
        items = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, item in items:
            yield from objects(inner[0], item, (*path, alias, *(() if index is None else (index,))))


def references(model: type[ApiModel], data: Any) -> Iterator[Reference]:
    """Every ConfigMap and Secret that a valid custom resource names, whole ones included."""
    for kind, body, path in objects(model, data):
        if kind is TextRef:
            named = body["configMapKeyRef"]
            yield Reference((*path, "configMapKeyRef"), "ConfigMap", named["name"], named["key"])
        elif kind is FolderRef:
            yield Reference((*path, "configMapRef"), "ConfigMap", body["configMapRef"]["name"], None)
        elif "secretKeyRef" in body:
            named = body["secretKeyRef"]
            yield Reference((*path, "secretKeyRef"), "Secret", named["name"], named["key"])
        elif "credentialsSecretRef" in body:
            yield Reference((*path, "credentialsSecretRef"), "Secret", body["credentialsSecretRef"]["name"], None)


class Rewriter:
    """Rewrites one document's data in place, and collects what is wrong with it."""

    def __init__(self, document: Document, synthetic: Synthetic) -> None:
        self._document = document
        self._synthetic = synthetic
        self.errors: list[DocumentError] = []

    def rewrite(self, model: type[ApiModel]) -> None:
        """Replace every form that only a disk knows by a reference; a broken one by a placeholder, so that it is reported once."""
        for kind, body, path in list(objects(model, self._document.data)):
            if kind is TextRef and "file" in body:
                self._replace(body, path, short="file", long="configMapKeyRef")
            elif kind is FolderRef and "folder" in body:
                self._replace(body, path, short="folder", long="configMapRef")
            elif "env" in body and any(models_in(info.annotation) == [KeyRef] for info in _secrets(kind)):
                self._replace(body, path, short="env", long="secretKeyRef")

    def _replace(self, body: Json, path: Loc, *, short: str, long: str) -> None:
        value = body.pop(short)
        where = (*path, short)
        if long in body:
            self._error(where, value, f"stands beside {long}", "keep one of them")
            return
        body[long] = {"name": "x"} if long == "configMapRef" else dict(_PLACEHOLDER)
        if not isinstance(value, str) or not value or "\0" in value:
            self._error(
                where,
                value,
                "must be a string",
                "name a variable" if short == "env" else "write a path, relative to this file",
            )
            return
        found = {"file": self._file, "folder": self._folder, "env": self._variable}[short](where, value)
        if found is not None:
            body[long] = found

    def _error(self, path: Loc, value: Any, message: str, remedy: str) -> None:
        self.errors.append(self._document.error(path, message, remedy, value=value))

    def _config_map(self, prefix: str, texts: dict[str, str], path: Loc) -> str:
        name = content_name(prefix, texts)
        self._synthetic.config_maps[name] = texts
        place = self._document.at(path)
        self._synthetic.sources.setdefault(("ConfigMap", name), Location(self._document.file, place.line))
        return name

    def _read(self, path: Loc, value: str, file: Path) -> str | None:
        try:
            if not file.is_file():
                there = "is no file" if file.exists() else "does not exist"
                self._error(path, value, f"{there} ({file})", "paths are relative to the manifest that names them")
            elif file.stat().st_size > MAX_TEXT:
                self._error(path, value, "is over 64 MiB", "leave old_content out: the repository gives it back")
            else:
                return file.read_bytes().decode()
        except OSError as error:
            self._error(path, value, f"cannot be read: {error.strerror or error}", "check its permissions")
        except UnicodeDecodeError as error:
            self._error(path, value, f"is no UTF-8 text: {error.reason} at byte {error.start}", "save it as UTF-8")
        return None

    def _file(self, path: Loc, value: str) -> Json | None:
        file = self._document.file.absolute().parent / value
        text = self._read(path, value, file)
        if text is None:
            return None
        key = file.name if _FILE_NAME.fullmatch(file.name) else slug(file.name)
        return {"name": self._config_map(f"file-{slug(file.stem)}", {key: text}, path), "key": key}

    def _folder(self, path: Loc, value: str) -> Json | None:
        folder = self._document.file.absolute().parent / value
        try:
            files = sorted(entry for entry in folder.iterdir() if entry.suffix == ".py" and entry.is_file())
        except OSError as error:
            self._error(
                path,
                value,
                f"is no folder that can be read: {error.strerror or error}",
                "paths are relative to the manifest",
            )
            return None
        unnameable = [file.name for file in files if not _FILE_NAME.fullmatch(file.name)]
        if not files or unnameable:
            message = (
                f"holds a file whose name no ConfigMap can hold: {unnameable[0]}" if files else "holds no .py file"
            )
            self._error(path, value, message, "rename it" if files else "name the folder of the pre-generated scripts")
            return None
        texts = {file.name: self._read(path, value, file) for file in files}
        complete = {name: text for name, text in texts.items() if text is not None}
        if len(complete) < len(texts):
            return None
        return {"name": self._config_map(f"folder-{slug(folder.name)}", complete, path)}

    def _variable(self, path: Loc, value: str) -> Json | None:
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,252}", value):
            # A key pasted in the place of a name must not be printed.
            self._error(
                path, ABSENT, "is no name of an environment variable", "write the variable's name, never the key itself"
            )
            return None
        name = variable_name(value)
        secret = self._synthetic.environ.get(value)
        if secret:
            self._synthetic.secrets[name] = {value: secret}
        elif self._synthetic.requires(path):
            self._error(path, value, "is not set in the environment", f"export {value}=…")
            return None
        self._synthetic.variables[name] = value
        self._synthetic.sources.setdefault(
            ("Secret", name), Location(self._document.file, self._document.at(path).line)
        )
        return {"name": name, "key": value}


def _secrets(model: type[ApiModel]) -> list[Any]:
    return [info for name, info in model.model_fields.items() if name == "secret_key_ref"]
