"""`publish` as it is started, with the real client, against a fake of the Hub."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from isobench_runner.contract import CollectRequest, Publish, Reason, Report
from isobench_runner.outcome import read_outcome
from isobench_runner.reporting.collect import conclude
from isobench_runner.stages import collect
from isobench_runner.stages.publish import TABLE
from isobench_runner.store import Store
from support.fake_hub import READER, WRITER, FakeHub, fake_hub
from support.run_folder import CASES, Case, commit_document, write_run_folder

listing = importlib.import_module("isobench_runner.stages.list")
pytestmark = pytest.mark.slow
NAME = "acme/speedups"


class Publication:
    """A run's folder, collected and published as often as asked."""

    def __init__(self, folder: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.hub, self.jobs = folder, hub, 0
        self.store = Store(folder / "artifacts")
        self.token = folder / "token"
        write_run_folder(folder, CASES)
        self.token.write_text(f"{WRITER}\n")
        monkeypatch.setenv("ISOBENCH_DATASET", str(folder / "dataset"))

    def add(self, case: Case) -> None:
        body = commit_document(case, self.store)
        path = self.folder / "status" / f"commit-{case.name}.yaml"
        path.write_text(json.dumps(body))

    def push(self, repository: str = NAME, **changes: Any) -> Report:
        self.jobs += 1
        root = self.folder / f"job-{self.jobs}"
        publish = Publish(repository=repository, token_file=str(self.token), **changes)
        asked = CollectRequest(
            commit="d", nonce="n", repository_url="", repository="", dataset="speedups", publish=publish, finished=9
        )
        for name in ("in", "out", "scratch"):
            (root / name).mkdir(parents=True)
        listing.run(asked, self.folder / "status", root / "in", self.store)
        collect.run(asked, root / "in", root / "out", self.store)
        environment = {
            **os.environ, "ISOBENCH_REQUEST": asked.to_json(), "ISOBENCH_STORE": str(self.store.place.root), "HF_ENDPOINT": self.hub.url,
            "HF_HOME": str(root / "scratch" / "hf"), "TMPDIR": str(root / "scratch"), "HF_HUB_DISABLE_XET": "1",
        }  # fmt: skip
        command = [sys.executable, "-m", "isobench_runner", "publish", "--in", "unused", "--out", str(root / "out")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert not [path for path in root.rglob("*") if path.is_file() and WRITER.encode() in path.read_bytes()]
        self.log = done.stdout
        self.stderr = done.stderr
        self.outcome = read_outcome(root / "out")
        return conclude(asked, root, self.store)

    def rows(self, name: str = NAME) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = pq.read_table(io.BytesIO(self.hub.repositories[name].head[TABLE])).to_pylist()
        return found

    def ours(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / "dataset" / "speedups.jsonl").read_text().splitlines()]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publication]:
    with fake_hub() as hub:
        yield Publication(tmp_path / "run", hub, monkeypatch)


def table(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer)
    return buffer.getvalue()


def test_the_first_push_makes_the_repository_and_the_second_pushes_nothing(run: Publication) -> None:
    report = run.push()
    assert report.reason is None, report.tail
    made = run.hub.repositories[NAME]
    assert report.data["published"] == {
        "repository": NAME, "revision": made.commits[-1][0], "records": 7, "added": 7, "replaced": 0, "kept": 0,
    }  # fmt: skip
    assert made.private
    assert run.rows() == run.ours()
    assert "path: data/test-00000-of-00001.parquet" in made.head["README.md"].decode()
    assert "7 added, 0 replaced" in run.log
    assert "pypa__packaging" in run.log
    run.hub.requests.clear()
    again = run.push()
    assert again.data["published"]["added"] == 0
    assert len(made.commits) == 2
    assert not [asked for asked in run.hub.requests if asked.startswith(("POST /api/repos", "PUT"))]
    assert not [asked for asked in run.hub.requests if "/commit/" in asked]


def test_datasets_loads_what_was_pushed(run: Publication, tmp_path: Path) -> None:
    run.push()
    program = (
        "from datasets import load_dataset\n"
        f"data = load_dataset({NAME!r}, split='test', token={READER!r})\n"
        "assert len(data) == 7, len(data)\n"
        "assert data.features['speedup'].dtype == 'float64'\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": run.hub.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True)


def test_one_row_per_commit_the_one_measured_last_and_others_rows_stay(run: Publication) -> None:
    run.push()
    first = {row["head_commit"]: row for row in run.rows()}
    script = "def experiment(data):\n    return 1\n"
    again = dataclasses.replace(CASES[0], name="again", script=script, speedup=1.01, finished="2026-12-01T10:00:00Z")
    run.add(again)
    run.add(Case(name="new", subject="New (#99)", speedup=1.5, head="c" * 40))
    for path in (run.folder / "dataset").iterdir():
        path.unlink()
    for case in CASES[1:4]:
        (run.folder / "status" / f"commit-{case.name}.yaml").unlink()
    published = run.push().data["published"]
    assert (published["records"], published["added"], published["replaced"]) == (8, 1, 1)
    rows = {row["head_commit"]: row for row in run.rows()}
    head = next(row["head_commit"] for row in run.ours() if row["commit"] == "again")
    assert rows[head]["efficiency_test"] == [script]
    assert rows.keys() == first.keys() | {"c" * 40}
    assert f"replaced {rows[head]['instance_id']}" in run.log


def test_with_keep_published_a_row_that_is_there_stays(run: Publication) -> None:
    run.push()
    before = run.rows()
    run.add(dataclasses.replace(CASES[0], name="again", speedup=9.0, finished="2026-12-01T10:00:00Z"))
    published = run.push(keep="published").data["published"]
    assert (published["added"], published["replaced"]) == (0, 0)
    assert run.rows() == before


def test_a_dry_run_tells_and_pushes_nothing(run: Publication) -> None:
    published = run.push(dry_run=True).data["published"]
    assert (published["added"], published["revision"]) == (7, None)
    assert "would push" in run.log
    assert run.hub.repositories == {}


def test_a_repository_may_be_a_url_of_a_hub_of_ones_own(run: Publication) -> None:
    assert run.push(f"{run.hub.url}/datasets/acme").data["published"]["repository"] == NAME


def test_a_push_by_somebody_else_in_between_is_merged(run: Publication) -> None:
    run.push()
    made = run.hub.repositories[NAME]
    other = {**run.rows()[0], "repo": "other/project", "head_commit": "d" * 40, "instance_id": "other__project-ddddddd"}

    def meanwhile() -> None:
        made.commit(
            {**made.head, TABLE: table([*run.rows(), other], pq.read_schema(io.BytesIO(made.head[TABLE])))}, "theirs"
        )

    run.add(Case(name="new", subject="New", speedup=1.5, head="c" * 40))
    run.hub.before_commit.append(meanwhile)
    published = run.push().data["published"]
    assert (published["records"], published["added"], published["kept"]) == (9, 1, 1)
    assert {"other/project"} <= {row["repo"] for row in run.rows()}


def test_rows_of_an_older_release_lack_columns_and_stay(run: Publication) -> None:
    run.push()
    old = {name: value for name, value in run.rows()[0].items() if name not in ("headline", "cold_ci95")}
    old |= {"repo": "other/project", "head_commit": "d" * 40}
    run.hub.make(NAME, {"data/test-00000-of-00002.parquet": table([old])})
    run.push()
    head = run.hub.repositories[NAME].head
    assert sorted(name for name in head if name.startswith("data/")) == [TABLE]
    assert next(row for row in run.rows() if row["repo"] == "other/project")["headline"] is None


def test_words_of_somebody_else_and_other_splits_stay(run: Publication) -> None:
    files = {"README.md": b"---\nlicense: mit\n---\n# Ours\n", "data/train-00000-of-00001.parquet": table([{"a": 1}])}
    run.hub.make(NAME, files)
    assert run.push().reason is None
    head = run.hub.repositories[NAME].head
    assert {name: head[name] for name in files} == files
    assert len(run.rows()) == 7


def test_a_split_that_holds_something_else_is_never_replaced(run: Publication) -> None:
    made = run.hub.make(NAME, {"data/test-00000-of-00001.parquet": table([{"question": "?", "answer": "!"}])})
    report = run.push()
    assert report.reason is Reason.PUBLISH_REFUSED
    assert "has a column 'question'" in report.tail
    assert len(made.commits) == 1
    assert report.data["records"] == 7


def test_a_dry_run_that_cannot_read_the_hub_fails_nothing(run: Publication) -> None:
    run.hub.url = "http://127.0.0.1:9"
    report = run.push(dry_run=True)
    assert report.reason is None
    assert "what a push would do is not known" in report.data["trouble"]


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("reader", Reason.HUB_TOKEN_REJECTED),
        ("nobody", Reason.HUB_TOKEN_REJECTED),
        ("no token", Reason.MISSING_INPUT),
        ("down", Reason.HUB_UNAVAILABLE),
        ("busy", Reason.HUB_UNAVAILABLE),
        ("refusing", Reason.PUBLISH_REFUSED),
    ],
)
def test_what_goes_wrong_is_typed_and_keeps_what_was_collected(trouble: str, reason: Reason, run: Publication) -> None:
    match trouble:
        case "reader" | "nobody":
            run.token.write_text(READER if trouble == "reader" else "hf_nobody")
        case "no token":
            run.token.unlink()
        case "down":
            run.hub.url = "http://127.0.0.1:9"
        case "busy":
            run.hub.failures += [("/commit/", 503)] * 20
        case "refusing":
            run.hub.failures.append(("/commit/", 422))
    report = run.push()
    assert report.reason is reason, (report.tail, run.stderr)
    assert (report.data["records"], report.data["finished"]) == (7, 9)
    assert "Traceback" not in report.tail


def test_an_upload_that_was_cut_off_goes_on(run: Publication) -> None:
    run.hub.failures.append(("/commit/", 500))
    first = run.push()
    uploads = [asked for asked in run.hub.requests if asked.startswith("PUT")]
    if first.reason is not None:
        assert first.reason is Reason.HUB_UNAVAILABLE
        assert run.push().reason is None
    assert [asked for asked in run.hub.requests if asked.startswith("PUT")] == uploads
    assert len(run.rows()) == 7
