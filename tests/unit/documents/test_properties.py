"""Whatever stands in a file: a Bundle or DocumentErrors, and what was read reads back equal."""

from __future__ import annotations

import string
import tempfile
from pathlib import Path
from typing import Any

import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from isobench_operator.documents import Bundle, DocumentErrors, bundle, load

from .conftest import SHA

_FIELDS = [
    "apiVersion",
    "kind",
    "metadata",
    "spec",
    "name",
    "labels",
    "repository",
    "url",
    "head",
    "base",
    "main",
    "test",
    "script",
]
_FIELDS += [
    "file",
    "generate",
    "models",
    "env",
    "seeds",
    "folder",
    "measurement",
    "revisions",
    "environment",
    "path",
    "pod",
    "data",
]
_WORDS = [
    "isobench.dev/v1alpha1",
    "v1",
    "Commit",
    "Dataset",
    "ConfigMap",
    "Secret",
    SHA,
    "x",
    "..",
    "/",
    "https://h/o/n",
    "",
]
_scalars = st.one_of(st.sampled_from(_WORDS), st.text(max_size=5), st.integers(), st.floats(), st.booleans(), st.none())
_json = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_FIELDS) | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=20,
)
_texts = st.one_of(
    st.text(max_size=200), st.text(alphabet="{}[]:,-#&*!|>'\"\n \tab1", max_size=200), _json.map(yaml.dump)
)


def _load(content: str | bytes) -> Bundle | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.yaml")
        path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
        try:
            return load([path], environ={}, secrets_required=False)
        except DocumentErrors as caught:
            errors = caught
    assert errors.errors
    assert str(errors)
    return None


@settings(max_examples=150, deadline=None)
@given(_texts)
def test_no_text_ends_in_anything_but_document_errors(text: str) -> None:
    _load(text)


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=60))
def test_no_bytes_end_in_anything_but_document_errors(content: bytes) -> None:
    _load(content)


@settings(max_examples=150, deadline=None)
@given(
    st.fixed_dictionaries({"metadata": _json, "spec": _json}),
    st.sampled_from(["Commit", "Dataset", "ConfigMap", "Secret"]),
)
def test_no_content_of_a_manifest_ends_in_anything_but_document_errors(body: dict[str, Any], kind: str) -> None:
    version = "isobench.dev/v1alpha1" if kind in ("Commit", "Dataset") else "v1"
    _load(yaml.dump({"apiVersion": version, "kind": kind, **body}))


_name = st.text(string.ascii_lowercase, min_size=1, max_size=8)
_line = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)
_SMALLEST = {
    "repository": {"url": "https://github.com/o/n.git"},
    "head": SHA,
    "test": {"script": {"configMapKeyRef": {"name": "texts", "key": "t.py"}}},
}
_commit = st.fixed_dictionaries(
    {
        "repository": st.just({"url": "https://github.com/o/n.git"}),
        "head": st.text("0123456789abcdef", min_size=40, max_size=40),
        "test": st.just({"script": {"configMapKeyRef": {"name": "texts", "key": "t.py"}}}),
    },
    optional={
        "environment": st.fixed_dictionaries(
            {}, optional={"setup": st.lists(_line, max_size=3), "python": _line, "package": _name}
        ),
        "measurement": st.fixed_dictionaries({"budgetSeconds": st.integers(1, 86400)}),
        "record": st.fixed_dictionaries({}, optional={"notes": _line, "api": _line}),
        "suspend": st.booleans(),
        "pod": st.fixed_dictionaries({"nodeSelector": st.dictionaries(_name, _name, max_size=2)}),
    },
)


@settings(max_examples=100, deadline=None)
@example(_SMALLEST, "\x85")
@example(_SMALLEST, "a\u2028b\n\r\n")
@example(_SMALLEST, "\n  indented\n\n")
@example(_SMALLEST, " \n")
@given(_commit, st.text(st.characters(exclude_categories=("Cs",)), max_size=200))
def test_what_was_read_is_written_and_reads_back_equal(spec: dict[str, Any], text: str) -> None:
    commit = {"apiVersion": "isobench.dev/v1alpha1", "kind": "Commit", "metadata": {"name": "x"}, "spec": spec}
    texts = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "texts"}, "data": {"t.py": text}}
    first = _load(yaml.dump_all([commit, texts]))
    assert first is not None
    assert first.config_maps == {"texts": {"t.py": text}}
    second = _load(bundle(first))
    assert second is not None
    assert (second.commits, second.config_maps) == (first.commits, first.config_maps)
