"""What an API server would hold, from what a disk says."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from isobench_operator.api import Commit
from isobench_operator.documents import DocumentErrors, Location, load

from .conftest import SHA, Loader, Refuser

COMMIT = f"""\
apiVersion: isobench.dev/v1alpha1
kind: Commit
metadata: {{name: one}}
spec:
  repository: {{url: repo}}
  head: {SHA}
  test: {{script: {{file: test.py}}}}
"""
CLUSTER = f"""\
apiVersion: isobench.dev/v1alpha1
kind: Commit
metadata: {{name: two}}
spec:
  repository: {{url: "https://github.com/o/n.git"}}
  head: {SHA}
  test:
    generate:
      models: [{{provider: openai, model: m, secretKeyRef: {{name: keys, key: openai}}}}]
      prompt: {{configMapKeyRef: {{name: prompts, key: p.md}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: prompts}}
data:
  p.md: |
    Write a test.
---
apiVersion: v1
kind: Secret
metadata: {{name: keys}}
stringData: {{openai: sk-secret}}
data: {{other: {base64.b64encode(b"value").decode()}}}
"""


def test_a_file_becomes_a_config_map_that_the_spec_names(loaded: Loader) -> None:
    bundle = loaded(COMMIT)
    reference = bundle.commits[0]["spec"]["test"]["script"]["configMapKeyRef"]
    assert bundle.config_maps == {reference["name"]: {"test.py": "def run_test(): ...\n"}}
    assert reference["key"] == "test.py"


def test_what_comes_out_is_a_valid_commit_with_its_defaults(loaded: Loader) -> None:
    commit = loaded(COMMIT).commits[0]
    assert Commit.model_validate(commit).to_json() == commit
    assert commit["spec"]["measurement"]["budgetSeconds"] == 300


def test_loading_twice_gives_the_same(loaded: Loader) -> None:
    assert loaded(COMMIT) == loaded(COMMIT)


def test_an_edited_script_is_another_reference(loaded: Loader, folder: Path) -> None:
    before = loaded(COMMIT)
    (folder / "test.py").write_text("def run_test(): return 1\n")
    assert loaded(COMMIT).commits != before.commits


def test_a_folder_becomes_a_config_map_of_its_scripts(loaded: Loader, folder: Path) -> None:
    (folder / "tests" / "notes.txt").write_text("not a script")
    models = "models: [{provider: openai, model: m}]"
    text = COMMIT.replace("{script: {file: test.py}}", f"{{generate: {{{models}, seeds: {{folder: tests}}}}}}")
    bundle = loaded(text)
    name = bundle.commits[0]["spec"]["test"]["generate"]["seeds"]["configMapRef"]["name"]
    assert set(bundle.config_maps[name]) == {"a.py", "b.py"}


def test_a_variable_becomes_a_secret_that_no_repr_shows(loaded: Loader) -> None:
    model = "{provider: openai, model: m, env: OPENAI_API_KEY}"
    text = COMMIT.replace("{script: {file: test.py}}", f"{{generate: {{models: [{model}]}}}}")
    bundle = loaded(text, environ={"OPENAI_API_KEY": "sk-secret"})
    reference = bundle.commits[0]["spec"]["test"]["generate"]["models"][0]["secretKeyRef"]
    assert bundle.secrets == {reference["name"]: {"OPENAI_API_KEY": "sk-secret"}}
    assert bundle.variables == {reference["name"]: "OPENAI_API_KEY"}
    assert "sk-secret" not in repr(bundle)


def test_the_name_of_a_secret_says_nothing_of_its_value(loaded: Loader) -> None:
    model = "{provider: openai, model: m, env: OPENAI_API_KEY}"
    text = COMMIT.replace("{script: {file: test.py}}", f"{{generate: {{models: [{model}]}}}}")
    assert (
        loaded(text, environ={"OPENAI_API_KEY": "a"}).commits == loaded(text, environ={"OPENAI_API_KEY": "b"}).commits
    )


def test_config_maps_and_secrets_may_stand_beside(loaded: Loader) -> None:
    bundle = loaded(CLUSTER)
    assert bundle.config_maps == {"prompts": {"p.md": "Write a test.\n"}}
    assert bundle.secrets == {"keys": {"openai": "sk-secret", "other": "value"}}


def test_for_a_cluster_no_secret_has_to_be_here(loaded: Loader) -> None:
    text = CLUSTER.split("---\napiVersion: v1\nkind: Secret", maxsplit=1)[0]
    assert loaded(text, secrets_required=False).secrets == {}
    env = text.replace("secretKeyRef: {name: keys, key: openai}", "env: UNSET_KEY")
    assert list(loaded(env, secrets_required=False).variables.values()) == ["UNSET_KEY"]


PUBLISHED = """\
    apiVersion: isobench.dev/v1alpha1
    kind: Dataset
    metadata: {name: all}
    spec:
      source: {commits: {}}
      publish: {repository: acme/all, env: HF_TOKEN}
"""


@pytest.mark.parametrize("form", ["env: HF_TOKEN", "secretKeyRef: {name: hub, key: token}"])
def test_the_hubs_token_is_needed_by_a_push_alone(loaded: Loader, refused: Refuser, form: str) -> None:
    text = PUBLISHED.replace("env: HF_TOKEN", form)
    (dataset,) = loaded(text, publishing=False).datasets
    assert dataset["spec"]["publish"]["secretKeyRef"]
    (error,) = refused(text)
    assert error.path.startswith("spec.publish.")


def test_a_models_key_is_needed_whether_or_not_something_is_pushed(loaded: Loader) -> None:
    text = CLUSTER.split("---\napiVersion: v1\nkind: Secret", maxsplit=1)[0]
    for form in (text, text.replace("secretKeyRef: {name: keys, key: openai}", "env: UNSET_KEY")):
        with pytest.raises(DocumentErrors):
            loaded(form, publishing=False)


def test_null_is_absent_and_status_is_not_applied(loaded: Loader) -> None:
    text = (
        COMMIT
        + "  base: null\n  suspend: null\n  environment: {image: null, setup: null}\nstatus: {observedGeneration: 3}\n"
    )
    assert loaded(text).commits == loaded(COMMIT).commits


def test_what_kubectl_get_writes_beside_is_left_out(loaded: Loader) -> None:
    text = COMMIT.replace("{name: one}", "{name: one, uid: u, resourceVersion: '7', managedFields: [], labels: {a: b}}")
    assert loaded(text).commits[0]["metadata"] == {"name": "one", "labels": {"a": "b"}}


def test_several_files_refer_to_each_other(folder: Path) -> None:
    commit, config_map = CLUSTER.split("---\n", 1)
    (folder / "a.yaml").write_text(commit)
    (folder / "b.yaml").write_text(config_map)
    bundle = load([folder / "a.yaml", folder / "b.yaml", folder / "a.yaml"], environ={})
    assert len(bundle.commits) == 1
    assert bundle.sources[("Secret", "keys")] == Location(folder / "b.yaml", 8)


def test_paths_are_relative_to_the_manifest_and_become_absolute(loaded: Loader, folder: Path) -> None:
    assert loaded(COMMIT).commits[0]["spec"]["repository"]["url"] == str(folder / "repo")


def test_a_local_repository_is_named_by_its_origin(loaded: Loader, folder: Path) -> None:
    with (folder / "repo" / ".git" / "config").open("a") as config:
        config.write('[remote "origin"]\n\turl = git@github.com:pypa/packaging.git\n\tfetch = +refs/heads/*:refs/x/*\n')
    assert loaded(COMMIT).commits[0]["spec"]["repository"]["name"] == "pypa/packaging"


def test_a_name_that_is_given_wins_over_origin(loaded: Loader, folder: Path) -> None:
    with (folder / "repo" / ".git" / "config").open("a") as config:
        config.write('[remote "origin"]\n\turl = https://github.com/pypa/packaging\n')
    text = COMMIT.replace("{url: repo}", "{url: repo, name: me/mine}")
    assert loaded(text).commits[0]["spec"]["repository"]["name"] == "me/mine"


@pytest.mark.parametrize("url", ["~/repo", "file://{folder}/repo", "{folder}/repo"])
def test_other_ways_to_name_a_local_repository(url: str, loaded: Loader, folder: Path) -> None:
    named = url.format(folder=folder)
    found = loaded(COMMIT.replace("{url: repo}", f'{{url: "{named}"}}'), environ={"HOME": str(folder)})
    assert found.commits[0]["spec"]["repository"]["url"].endswith(f"{folder}/repo")


def test_anchors_and_merges_are_read(loaded: Loader) -> None:
    text = (
        COMMIT
        + "  pod: {nodeSelector: &a {x: y}, env: []}\n  environment:\n    resources: {limits: &b {cpu: 1}, requests: *b}\n"
    )
    resources = loaded(text).commits[0]["spec"]["environment"]["resources"]
    assert resources == {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}
    merged = COMMIT + "  environment: {resources: {limits: &b {cpu: 1, memory: 1Gi}, requests: {<<: *b, cpu: 2}}}\n"
    assert loaded(merged).commits[0]["spec"]["environment"]["resources"]["requests"] == {"cpu": "2", "memory": "1Gi"}


def test_dates_stay_as_written(loaded: Loader) -> None:
    assert (
        loaded(COMMIT + "  environment: {packagesAsOf: 2024-05-31}\n").commits[0]["spec"]["environment"]["packagesAsOf"]
        == "2024-05-31"
    )


def test_no_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(DocumentErrors, match="No such file"):
        load([tmp_path / "none.yaml"], environ={})
