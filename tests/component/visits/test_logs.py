"""`isobench logs` of a cluster, whose pods are processes here, and of a run's folder: live, and from the store after the pod is gone."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from isobench_operator.cli import cli
from isobench_operator.core.naming import child_name
from isobench_operator.local.logs import LogsError, choose
from isobench_runner.store import Store
from isobench_runner.transcript import log_name
from support.fake_pods import FakePods, fake_pods

Json = dict[str, Any]
CONFIG = {"images": {"runner": "isobench/runner:test"}, "artifacts": {"claim": "my-store"}}
STAGES = [
    {"name": "prepare-base", "attempt": 1, "state": "Succeeded"},
    {"name": "prepare-head", "attempt": 3, "state": "Failed", "reason": "InstallFailed"},
    {"name": "base", "attempt": 2, "state": "Pending"},
]
WAITING = {"type": "Succeeded", "status": "Unknown", "reason": "ImagePull", "message": "registry.example is away"}
COMMIT: Json = {
    "apiVersion": "isobench.dev/v1alpha1", "kind": "Commit",
    "metadata": {"name": "c", "namespace": "bench", "uid": "7e2c"},
    "spec": {"test": {"script": {}}}, "status": {"stages": STAGES, "conditions": [WAITING]},
}  # fmt: skip
DATASET: Json = {
    "apiVersion": "isobench.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "all", "namespace": "bench", "uid": "d1"},
    "spec": {}, "status": {"inputs": f"sha256:{'a' * 64}", "attempt": 2, "conditions": [{"type": "Collected", "status": "True", "reason": "Collected"}]},
}  # fmt: skip


def job(role: str, attempt: int) -> str:
    return child_name(owner="c", uid="7e2c", role=role, attempt=attempt)


def isobench(*arguments: Any) -> Result:
    return CliRunner().invoke(cli, ["logs", *(str(argument) for argument in arguments)])


def keep(store: Store, name: str, text: str) -> None:
    store.point(log_name(name), store.put(text.encode()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run's folder, in which no Job is left."""
    out = tmp_path / "out"
    (out / "status").mkdir(parents=True)
    for body in (COMMIT, DATASET):
        path = out / "status" / f"{body['kind'].lower()}-{body['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(body))
    store = Store(out / "artifacts")
    keep(store, job("prepare-base", 1), "built base\n")
    keep(store, job("prepare-head", 1), "the index was away\n")
    keep(store, job("prepare-head", 3), "no compiler\n")
    keep(store, child_name(owner="all", uid="d1", role=f"collect-{'a' * 16}", attempt=2), "collected\n")
    return out


@pytest.fixture
def cluster(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakePods]:
    """The same, held by a cluster."""
    with fake_pods(tmp_path) as fake:
        fake.objects["/namespaces/bench/commits/c"] = json.loads(json.dumps(COMMIT))
        fake.objects["/namespaces/bench/datasets/all"] = DATASET
        fake.objects["/configmaps/isobench"] = {"data": {"config.yaml": yaml.safe_dump(CONFIG)}}
        fake.env["ISOBENCH_STORE"] = str(folder / "artifacts")
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig))
        yield fake


def add_pod(fake: FakePods, name: str, of: str, *, phase: str, **states: str) -> None:
    """A pod of a Job: fetch, measure, report, each with its state."""
    status = {
        group: [{"name": one, "state": {states[one]: {}}} for one in names if one in states]
        for group, names in (("initContainerStatuses", ("fetch", "measure")), ("containerStatuses", ("report",)))
    }
    fake.pods[name] = {
        "metadata": {"name": name, "labels": {"batch.kubernetes.io/job-name": of}, "creationTimestamp": name},
        "spec": {"initContainers": [{"name": "fetch"}, {"name": "measure"}], "containers": [{"name": "report"}]},
        "status": {"phase": phase, **status},
    }
    fake.logs |= {f"{name}/{one}": f"{one} of {name}\n" for one in states}


def test_a_running_stage_is_read_from_its_pod_up_to_where_it_is(cluster: FakePods) -> None:
    add_pod(cluster, "p1", job("base", 2), phase="Running", fetch="terminated", measure="running", report="waiting")
    add_pod(cluster, "p0", job("base", 1), phase="Failed", fetch="terminated")
    done = isobench("c", "base")
    assert done.exit_code == 0, done.output
    assert done.stdout == "==> fetch (p1) <==\nfetch of p1\n==> measure (p1) <==\nmeasure of p1\n"
    assert cluster.made == []


def test_following_goes_on_to_the_next_pod_and_ends_with_the_stage(cluster: FakePods) -> None:
    add_pod(cluster, "p1", job("base", 2), phase="Failed", fetch="terminated")

    def go_on() -> None:
        add_pod(
            cluster,
            "p2",
            job("base", 2),
            phase="Succeeded",
            fetch="terminated",
            measure="terminated",
            report="terminated",
        )
        status = cluster.objects["/namespaces/bench/commits/c"]["status"]
        status["stages"] = [*STAGES[:2], {"name": "base", "attempt": 2, "state": "Succeeded"}]

    timer = threading.Timer(1.5, go_on)
    timer.start()
    done = isobench("c", "base", "-f")
    timer.join()
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[::2] == [
        "==> fetch (p1) <==", "==> fetch (p2) <==", "==> measure (p2) <==", "==> report (p2) <==",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("c", "prepare-base"), "built base\n"),
        (("c", "prepare-head"), "no compiler\n"),
        (("commit/c", "prepare-head", "--attempt", 1), "the index was away\n"),
        (("dataset/all", "collect"), "collected\n"),
        (("c", "prepare-base", "--follow"), "built base\n"),
    ],
)
def test_a_stage_whose_pod_is_gone_is_read_from_the_store(
    arguments: tuple[Any, ...], text: str, cluster: FakePods, folder: Path
) -> None:
    there, here = isobench(*arguments), isobench(*arguments, "--out", folder)
    assert (there.exit_code, here.exit_code) == (0, 0), there.output + here.output
    assert there.stdout == here.stdout == text
    assert [pod["metadata"]["name"] for pod in cluster.made] == cluster.deleted


UNKNOWN = "commit/c has no stage 'build'; it has prepare-base (Succeeded), prepare-head (Failed), prepare-main (Pending), base (Pending)"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none", "base"), "none"),
        (("c", "build"), UNKNOWN),
        (("c", "prepare"), "write prepare-base or prepare-head or prepare-main"),
        (("c", "generate"), "commit/c has no stage 'generate'"),
        (("dataset/all", "base"), "dataset/all has no stage 'base'; it has collect (Ended)"),
        (("c", "prepare-head", "--attempt", 4), "--attempt may be 1 to 3"),
        (
            ("c", "head"),
            "head of commit/c has not started; there are logs of prepare-base, prepare-head. By now: ImagePull: registry.example is away; try again later",
        ),
        (("c", "prepare-head", "--attempt", 2), "no log of prepare-head of commit/c, attempt 2, was kept"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(
    arguments: tuple[Any, ...], words: str, cluster: FakePods, folder: Path
) -> None:
    for done in (isobench(*arguments), isobench(*arguments, "--out", folder)):
        assert (done.exit_code, words in done.stderr) == (2, True), done.output


def test_a_log_that_the_store_has_lost_is_a_failure(cluster: FakePods, folder: Path) -> None:
    digest = Store(folder / "artifacts").resolve(log_name(job("prepare-base", 1)))
    assert digest is not None
    Store(folder / "artifacts").delete(digest)
    for done in (isobench("c", "prepare-base"), isobench("c", "prepare-base", "--out", folder)):
        assert (done.exit_code, "the store has no sha256:" in done.stderr) == (1, True), done.output


def test_a_stage_that_never_came_to_run_says_how_the_commit_ended(folder: Path) -> None:
    path = folder / "status" / "commit-c.yaml"
    conditions = [{"type": "Succeeded", "status": "False", "reason": "InstallFailed", "message": "no compiler"}]
    conditions += [{"type": "Finished", "status": "True", "reason": "Failed"}]
    path.write_text(yaml.safe_dump({**COMMIT, "status": {"stages": STAGES[:2], "conditions": conditions}}))
    done = isobench("c", "head", "--out", folder)
    words = "head of commit/c never ran; there are logs of prepare-base, prepare-head. The end was InstallFailed: no compiler"
    assert (done.exit_code, words in done.stderr) == (2, True), done.output


def test_main_is_no_stage_of_a_commit_that_leaves_it_out() -> None:
    body = {**COMMIT, "spec": {"test": {"generate": {}}, "measurement": {"revisions": ["base", "head"]}}}
    with pytest.raises(LogsError, match=r"it has prepare-base .*generate.*base .*head"):
        choose(body, "main")
    assert choose(body, "generate").name == job("generate", 1)


@pytest.mark.parametrize("follow", [False, True])
def test_a_runs_folder_is_read_as_it_grows(folder: Path, *, follow: bool) -> None:
    place = folder / "jobs" / job("base", 2)
    containers = {"initContainers": [{"name": "fetch"}, {"name": "measure"}], "containers": [{"name": "report"}]}
    body: Json = {"job": {"spec": {"template": {"spec": containers}}, "status": {"conditions": []}}}
    for number, name, text in ((1, "fetch", "again"), (2, "fetch", "fetching"), (10, "measure", "measuring\n")):
        path = place / f"attempt-{number}" / "logs" / f"{name}.log"
        path.parent.mkdir(parents=True)
        path.write_text(text)
    (place / "job.json").write_text(json.dumps(body))

    def end() -> None:
        with (place / "attempt-10" / "logs" / "measure.log").open("a") as log:
            log.write("done\n")
        body["job"]["status"]["conditions"] = [{"type": "Complete", "status": "True"}]
        (place / "job.json").write_text(json.dumps(body))

    timer = threading.Timer(1.5, end)
    timer.start()
    done = isobench("c", "base", "--out", folder, *(["-f"] if follow else []))
    timer.join()
    assert done.exit_code == 0, done.output
    assert done.stdout == (
        "==> fetch (attempt-1) <==\nagain\n==> fetch (attempt-2) <==\nfetching\n==> measure (attempt-10) <==\nmeasuring\n"
        + ("done\n" if follow else "")
    )
