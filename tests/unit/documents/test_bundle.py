"""A bundle is what `kubectl apply` takes, and holds no secret."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from isobench_operator.documents import BundleError, bundle, load, new_commit

from .conftest import SHA, Loader

COMMIT = f"""\
apiVersion: isobench.dev/v1alpha1
kind: Commit
metadata: {{name: one}}
spec:
  repository: {{url: "https://github.com/o/n.git", credentialsSecretRef: {{name: git}}}}
  head: {SHA}
  extraction: {{file: extraction.json}}
  test:
    generate:
      models: [{{provider: openai, model: m, env: OPENAI_API_KEY}}]
      seeds: {{folder: tests}}
  pod: {{imagePullSecrets: [{{name: registry}}]}}
---
apiVersion: isobench.dev/v1alpha1
kind: Dataset
metadata: {{name: all}}
spec: {{source: {{commits: {{}}}}, views: [gso]}}
"""
EXTRACTION = {"files": [{"path": "a.py", "old_content": "x" * 2_000_000, "diff": "- é\n+ ü\n"}]}


def _written(loaded: Loader, folder: Path) -> str:
    (folder / "extraction.json").write_text(json.dumps(EXTRACTION))
    return bundle(loaded(COMMIT, environ={"OPENAI_API_KEY": "sk-hunter2"}, secrets_required=False))


def test_secrets_are_named_and_never_written(loaded: Loader, folder: Path) -> None:
    text = _written(loaded, folder)
    assert "hunter2" not in text
    header = [line for line in text.splitlines() if line.startswith("#")]
    assert any("--from-literal=OPENAI_API_KEY=" in line for line in header)
    assert "#   git" in header
    assert "#   registry" in header


def test_an_extraction_goes_without_old_content(loaded: Loader, folder: Path) -> None:
    documents = list(yaml.safe_load_all(_written(loaded, folder)))
    texts = {key: text for one in documents if one["kind"] == "ConfigMap" for key, text in one["data"].items()}
    assert json.loads(texts["extraction.json"]) == {"files": [{"path": "a.py", "diff": "- é\n+ ü\n"}]}


def test_config_maps_come_before_what_names_them(loaded: Loader, folder: Path) -> None:
    kinds = [one["kind"] for one in yaml.safe_load_all(_written(loaded, folder))]
    assert kinds == ["ConfigMap", "ConfigMap", "Commit", "Dataset"]


def test_a_bundle_reads_back_as_what_it_was_made_of(loaded: Loader, folder: Path) -> None:
    text = _written(loaded, folder)
    before = loaded(COMMIT, secrets_required=False)
    (folder / "bundle.yaml").write_text(text)
    after = load([folder / "bundle.yaml"], environ={}, secrets_required=False)
    assert (after.commits, after.datasets) == (before.commits, before.datasets)
    assert bundle(after).split("---\n", 1)[1] == text.split("---\n", 1)[1]


def test_a_path_of_this_machine_is_refused(loaded: Loader) -> None:
    text = COMMIT.split("  extraction", maxsplit=1)[0].replace(
        '"https://github.com/o/n.git", credentialsSecretRef: {name: git}', "repo"
    )
    with pytest.raises(BundleError, match=r"spec\.repository\.url.*push it"):
        bundle(loaded(text + "  test: {script: {file: test.py}}\n"))


def test_what_no_config_map_can_hold_is_refused(loaded: Loader, folder: Path) -> None:
    (folder / "tests" / "a.py").write_text("#" * 1_100_000)
    with pytest.raises(BundleError, match="1,048,576"):
        _written(loaded, folder)


@pytest.mark.parametrize("model", [None, "claude"])
def test_a_new_commit_passes_once_it_is_filled(model: str | None, folder: Path) -> None:
    text = new_commit(url="repo", head=SHA, package="cacheflow", script="test.py", model=model)
    (folder / "new.yaml").write_text(text)
    commit = load([folder / "new.yaml"], environ={"ANTHROPIC_API_KEY": "k"}).commits[0]
    assert commit["metadata"]["name"] == "repo-0f40557a"
    assert commit["spec"]["environment"]["package"] == "cacheflow"


def test_the_blanks_of_a_new_commit_are_what_load_names(folder: Path) -> None:
    filled = (
        new_commit()
        .replace("REPOSITORY", "repo")
        .replace("SHA  ", f"{SHA}  ", 1)
        .replace("test_case_generator.py", "test.py")
    )
    (folder / "new.yaml").write_text(filled)
    assert len(load([folder / "new.yaml"], environ={}).commits) == 1


def test_comments_of_a_new_commit_line_up() -> None:
    commented = [line for line in new_commit().splitlines() if "  # " in line.strip() or line.endswith("revision")]
    assert len(commented) > 8
    assert {line.rindex(" # ") for line in commented} == {38}


@pytest.mark.parametrize("word", ["true", "on", "~", "a b", "1.0", "it's", "a: b", "#x", 'q"q'])
def test_whatever_is_given_is_quoted_where_yaml_needs_it(word: str) -> None:
    written = yaml.safe_load(new_commit(url=word, head=SHA, script=word, name="x"))
    assert written["spec"]["repository"]["url"] == word
    assert written["spec"]["test"]["script"]["file"] == word
