"""`isobench pull` of a run's folder and of a cluster, whose pods are processes here."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from isobench_operator.cli import cli
from isobench_operator.core.naming import child_name
from isobench_runner.contract import CollectRequest
from isobench_runner.reporting.collect import conclude
from isobench_runner.stages import collect
from isobench_runner.store import Store
from isobench_runner.transcript import log_name
from support.fake_pods import FakePods, fake_pods
from support.run_folder import CASES, write_run_folder

listing = importlib.import_module("isobench_runner.stages.list")
CONFIG = {"images": {"runner": "isobench/runner:test"}, "artifacts": {"claim": "my-store"}}
LOG = b"cc: command not found\n"
GOOD = next(case.name for case in CASES if case.reason is None)
BAD = next(case.name for case in CASES if case.reason is not None)


def isobench(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with a Dataset."""
    out = tmp_path / "out"
    write_run_folder(out, CASES)
    monkeypatch.setenv("ISOBENCH_DATASET", str(out))
    asked = CollectRequest(commit="d", nonce="n", repository_url="", repository="", dataset="all", files=())
    for name in ("in", "out"):
        (tmp_path / "job" / name).mkdir(parents=True)
    store = Store(out / "artifacts")
    listing.run(asked, out / "status", tmp_path / "job" / "in", store)
    collect.run(asked, tmp_path / "job" / "in", tmp_path / "job" / "out", store)
    status = conclude(asked, tmp_path / "job", store).data
    status["files"] = [{**one, "name": f"all{one['name']}"} for one in status["files"]]
    body = {
        "apiVersion": "isobench.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "all"},
        "spec": {},
        "status": status,
    }
    (out / "status" / "dataset-all.yaml").write_text(yaml.safe_dump(body))
    bad = out / "status" / f"commit-{BAD}.yaml"
    body = yaml.safe_load(bad.read_text())
    evidence = store.put_json({"v": 1, "stage": "build", "tail": "no compiler", "log": store.put(LOG)})
    body["status"]["revisions"] = [{"name": "head", "evidence": evidence}]
    bad.write_text(yaml.safe_dump(body))
    return out


@pytest.fixture
def cluster(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePods]:
    """The same, held by a cluster."""
    with fake_pods(tmp_path) as fake:
        for path in (folder / "status").glob("*.yaml"):
            kind, _, name = path.stem.partition("-")
            body = yaml.safe_load(path.read_text())
            body["metadata"]["namespace"] = "bench"
            fake.objects[f"/namespaces/bench/{kind}s/{name}"] = body
        fake.objects["/configmaps/isobench"] = {"data": {"config.yaml": yaml.safe_dump(CONFIG)}}
        fake.env["ISOBENCH_STORE"] = str(folder / "artifacts")
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig))
        yield fake


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_commits_files_have_names_for_people(folder: Path, tmp_path: Path) -> None:
    done = isobench("pull", f"commit/{GOOD}", "--from", folder, "--out", tmp_path / "c")
    assert done.exit_code == 0, done.output
    found = files(tmp_path / "c")
    assert {"commit.yaml", "test.py", "patch.diff", "inputs.json", "results/head.json"} <= found.keys()
    assert b"def experiment" in found["test.py"]
    assert found["patch.diff"].startswith(b"diff --git")
    assert json.loads(found["results/head.json"])["samples_ms"]["head"]


def test_every_attempt_is_there_with_its_prompt_and_answer(folder: Path, tmp_path: Path) -> None:
    generated = next(case.name for case in CASES if case.generated)
    assert isobench("pull", generated, "--from", folder, "--out", tmp_path / "c").exit_code == 0
    found = files(tmp_path / "c")
    generation = json.loads(found["generation.json"])
    assert len([name for name in found if name.endswith("-answer.md")]) == len(generation["attempts"])


def test_a_failed_commits_evidence_comes_along(folder: Path, tmp_path: Path) -> None:
    done = isobench("pull", BAD, "--from", folder, "--out", tmp_path / "c", "-o", "json")
    assert done.exit_code == 0, done.output
    assert {"evidence/head.json", "evidence/head.log"} <= set(json.loads(done.stdout)["files"])
    assert (tmp_path / "c" / "evidence" / "head.log").read_bytes() == LOG


def test_the_log_of_every_stage_that_left_one_comes_along(folder: Path, tmp_path: Path) -> None:
    store = Store(folder / "artifacts")
    body = yaml.safe_load((folder / "status" / f"commit-{GOOD}.yaml").read_text())
    name = child_name(owner=GOOD, uid=body["metadata"]["uid"], role="prepare-head", attempt=1)
    store.point(log_name(name), store.put(b"==> fetch"))
    assert isobench("pull", GOOD, "--from", folder, "--out", tmp_path / "c").exit_code == 0
    found = {file: content for file, content in files(tmp_path / "c").items() if file.startswith("logs/")}
    assert found == {"logs/prepare-head.log": b"==> fetch"}


@pytest.mark.parametrize("resource", [GOOD, BAD, "dataset/all", "pds/all"])
def test_a_cluster_gives_what_the_folder_gives(resource: str, folder: Path, cluster: FakePods, tmp_path: Path) -> None:
    here = isobench("pull", resource, "--from", folder, "--out", tmp_path / "here")
    there = isobench("pull", resource, "--out", tmp_path / "there")
    assert (here.exit_code, there.exit_code) == (0, 0), there.output
    one, other = files(tmp_path / "here"), files(tmp_path / "there")
    kind = "dataset.yaml" if "/" in resource else "commit.yaml"
    del one[kind], other[kind]
    assert one
    assert one == other


def test_the_pod_sees_the_store_read_only_and_goes(cluster: FakePods, tmp_path: Path) -> None:
    assert isobench("pull", "dataset/all", "--out", tmp_path / "d").exit_code == 0
    (pod,) = cluster.made
    assert cluster.deleted == [pod["metadata"]["name"]]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == "isobench/runner:test"
    assert {"name": "store", "mountPath": "/isobench/store", "readOnly": True} in container["volumeMounts"]
    assert {"name": "store", "persistentVolumeClaim": {"claimName": "my-store"}} in pod["spec"]["volumes"]


def test_a_blob_that_is_not_what_it_is_called_is_refused(cluster: FakePods, folder: Path, tmp_path: Path) -> None:
    status = cluster.objects["/namespaces/bench/datasets/all"]["status"]
    digest = status["files"][0]["digest"].removeprefix("sha256:")
    (folder / "artifacts" / "sha256" / digest[:2] / digest[2:]).write_text("something else")
    done = isobench("pull", "dataset/all", "--out", tmp_path / "d")
    assert done.exit_code == 1
    assert f"Missing: {status['files'][0]['name']}" in done.stderr
    assert (tmp_path / "d" / status["files"][1]["name"]).exists()


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("commit/none",), "there is no Commit none in namespace bench", 2),
        (("model/x",), "write commit/NAME or dataset/NAME", 2),
        (("dataset/all", "--context", "nowhere"), "nowhere", 2),
    ],
)
def test_what_is_not_there_is_said(arguments: tuple[str, ...], words: str, code: int, cluster: FakePods) -> None:
    done = isobench("pull", *arguments)
    assert (done.exit_code, words in done.output) == (code, True), done.output
    assert cluster.made == []


def test_a_pod_that_cannot_start_is_said_and_deleted(cluster: FakePods, tmp_path: Path) -> None:
    waiting = {"reason": "ErrImageNeverPull", "message": "image is not present"}
    cluster.status = {"phase": "Pending", "containerStatuses": [{"name": "store", "state": {"waiting": waiting}}]}
    done = isobench("pull", "dataset/all", "--out", tmp_path / "d")
    assert done.exit_code == 1
    assert "ErrImageNeverPull: image is not present" in done.stderr
    assert len(cluster.deleted) == 1


def test_a_namespace_without_the_charts_settings_is_said(cluster: FakePods) -> None:
    del cluster.objects["/configmaps/isobench"]
    done = isobench("pull", "dataset/all")
    assert done.exit_code == 1
    assert "the chart leaves ConfigMap isobench in each of its workNamespaces" in done.stderr
