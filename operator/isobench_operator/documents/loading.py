"""From files to a Bundle: dispatch by kind, names and references across files, and all errors at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from isobench_operator.api import API_VERSION, KINDS
from isobench_operator.api.fields import DnsName, is_label_key

from . import plain
from .errors import ABSENT, DocumentError, DocumentErrors
from .nodes import Document, Loc, read
from .references import Reference, Rewriter, Synthetic, references
from .repositories import git_folder, local_path, name_by_origin
from .resources import Bundle, Json, Location
from .words import PATTERNS, explain, near, pattern_of

_KEPT_METADATA = ("name", "namespace", "labels", "annotations")
_SERVER_METADATA = frozenset(
    {"uid", "generation", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"}
    | {"managedFields", "ownerReferences", "finalizers", "generateName", "selfLink"}
)
"""What `kubectl get -o yaml` writes beside: not part of what is applied."""
_VERSIONS = {**dict.fromkeys(KINDS, API_VERSION), **dict.fromkeys(plain.KINDS, "v1")}


def load(
    paths: Sequence[Path], *, environ: Mapping[str, str], secrets_required: bool = True, publishing: bool = True
) -> Bundle:
    """Read manifests.

    Args:
        paths: files of one or more YAML documents; one named twice is read once.
        environ: where `env: NAME` finds its value.
        secrets_required: whether a Secret that is nowhere on disk, or a variable that is not set, is an error; not for a bundle that
            a cluster will run, which has its own.
        publishing: whether Datasets are pushed; where not, their token may be missing.

    Raises:
        DocumentErrors: with everything that is wrong in any of the files.
    """
    loader = _Loader(Synthetic(environ=environ, secrets_required=secrets_required, publishing=publishing))
    unique = list({path.absolute(): path for path in paths}.values())
    for path in unique:
        documents, errors = read(path)
        loader.errors += errors
        for document in documents:
            loader.take(document)
    loader.check_references()
    if loader.errors:
        order = {path: index for index, path in enumerate(unique)}
        raise DocumentErrors(
            sorted(loader.errors, key=lambda error: (order[error.file], error.line, error.column, error.path))
        )
    return loader.bundle()


@dataclass
class _Loader:
    synthetic: Synthetic
    errors: list[DocumentError] = field(default_factory=list)
    resources: dict[str, list[Json]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    config_maps: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: dict[str, dict[str, str]] = field(default_factory=dict)
    sources: dict[tuple[str, str], Location] = field(default_factory=dict)
    asked: list[tuple[Document, Reference]] = field(default_factory=list)
    broken: set[tuple[str, str]] = field(default_factory=set)

    def error(
        self, document: Document, path: Loc, message: str, remedy: str, *, value: Any = ABSENT, key: bool = False
    ) -> None:
        self.errors.append(document.error(path, message, remedy, value=value, key=key))

    def take(self, document: Document) -> None:
        """One document: every error of its own, and what it adds."""
        kind = self._kind(document)
        if kind is None:
            return
        before = len(self.errors)
        name = self._metadata(document, kind)
        if kind in KINDS:
            self._custom(document, kind)
        else:
            self._plain(document, kind, name)
        if len(self.errors) > before and name is not None:
            self.broken.add((kind, name))

    def _kind(self, document: Document) -> str | None:
        data = document.data
        if not isinstance(data, dict):
            self.error(document, (), "a manifest is a mapping with apiVersion, kind, metadata and spec", "write one")
            return None
        kind, version = data.get("kind"), data.get("apiVersion")
        if not isinstance(kind, str) or kind not in _VERSIONS:
            given = "is required" if kind is None else "is no kind that isobench reads"
            remedy = near(kind, _VERSIONS) if isinstance(kind, str) else f"known: {', '.join(sorted(_VERSIONS))}"
            self.error(document, ("kind",), given, remedy, value=ABSENT if kind is None else kind)
            return None
        if version != _VERSIONS[kind]:
            given = "is required" if version is None else f"is no version of {kind}"
            value = ABSENT if version is None else version
            self.error(document, ("apiVersion",), given, f"write {_VERSIONS[kind]}", value=value)
        return kind

    def _metadata(self, document: Document, kind: str) -> str | None:
        """Check and trim the metadata; the name where it has one that can be used."""
        metadata = document.data.get("metadata")
        if not isinstance(metadata, dict):
            self.error(
                document,
                ("metadata",),
                "is required" if metadata is None else "must be a mapping",
                "add metadata: {name: …}",
            )
            document.data["metadata"] = {"name": "x"}
            return None
        for name in list(metadata):
            if name not in _KEPT_METADATA:
                if name not in _SERVER_METADATA:
                    self.error(
                        document,
                        ("metadata", name),
                        "unknown field",
                        near(name, _KEPT_METADATA),
                        key=True,
                    )
                del metadata[name]
        self._annotations(document, metadata.get("annotations"))
        name = metadata.get("name")
        if not isinstance(name, str) or not name:
            if kind not in KINDS:
                self.error(
                    document, ("metadata", "name"), "is required" if name is None else "must be a string", "add it"
                )
            return None
        if kind not in KINDS and not _is_name(name):
            self.error(document, ("metadata", "name"), *PATTERNS[pattern_of(DnsName)], value=name)
        known = self.sources.get((kind, name))
        if known is not None:
            message = f"there is a {kind} of this name in {known.file}:{known.line} already"
            self.error(document, ("metadata", "name"), message, "rename one of them", value=name)
        self.sources.setdefault((kind, name), Location(document.file, document.place.line))
        return name

    def _annotations(self, document: Document, annotations: Any) -> None:
        if not isinstance(annotations, dict):
            return
        for key, value in annotations.items():
            if not is_label_key(key):
                self.error(
                    document, ("metadata", "annotations", key), "is no key of an annotation", "rename it", key=True
                )
            if not isinstance(value, str):
                path = ("metadata", "annotations", key)
                self.error(
                    document,
                    path,
                    "must be a string",
                    f'put it in quotes: "{document.written.get(path, value)}"',
                    value=value,
                )
                annotations[key] = ""

    def _custom(self, document: Document, kind: str) -> None:
        model = KINDS[kind]
        document.data.pop("status", None)
        data = {name: value if name == "metadata" else _without_null(value) for name, value in document.data.items()}
        document = replace(document, data=data)
        rewriter = Rewriter(document, self.synthetic)
        rewriter.rewrite(model)
        self.errors += rewriter.errors
        self._repository(document)
        try:
            found = model.model_validate({**data, "apiVersion": API_VERSION}, by_alias=True, by_name=False)
        except ValidationError as error:
            self.errors += explain(error, document, model)
            return
        body = found.to_json()
        self.resources[kind].append(body)
        if not rewriter.errors:
            self.asked += [(document, reference) for reference in references(model, body)]

    def _repository(self, document: Document) -> None:
        """Make a local repository's path absolute, and see that it is there."""
        spec = document.data.get("spec")
        repository = spec.get("repository") if isinstance(spec, dict) else None
        url = repository.get("url") if isinstance(repository, dict) else None
        if not isinstance(repository, dict) or not isinstance(url, str) or "\0" in url:
            return
        path = local_path(url, folder=document.file.parent, environ=self.synthetic.environ)
        if path is None:
            return
        if not url.startswith("file://"):
            repository["url"] = str(path)
        try:
            git = git_folder(path)
            there = path.is_dir()
        except OSError:
            git, there = None, False
        if git is None:
            message = f"is no git repository ({path})" if there else f"does not exist ({path})"
            remedy = (
                "name the top of a checkout or a bare clone"
                if there
                else "paths are relative to the manifest that names them"
            )
            self.error(document, ("spec", "repository", "url"), message, remedy, value=url)
        elif "name" not in repository and (name := name_by_origin(git)) is not None:
            repository["name"] = name

    def _plain(self, document: Document, kind: str, name: str | None) -> None:
        texts, errors = plain.read(document, kind)
        self.errors += errors
        if name is not None:
            (self.config_maps if kind == "ConfigMap" else self.secrets).setdefault(name, texts)

    def check_references(self) -> None:
        """What custom resources name has to stand in one of the files."""
        held = {
            "ConfigMap": {**self.config_maps, **self.synthetic.config_maps},
            "Secret": {**self.secrets, **self.synthetic.secrets},
        }
        for document, reference in self.asked:
            if (reference.kind, reference.name) in self.broken:
                continue
            if reference.kind == "Secret" and not self.synthetic.requires(reference.path):
                continue
            entries = held[reference.kind].get(reference.name)
            path = reference.path
            if entries is None:
                remedy = (
                    near(reference.name, held[reference.kind]) if held[reference.kind] else f"add the {reference.kind}"
                )
                message = f"no file holds a {reference.kind} of this name"
                self.error(document, (*path, "name"), message, remedy, value=reference.name)
            elif reference.key is not None and reference.key not in entries:
                message = f"{reference.kind} {reference.name} has no such key"
                self.error(document, (*path, "key"), message, near(reference.key, entries), value=reference.key)

    def bundle(self) -> Bundle:
        """What was read."""
        return Bundle(
            commits=tuple(self.resources["Commit"]),
            datasets=tuple(self.resources["Dataset"]),
            config_maps={**self.config_maps, **self.synthetic.config_maps},
            secrets={**self.secrets, **self.synthetic.secrets},
            variables=dict(self.synthetic.variables),
            sources={**self.synthetic.sources, **self.sources},
        )


def _is_name(name: str) -> bool:
    return len(name) <= 253 and re.fullmatch(pattern_of(DnsName).strip("^$"), name) is not None


def _without_null(value: Any) -> Any:
    """Without the members that are null: the API server prunes them before it fills in defaults."""
    if isinstance(value, dict):
        return {key: _without_null(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_null(item) for item in value]
    return value
