"""A folder with a repository in it, and a way to load a manifest from there."""

from __future__ import annotations

import subprocess
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from isobench_operator.documents import Bundle, DocumentError, DocumentErrors, load

SHA = "0f40557af6141ced118b81f2a04e651a0c6c9dbd"

Loader = Callable[..., Bundle]
Refuser = Callable[..., list[DocumentError]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`repo` is a git repository, `test.py` a script, `tests/` a folder of two."""
    subprocess.run(["git", "init", "--quiet", str(tmp_path / "repo")], check=True)
    (tmp_path / "test.py").write_text("def run_test(): ...\n")
    (tmp_path / "tests").mkdir()
    for name in ("a.py", "b.py"):
        (tmp_path / "tests" / name).write_text(f"NAME = {name!r}\n")
    return tmp_path


@pytest.fixture
def loaded(folder: Path) -> Loader:
    """Load one manifest of that folder."""

    def loaded(
        text: str, *, environ: Mapping[str, str] | None = None, secrets_required: bool = True, publishing: bool = True
    ) -> Bundle:
        path = folder / "manifest.yaml"
        path.write_text(textwrap.dedent(text))
        return load([path], environ=environ or {}, secrets_required=secrets_required, publishing=publishing)

    return loaded


@pytest.fixture
def refused(loaded: Loader) -> Refuser:
    """The errors of a manifest of that folder."""

    def refused(text: str, *, environ: Mapping[str, str] | None = None) -> list[DocumentError]:
        with pytest.raises(DocumentErrors) as caught:
            loaded(text, environ=environ)
        return list(caught.value.errors)

    return refused
