"""The collection's three containers over real folders: list, collect, report."""

import dataclasses
import hashlib
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema
import pyarrow.parquet as pq
import pytest
import yaml

from isobench_operator.core.naming import file_stem
from isobench_runner.contract import CollectRequest, PrepareRequest, Reason, StageError, StoredFile, decode
from isobench_runner.outcome import write_outcome
from isobench_runner.reporting.collect import conclude
from isobench_runner.stages import collect
from isobench_runner.stages import report as report_stage
from isobench_runner.store import Store
from support.run_folder import CASES, Case, commit_document, write_run_folder

listing = importlib.import_module("isobench_runner.stages.list")
SCHEMAS = Path(__file__).parents[2] / "data" / "schemas"
VIEWS = ("canonical", "swe-perf", "gso")


def request(**changes):
    fields = {"commit": "d", "nonce": "n", "repository_url": "", "repository": "", "dataset": "dataset", "views": VIEWS}
    return CollectRequest(**{**fields, **changes})


class Run:
    """An output folder and the Jobs that collect from it."""

    def __init__(self, folder: Path, monkeypatch, cases=CASES):
        self.folder, self.jobs = folder, 0
        self.dataset = folder / "dataset"
        monkeypatch.setenv("ISOBENCH_DATASET", str(self.dataset))
        self.store = Store(folder / "artifacts")
        write_run_folder(folder, cases)

    def collect(self, asked=None):
        asked = asked or request()
        self.jobs += 1
        self.root = self.folder / f"job-{self.jobs}"
        (self.root / "in").mkdir(parents=True)
        (self.root / "out").mkdir()
        listing.run(asked, self.folder / "status", self.root / "in", self.store)
        collect.run(asked, self.root / "in", self.root / "out", self.store)
        return conclude(asked, self.root, self.store)

    def records(self, name="dataset.jsonl"):
        return [json.loads(line) for line in (self.dataset / name).read_text().splitlines()]

    def bytes(self):
        return {path.name: path.read_bytes() for path in sorted(self.dataset.iterdir())}

    def summary(self):
        return json.loads((self.root / "out" / "collected.json").read_text())

    def add(self, case):
        body = commit_document(case, self.store)
        self.write(body)
        return body

    def write(self, body):
        path = self.folder / "status" / f"commit-{body['metadata']['name']}.yaml"
        path.write_text(yaml.safe_dump(body))


@pytest.fixture
def run(tmp_path, monkeypatch):
    return Run(tmp_path / "out", monkeypatch)


def test_every_commit_with_a_verdict_is_a_record_and_every_other_has_a_reason(run):
    report = run.collect()
    assert report.reason is None
    assert (report.data["records"], report.data["commits"]) == (7, 9)
    assert {item["reason"] for item in run.summary()["funnel"]["failures"]} == {"InstallFailed", "BehaviourChanged"}
    counts = {"faster": 3, "slower": 1, "negligible": 1, "no_change": 1, "inconclusive": 1}
    assert run.summary()["funnel"]["verdicts"] == counts


def test_the_digest_in_status_is_the_files(run):
    report = run.collect()
    content = (run.dataset / "dataset.jsonl").read_bytes()
    assert report.data["dataset"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert {f"dataset{item['name']}" for item in report.data["files"]} == set(run.bytes())


def test_the_message_of_the_longest_name_with_every_file_fits_and_no_file_name_is_too_long(run):
    asked = request(dataset=file_stem("d" * 253), through="2026-11-20T10:05:00.123456Z", finished=10**9)
    report = run.collect(asked)
    names = run.bytes()
    assert len(names) == 6
    assert {name.removeprefix(asked.dataset) for name in names} == {item["name"] for item in report.data["files"]}
    published = {
        "repository": f"{'o' * 96}/{'d' * 96}",
        "revision": "f" * 40,
        **dict.fromkeys(("records", "added", "replaced", "kept"), 10**9),
    }
    report.data["published"] = published
    assert decode(report.message(asked), nonce="n")["data"] == report.data


def test_files_of_one_input_are_equal_byte_for_byte_in_whatever_order_its_commits_come(run, tmp_path, monkeypatch):
    run.collect()
    other = Run(tmp_path / "other", monkeypatch, tuple(reversed(CASES)))
    names = iter("zyxwvutsr")
    for path in list((other.folder / "status").glob("commit-*.yaml")):
        path.rename(path.with_name(f"commit-{next(names)}.yaml"))
    other.collect()
    assert other.bytes() == run.bytes()


def test_collecting_again_changes_no_byte(run):
    run.collect()
    before = run.bytes()
    run.collect()
    assert run.bytes() == before


def test_a_record_stays_when_its_commit_is_deleted(run):
    run.collect()
    before = (run.dataset / "dataset.jsonl").read_bytes()
    for path in (run.folder / "status").glob("commit-*.yaml"):
        path.unlink()
    shutil.rmtree(run.folder / "artifacts")
    report = run.collect()
    assert (run.dataset / "dataset.jsonl").read_bytes() == before
    assert (report.data["records"], report.data["commits"]) == (7, 0)


def test_of_two_measurements_of_one_thing_the_later_stays(run):
    first = run.add(Case(name="again", subject="Again", speedup=1.5, head="c" * 40, finished="2026-11-20T10:00:00Z"))
    run.collect()
    run.add(Case(name="again", subject="Again", speedup=2.5, head="c" * 40, finished="2026-11-21T10:00:00Z"))
    run.collect()
    run.write(first)
    run.collect()
    found = [record for record in run.records() if record["head_commit"] == "c" * 40]
    assert [record["finished_at"] for record in found] == ["2026-11-21T10:00:00Z"]
    assert found[0]["speedup"] > 2


def test_another_test_of_one_commit_is_another_record_under_one_instance_id(run):
    script = "def experiment(data):\n    return 1\n"
    run.add(Case(name="one", subject="One", speedup=1.5, head="c" * 40))
    run.add(Case(name="two", subject="One", speedup=1.5, head="c" * 40, script=script))
    run.collect()
    found = [record for record in run.records() if record["head_commit"] == "c" * 40]
    assert len(found) == 2
    assert {record["instance_id"] for record in found} == {"pypa__packaging-ccccccc"}


def test_a_pull_request_that_two_commits_name_is_in_neither_id(run):
    run.add(Case(name="one", subject="Part one (#5)", speedup=1.5, head="c" * 40))
    run.collect()
    assert "pypa__packaging-PR-5" in {record["instance_id"] for record in run.records()}
    run.add(Case(name="two", subject="Part two (#5)", speedup=1.5, head="d" * 40))
    run.collect()
    ids = {record["instance_id"] for record in run.records()}
    assert {"pypa__packaging-ccccccc", "pypa__packaging-ddddddd"} <= ids
    assert "pypa__packaging-PR-5" not in ids


def _break_result(run, body, **changes):
    head = next(item for item in body["status"]["revisions"] if item["name"] == "head")
    head["result"] = run.store.put(json.dumps({**run.store.get_json(head["result"]), **changes}).encode())


def _poison(run, body):
    _break_result(run, body, samples_ms={"base": [1.0, float("nan")], "head": [1.0]})


def _forget(run, body):
    body["status"]["artifacts"]["inputs"] = f"sha256:{'0' * 64}"


def _mangle(run, body):
    body["status"]["revisions"] = "none"


def _surrogate(run, body):
    inputs = run.store.get_json(body["status"]["artifacts"]["inputs"])
    text = json.dumps({**inputs, "message": "\ud800 lone"}).encode()
    body["status"]["artifacts"]["inputs"] = run.store.put(text)


def _mistype(run, body):
    _break_result(run, body, equivalent="perhaps")


def _name_no_test(run, body):
    del body["status"]["test"]


@pytest.mark.parametrize("harm", [_poison, _forget, _mangle, _surrogate, _mistype, _name_no_test])
def test_one_bad_commit_is_refused_with_its_reason_and_costs_no_other(harm, run):
    body = commit_document(Case(name="bad", subject="Bad", speedup=1.5), run.store)
    harm(run, body)
    run.write(body)
    report = run.collect()
    assert (report.data["records"], report.data["commits"]) == (7, 10)
    failures = {item["commit"]: item for item in run.summary()["funnel"]["failures"]}
    assert failures["bad"]["reason"] in {"ResultInvalid", "StoreUnavailable"}
    assert "bad" in (run.dataset / "dataset.md").read_text()


@pytest.mark.parametrize("text", ["{", "[1]", "a: &a [*a", "kind: Commit", "\x00"])
def test_a_status_document_that_cannot_be_read_is_told_and_costs_no_other(text, run):
    (run.folder / "status" / "commit-torn.yaml").write_text(text)
    report = run.collect()
    assert report.data["records"] == 7
    assert {"commit": "torn", "reason": "InputInvalid"}.items() <= run.summary()["funnel"]["failures"][-1].items()


def test_what_has_not_finished_is_pending_and_no_failure(run):
    body = commit_document(Case(name="late", subject="Late", speedup=1.5), run.store)
    for condition in body["status"]["conditions"]:
        if condition["type"] in ("Finished", "Succeeded"):
            condition["status"] = "Unknown"
    run.write(body)
    run.write({"metadata": {"name": "new"}, "kind": "Commit", "spec": {}})
    report = run.collect()
    assert report.data["records"] == 7
    assert run.summary()["funnel"]["pending"] == 2
    assert len(run.summary()["funnel"]["failures"]) == 2


def test_only_commits_that_carry_the_labels_are_collected(run):
    labels = {"team": "kernels", "gpu": "h200"}
    run.add(Case(name="labelled", subject="Labelled", speedup=1.5, head="e" * 40, labels=labels))
    report = run.collect(request(match_labels=(("team", "kernels"), ("gpu", "h200"))))
    assert (report.data["records"], report.data["commits"]) == (1, 1)
    assert run.collect(request(dataset="none", match_labels=(("team", "other"),))).data["commits"] == 0


@pytest.mark.parametrize("view", VIEWS)
def test_every_line_of_a_view_meets_its_readers_schema(view, run):
    run.collect()
    schema = json.loads((SCHEMAS / f"{view}.json").read_text())
    lines = run.records(f"dataset.{view}.jsonl")
    assert len(lines) == 7
    for line in lines:
        jsonschema.validate(line, schema)


def test_parquet_and_jsonl_hold_the_same(run):
    run.collect()
    assert pq.read_table(run.dataset / "dataset.parquet").to_pylist() == run.records()


def test_an_empty_dataset_is_a_dataset(tmp_path, monkeypatch):
    run = Run(tmp_path / "out", monkeypatch, ())
    report = run.collect()
    assert report.reason is None
    assert report.data["records"] == 0
    assert pq.read_table(run.dataset / "dataset.parquet").num_rows == 0


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("parquet", "dataset.parquet"), ("json", "dataset.jsonl"), (None, None)])
def test_datasets_loads_it(kind, name, run, tmp_path):
    run.collect()
    run.add(dataclasses.replace(CASES[0], name="no-interval", rounds=3, head="f" * 40))
    run.collect()
    if kind is None:
        (run.dataset / "dataset.md").rename(run.dataset / "README.md")
        load = f"load_dataset({str(run.dataset)!r}, split='test')"
    else:
        load = f"load_dataset({kind!r}, data_files={str(run.dataset / name)!r}, split='train')"
    program = (
        "from datasets import load_dataset; from statistics import fmean\n"
        f"data = {load}\n"
        "assert len(data) == 8, len(data)\n"
        "for row in data:\n"
        "    times = row['duration_changes'][0]\n"
        "    assert row['human_performance'] == fmean(times['base']) / fmean(times['head'])\n"
        "assert data.features['speedup'].dtype == 'float64'\n"
    )
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf"), "HF_DATASETS_OFFLINE": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


@pytest.mark.parametrize("line", ["not json\n", '{"repo": "o/r"}\n', "[1]\n", "\n"])
def test_a_file_that_is_not_ours_is_never_written_over(line, run):
    run.dataset.mkdir()
    path = run.dataset / "dataset.jsonl"
    path.write_text(line)
    with pytest.raises(StageError, match=r"dataset\.jsonl:1.*move the file away") as refused:
        run.collect()
    assert refused.value.reason is Reason.INPUT_INVALID
    assert run.bytes() == {"dataset.jsonl": line.encode()}


def test_a_collection_that_dies_leaves_the_dataset_as_it_was(run, monkeypatch):
    run.collect()
    before = run.bytes()
    run.add(Case(name="more", subject="More", speedup=1.5))

    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(collect, "card", full)
        with pytest.raises(OSError, match="No space"):
            run.collect()
    assert run.bytes() == before
    (run.dataset / ".collect.dataset.left").mkdir()
    assert run.collect().data["records"] == 8
    assert not list(run.dataset.glob(".collect*"))


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"views": ("swe",)}, "views"), ({"formats": ("csv",)}, "formats"), ({"dataset": "../x"}, "dataset")],
)
def test_a_request_for_what_there_is_not_is_refused(changes, field, run):
    with pytest.raises(StageError, match=f"^{field}: "):
        run.collect(request(**changes))


def test_a_folder_without_status_documents_is_missing_input(tmp_path):
    with pytest.raises(StageError) as refused:
        listing.run(request(), tmp_path / "status", tmp_path, Store(tmp_path))
    assert refused.value.reason is Reason.MISSING_INPUT


def test_requests_of_another_kind_are_refused(tmp_path):
    other = PrepareRequest(commit="c", nonce="n", repository_url="", repository="", role="base", head="a" * 40)
    for stage in (listing, collect):
        with pytest.raises(StageError):
            stage.run(other, tmp_path, tmp_path, Store(tmp_path))


def test_a_file_that_changed_after_it_was_written_is_not_reported(run):
    run.collect()
    (run.dataset / "dataset.jsonl").write_text("")
    with pytest.raises(StageError, match=r"dataset\.jsonl is not what was written"):
        conclude(request(), run.root, run.store)
    (run.dataset / "dataset.jsonl").unlink()
    with pytest.raises(StageError, match=r"dataset\.jsonl: No such file"):
        conclude(request(), run.root, run.store)


def test_nothing_is_collected_where_listing_failed(run):
    root = run.folder / "failed"
    (root / "in").mkdir(parents=True)
    (root / "out").mkdir()
    write_outcome(root / "in", "list", Reason.MISSING_INPUT, "no status")
    collect.run(request(), root / "in", root / "out", run.store)
    assert not run.dataset.exists()
    assert report_stage.conclude(request(), root, run.store).reason is Reason.MISSING_INPUT


class ClusterRun(Run):
    """The same on a cluster: a folder of the pod's own each time, and a store that outlives it."""

    def collect(self, asked=None):
        files = tuple(StoredFile(name=one["name"], digest=one["digest"]) for one in getattr(self, "files", ()))
        self.dataset = self.folder / f"volume-{self.jobs}"
        self.monkeypatch.setenv("ISOBENCH_DATASET", str(self.dataset))
        report = super().collect(asked or request(files=files, folder="bench/dataset", finished=9, through="t"))
        self.files = [{**one, "name": f"dataset{one['name']}"} for one in report.data["files"]]
        return report

    def shown(self):
        return {path.name: path.read_bytes() for path in (self.folder / "datasets" / "bench" / "dataset").iterdir()}


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    run = ClusterRun(tmp_path / "out", monkeypatch)
    run.monkeypatch = monkeypatch
    return run


def test_on_a_cluster_records_outlive_pods_and_commits(cluster):
    report = cluster.collect()
    before = cluster.bytes()
    assert cluster.shown() == before
    assert {one["name"]: cluster.store.get(one["digest"]) for one in cluster.files} == before
    assert (report.data["finished"], report.data["through"]) == (9, "t")
    for path in (cluster.folder / "status").glob("commit-*.yaml"):
        path.unlink()
    cluster.add(Case(name="more", subject="More", speedup=1.5, head="c" * 40))
    assert cluster.collect().data["records"] == 8
    assert cluster.shown() == cluster.bytes()


def test_records_that_the_store_has_lost_are_never_left_out(cluster):
    cluster.collect()
    shutil.rmtree(cluster.folder / "artifacts")
    with pytest.raises(StageError, match=r"dataset\.jsonl: the store has no sha256") as refused:
        cluster.collect()
    assert refused.value.reason is Reason.STORE_UNAVAILABLE


@pytest.mark.slow
def test_the_containers_as_they_are_started_end_in_a_message_that_fits(run, tmp_path):
    root = tmp_path / "root"
    shutil.copytree(run.folder / "status", root / "status")
    environment = {
        **os.environ, "ISOBENCH_REQUEST": request().to_json(), "ISOBENCH_STORE": str(run.store.place.root),
        "ISOBENCH_TERMINATION": str(tmp_path / "message"),
    }  # fmt: skip
    for stage, source, target in (("list", "status", "in"), ("collect", "in", "out"), ("report", "", "report")):
        command = [
            sys.executable,
            "-m",
            "isobench_runner",
            stage,
            "--in",
            str(root / source),
            "--out",
            str(root / target),
        ]
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        if stage == "collect":
            assert "cryptography-build: no record: InstallFailed" in done.stderr
    message = (tmp_path / "message").read_text()
    assert len(message.encode()) <= 1500
    assert decode(message, nonce="n")["data"]["records"] == 7
