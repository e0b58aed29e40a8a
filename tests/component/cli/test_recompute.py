"""`isobench recompute`: agrees with a folder as it was left, and says what was changed in one that was not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from isobench_operator.cli import cli
from support.run_folder import CASES, write_run_folder

MEASURED = [case for case in CASES if case.reason is None]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run_folder(tmp_path_factory.mktemp("recompute") / "out")


def invoke(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["recompute", *map(str, arguments)])
    return done.exit_code, done.output


def test_every_result_of_a_folder_agrees_with_its_samples(folder: Path) -> None:
    code, said = invoke(folder)
    assert code == 0, said
    assert said.count("agrees ") == 2 * len(MEASURED) + sum(case.main == "measured" for case in MEASURED)
    for case in MEASURED:
        assert case.name in said


def test_one_commit_is_told_alone_and_an_unknown_one_is_refused(folder: Path) -> None:
    code, said = invoke(folder, MEASURED[0].name)
    assert code == 0
    assert MEASURED[1].name not in said
    code, said = invoke(folder, "not-there")
    assert code == 2
    assert "has no Commit 'not-there'" in said


def test_a_readers_rule_is_told_beside_the_written_one_and_is_no_difference(folder: Path) -> None:
    code, said = invoke(folder, "packaging-specifier-cache", "--minimum-effect", "30", "--alpha", "0.05", "-o", "json")
    assert code == 0
    head = next(row for row in json.loads(said) if row["revision"] == "head")
    assert (head["recomputed"]["verdict"], head["by_rule"]["verdict"]) == ("faster", "negligible")
    assert head["by_rule"]["level"] == 0.95


def test_a_verdict_that_was_written_over_is_found(tmp_path: Path) -> None:
    folder = write_run_folder(tmp_path / "out", CASES[:1])
    path = next((folder / "status").glob("commit-*.yaml"))
    body = yaml.safe_load(path.read_text())
    body["status"]["result"]["verdict"] = "slower"
    path.write_text(yaml.safe_dump(body))
    code, said = invoke(folder)
    assert code == 1
    assert "status.result.verdict: written 'slower', the samples give 'faster'" in said


def test_artifacts_that_are_gone_are_a_difference(tmp_path: Path) -> None:
    folder = write_run_folder(tmp_path / "out", CASES[:1])
    for path in (folder / "artifacts" / "sha256").rglob("*"):
        if path.is_file():
            path.unlink()
    code, said = invoke(folder)
    assert code == 1
    assert "not in the store" in said


def test_a_folder_that_was_never_run_is_bad_input(tmp_path: Path) -> None:
    code, said = invoke(tmp_path)
    assert code == 2
    assert "isobench run" in said
