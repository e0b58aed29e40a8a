"""The log of a Job reaches the store whatever came of the Job, and costs nobody a result."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from isobench_runner.contract import CollectRequest, PrepareRequest, Reason, Report
from isobench_runner.reporting import log
from isobench_runner.store import Store
from isobench_runner.transcript import log_name
from support.run_folder import CASES, write_run_folder

JOB = {"ISOBENCH_JOB": "c-head-1-abc", "ISOBENCH_POD": "c-head-1-abc-x1"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A Job's folder after a build."""
    for name, text in {
        "in/fetch.log": "fetching\n",
        "out/build.log": "$ pip install .\nhttps://u:p@index/simple",
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(text)
    return tmp_path


def stored(store: Store, job: str = JOB["ISOBENCH_JOB"]) -> str:
    digest = store.resolve(log_name(job))
    assert digest is not None
    return store.get(digest).decode()


def test_each_containers_part_has_its_name_and_the_reports_word_is_last(root: Path) -> None:
    store = Store(root / "store")
    log.keep(Report(reason=Reason.INSTALL_FAILED, tail="no compiler"), root, store, JOB)
    assert stored(store) == (
        "==> fetch (c-head-1-abc-x1) <==\nfetching\n"
        "==> build (c-head-1-abc-x1) <==\n$ pip install .\nhttps://index/simple\n"
        "==> report (c-head-1-abc-x1) <==\nreport: InstallFailed: no compiler\n"
    )


def test_a_job_that_took_two_pods_has_the_logs_of_both(root: Path) -> None:
    store = Store(root / "store")
    log.keep(Report(reason=Reason.INDEX_UNREACHABLE), root, store, JOB)
    log.keep(Report(), root, store, {**JOB, "ISOBENCH_POD": "second"})
    text = stored(store)
    assert (
        text.index("report: IndexUnreachable") < text.index("==> fetch (second) <==") < text.index("report: Succeeded")
    )


def test_of_a_log_that_is_too_long_the_end_is_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_BYTES", 200)
    store = Store(root / "store")
    (root / "out" / "build.log").write_bytes(b"x" * 1000)
    log.keep(Report(), root, store, JOB)
    text = stored(store)
    assert len(text) == 200
    assert text.startswith(log.CUT.decode())
    assert text.endswith("report: Succeeded\n")


def test_a_link_or_a_pipe_in_place_of_a_log_is_not_followed(root: Path) -> None:
    (root / "secret").write_text("the store's own")
    (root / "out" / "build.log").unlink()
    (root / "out" / "build.log").symlink_to(root / "secret")
    os.mkfifo(root / "out" / "measure.log")
    store = Store(root / "store")
    log.keep(Report(), root, store, JOB)
    assert "own" not in stored(store)


def test_a_store_that_does_not_take_it_costs_no_result(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "store").write_text("no folder")
    log.keep(Report(), root, Store(root / "store"), JOB)
    assert "the log could not be kept" in capsys.readouterr().err


def started(root: Path, stage: str, source: str, target: str, **environment: str) -> int:
    command = [sys.executable, "-m", "isobench_runner", stage, "--in", str(root / source), "--out", str(root / target)]
    return subprocess.run(
        command, env={**os.environ, **environment}, check=False, capture_output=True, timeout=60
    ).returncode


@pytest.mark.slow
def test_the_containers_of_a_collection_as_they_are_started_leave_their_log(tmp_path: Path) -> None:
    out = write_run_folder(tmp_path / "out", CASES)
    root = tmp_path / "root"
    shutil.copytree(out / "status", root / "status")
    asked = CollectRequest(commit="all", nonce="n", repository_url="", repository="", dataset="all", files=())
    environment = {
        "ISOBENCH_REQUEST": asked.to_json(), "ISOBENCH_STORE": str(out / "artifacts"), "ISOBENCH_JOB": "all-collect",
        "ISOBENCH_TERMINATION": str(tmp_path / "message"), "ISOBENCH_DATASET": str(tmp_path),
    }  # fmt: skip
    for stage, source, target in (("list", "status", "in"), ("collect", "in", "out"), ("report", "", "report")):
        assert started(root, stage, source, target, **environment) == 0
    text = stored(Store(out / "artifacts"), "all-collect")
    assert "list: for all, attempt 1" in text
    assert "cryptography-build: no record: InstallFailed" in text
    assert text.endswith("report: Succeeded: 7 records of 9 Commits in all; 2 gave none\n")


@pytest.mark.slow
def test_a_stage_that_failed_before_it_did_anything_leaves_its_log_too(tmp_path: Path) -> None:
    asked = PrepareRequest(
        commit="c", nonce="n", repository_url=str(tmp_path / "nowhere"), repository="o/r", role="head", head="1" * 40
    )
    environment = {
        "ISOBENCH_REQUEST": asked.to_json(), "ISOBENCH_STORE": str(tmp_path / "store"), "ISOBENCH_JOB": "c-prepare-head",
        "ISOBENCH_TERMINATION": str(tmp_path / "message"), "ISOBENCH_MIRRORS": str(tmp_path / "mirrors"), "ISOBENCH_ENVS": str(tmp_path / "envs"),
    }  # fmt: skip
    assert started(tmp_path, "fetch", "inputs", "in", **environment) == 0
    assert started(tmp_path, "report", "", "report", **environment) != 0
    text = stored(Store(tmp_path / "store"), "c-prepare-head")
    reason = text.rpartition("report: ")[2].partition(":")[0]
    assert Reason(reason)
    assert f"fetch: {reason}: " in text
