"""`isobench gc` of a cluster, whose pod is a process here, and of a run's folder."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from isobench_operator.cli import cli
from isobench_operator.cluster.embedded.state import Folder
from isobench_runner.store import Store
from support.fake_pods import FakePods, fake_pods
from support.run_folder import CASES, write_run_folder

CONFIG = {"images": {"runner": "isobench/runner:test"}, "artifacts": {"claim": "my-store"}}
KINDS = [
    {"name": "commits", "kind": "Commit"},
    {"name": "commits/status", "kind": "Commit"},
    {"name": "datasets", "kind": "Dataset"},
]
DAY = 86400


def isobench(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["gc", *(str(argument) for argument in arguments)])


def ids(folder: Path) -> set[str]:
    return {blob.name for blob in Store(folder / "artifacts").blobs()}


def age(folder: Path, days: float) -> None:
    for path in (folder / "artifacts").rglob("*"):
        os.utime(path, times=(time.time() - days * DAY,) * 2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run of two days ago, some of whose blobs nothing refers to: those of a Commit that was deleted, and one of today."""
    out = tmp_path / "out"
    write_run_folder(out, CASES)
    store = Store(out / "artifacts")
    store.link("environment/unused", store.put_json({"archive": store.put(b"archive" * 100)}))
    age(out, 2)
    (out / "status" / f"commit-{CASES[0].name}.yaml").unlink()
    store.put(b"of a Job that runs")
    return out


@pytest.fixture
def cluster(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePods]:
    """The same, held by a cluster in two namespaces that share the store."""
    items: dict[str, list[Any]] = {"commit": [], "dataset": []}
    for number, path in enumerate(sorted((folder / "status").glob("*.yaml"))):
        body = yaml.safe_load(path.read_text())
        body["metadata"]["namespace"] = ("bench", "other")[number % 2]
        items[path.stem.partition("-")[0]].append(body)
    with fake_pods(tmp_path) as fake:
        fake.objects["/apis/isobench.dev"] = {"versions": [{"groupVersion": "isobench.dev/v1alpha1"}]}
        fake.objects["/apis/isobench.dev/v1alpha1"] = {"resources": list(KINDS)}
        for kind, bodies in items.items():
            fake.objects[f"/apis/isobench.dev/v1alpha1/{kind}s"] = {"items": bodies}
        fake.objects["/configmaps/isobench"] = {"data": {"config.yaml": yaml.safe_dump(CONFIG)}}
        fake.env["ISOBENCH_STORE"] = str(folder / "artifacts")
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig))
        yield fake


@pytest.fixture(params=["folder", "cluster"])
def where(request: pytest.FixtureRequest, folder: Path) -> list[Any]:
    if request.param == "cluster":
        request.getfixturevalue("cluster")
        return []
    return ["--from", folder]


def test_without_delete_it_lists_with_sizes_and_a_total_and_deletes_nothing(where: list[Any], folder: Path) -> None:
    before = ids(folder)
    done = isobench(*where)
    assert done.exit_code == 0, done.output
    *lines, total = done.stdout.splitlines()
    assert any(line.startswith("sha256:") and line.endswith("environment/unused") for line in lines)
    assert total.startswith(f"Nothing refers to {len(lines)} of {len(before)} blobs, ")
    assert total.endswith("Nothing was deleted: --delete does it.")
    assert ids(folder) == before


def test_what_it_lists_is_what_it_deletes_and_every_other_resource_keeps_what_it_has(
    where: list[Any], folder: Path, tmp_path: Path
) -> None:
    before = ids(folder)
    listed = json.loads(isobench(*where, "-o", "json").stdout)
    done = isobench(*where, "--delete", "-o", "json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    gone = before - ids(folder)
    assert {blob["digest"] for blob in told["deleted"]["blobs"]} == gone
    assert listed["unreferenced"] == told["unreferenced"] == told["deleted"]
    assert len(gone) > 2
    assert told["deleted"]["bytes"] == sum(blob["bytes"] for blob in told["deleted"]["blobs"])
    for case in CASES[1:]:
        pulled = CliRunner().invoke(cli, ["pull", case.name, "--from", str(folder), "--out", str(tmp_path / case.name)])
        assert pulled.exit_code == 0, pulled.output
    assert isobench(*where).stdout.startswith("Nothing to delete: all of ")


def records_naming(folder: Path) -> tuple[str, str]:
    """Have the Dataset's records name an environment that no Commit has; returns its manifest and its archive."""
    store = Store(folder / "artifacts")
    archive = store.put(b"archive" * 100)
    manifest = store.put_json({"archive": archive})
    record = b'{"environments": {"head": "%s"}}\n' % manifest.encode()
    (folder / "dataset.jsonl").write_bytes(record)
    path = folder / "status" / "dataset-dataset.yaml"
    body = yaml.safe_load(path.read_text())
    body["status"]["files"] = [{"name": "dataset.jsonl", "digest": store.put(record)}]
    path.write_text(yaml.safe_dump(body))
    age(folder, 2)
    return manifest, archive


def test_what_records_name_is_kept_and_their_environments_archives_may_go(
    folder: Path, request: pytest.FixtureRequest
) -> None:
    manifest, archive = records_naming(folder)
    request.getfixturevalue("cluster")
    assert isobench("--delete").exit_code == 0
    assert {manifest, archive} <= ids(folder)
    assert isobench("--delete", "--environments").exit_code == 0
    assert manifest in ids(folder)
    assert archive not in ids(folder)


def test_what_the_records_of_a_runs_folder_name_is_kept(folder: Path) -> None:
    manifest, archive = records_naming(folder)
    assert isobench("--from", folder, "--delete").exit_code == 0
    assert {manifest, archive} <= ids(folder)


def test_a_grace_that_is_longer_than_all_is_old_spares_all(where: list[Any]) -> None:
    done = isobench(*where, "--grace", "7d", "--yes")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("Deleted 0 of ")


def test_without_grace_even_what_is_of_today_goes(where: list[Any], folder: Path) -> None:
    done = isobench(*where, "--grace", "0s", "--delete")
    assert done.exit_code == 0, done.output
    assert not any(Store(folder / "artifacts").get(digest) == b"of a Job that runs" for digest in ids(folder))


def test_the_pod_may_write_only_where_something_is_deleted(cluster: FakePods) -> None:
    assert isobench().exit_code == 0
    assert isobench("--delete").exit_code == 0
    seen = [
        next(
            one.get("readOnly", False) for one in pod["spec"]["containers"][0]["volumeMounts"] if one["name"] == "store"
        )
        for pod in cluster.made
    ]
    assert seen == [True, False]
    assert cluster.deleted == [pod["metadata"]["name"] for pod in cluster.made]


def refused(cluster: FakePods, folder: Path, words: str, *arguments: str) -> None:
    before = ids(folder)
    done = isobench("--delete", *arguments)
    assert (done.exit_code, words in done.stderr) == (2, True), done.output
    assert ids(folder) == before
    assert cluster.made == []


def test_a_list_that_is_refused_is_a_doubt(cluster: FakePods, folder: Path) -> None:
    del cluster.objects["/apis/isobench.dev/v1alpha1/datasets"]
    refused(cluster, folder, "needs the right to list Commits and Datasets in all namespaces")


def test_a_kind_of_another_release_is_a_doubt(cluster: FakePods, folder: Path) -> None:
    cluster.objects["/apis/isobench.dev/v1alpha1"]["resources"].append({"name": "models", "kind": "Model"})
    refused(cluster, folder, "the cluster has Model of isobench.dev, which may refer to the store")


def test_a_status_that_is_not_understood_is_a_doubt(cluster: FakePods, folder: Path) -> None:
    cluster.objects["/apis/isobench.dev/v1alpha1/commits"]["items"][0]["status"]["blob"] = "sha256:1"
    refused(cluster, folder, "is not understood")


def test_what_is_under_way_needs_a_grace(cluster: FakePods, folder: Path) -> None:
    item = cluster.objects["/apis/isobench.dev/v1alpha1/commits"]["items"][0]
    item["status"]["conditions"] = []
    refused(
        cluster,
        folder,
        f"commit/{item['metadata']['name']} in {item['metadata']['namespace']} is under way",
        "--grace",
        "1h",
    )
    assert isobench("--delete", "--grace", "6h").exit_code == 0


def test_a_damaged_blob_is_a_failure_that_names_it(cluster: FakePods, folder: Path) -> None:
    status = cluster.objects["/apis/isobench.dev/v1alpha1/commits"]["items"][0]["status"]
    digest = status["artifacts"]["inputs"].removeprefix("sha256:")
    (folder / "artifacts" / "sha256" / digest[:2] / digest[2:]).write_text("{}")
    before = ids(folder)
    done = isobench("--delete")
    assert (done.exit_code, f"sha256:{digest} is damaged" in done.stderr) == (1, True), done.output
    assert ids(folder) == before


def test_a_folder_that_a_run_holds_is_left_alone(folder: Path) -> None:
    held = Folder(folder)
    held.open()
    try:
        done = isobench("--from", folder, "--delete")
    finally:
        held.close()
    assert (done.exit_code, "is in use by process" in done.stderr) == (1, True), done.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--grace", "soon"), "'soon' is no duration; write for instance 90m, 24h or 7d"),
        (("--delete", "--dry-run"), "--delete and --dry-run exclude each other"),
    ],
)
def test_bad_options_are_said(arguments: tuple[str, ...], words: str, folder: Path) -> None:
    done = isobench("--from", folder, *arguments)
    assert (done.exit_code, words in done.stderr) == (2, True), done.output


def test_a_folder_of_something_else_is_refused(tmp_path: Path, folder: Path) -> None:
    done = isobench("--from", tmp_path, "--delete")
    assert (done.exit_code, "is no folder that `isobench run --out` made" in done.stderr) == (2, True), done.output
    (folder / "status" / "commit-broken.yaml").write_text("{")
    done = isobench("--from", folder, "--delete")
    assert (done.exit_code, "commit-broken.yaml is no custom resource" in done.stderr) == (2, True), done.output
