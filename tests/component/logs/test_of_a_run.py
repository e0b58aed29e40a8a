"""Every stage of a whole run leaves its log in the store, of a Commit that went well, of one that failed, and of one whose test a model wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from isobench_operator.cli import cli
from support.fake_llm import Fail, FakeLLM
from support.tiny import SCRIPT, Tiny

pytestmark = [pytest.mark.slow, pytest.mark.index]
KEY = "sk-canary-hunter2"
LOUD = SCRIPT.replace("return [work", "print('loud'); return [work")


def asked(tmp_path: Path, name: str, stage: str) -> Result:
    return CliRunner().invoke(cli, ["logs", name, stage, "--out", str(tmp_path / "out")])


def logs(tmp_path: Path, name: str, stage: str) -> str:
    done = asked(tmp_path, name, stage)
    assert done.exit_code == 0, done.output
    return done.stdout


def first_of(tmp_path: Path, name: str, *stages: str) -> str:
    """Of stages that run beside each other: the first that fails ends the Commit, and the others with it."""
    return next(done.stdout for done in (asked(tmp_path, name, stage) for stage in stages) if done.exit_code == 0)


def test_the_logs_of_a_run_outlive_its_jobs_and_hold_no_key(tmp_path: Path) -> None:
    tiny = Tiny.create(tmp_path)
    quick = {"budgetSeconds": 4, "minimumEffectPercent": "10", "revisions": ["base", "head"]}
    tiny.commit("good", script=LOUD, measurement=quick)
    tiny.commit("bad", measurement=quick, environment={"package": "tinywork", "install": ["echo no compiler; exit 3"]})
    with FakeLLM([Fail(status=401, message=f"the key {KEY} is not known here")]) as llm:
        model = {"provider": "openai", "model": "m", "baseURL": llm.url, "env": "CANARY_KEY"}
        tiny.commit("refused", script=None, measurement=quick, test={"generate": {"models": [model]}})
        code, printed = tiny.run("--isolation", "none", cache=tmp_path / "cache", env={"CANARY_KEY": KEY})
    assert code == 3, printed
    live = {stage: logs(tmp_path, "good", stage) for stage in ("prepare-base", "prepare-head", "base", "head")}
    shutil.rmtree(tmp_path / "out" / "jobs")
    for stage, text in live.items():
        kept = logs(tmp_path, "good", stage)
        assert [line for line in kept.splitlines() if not line.startswith("==> ")] == [
            line for line in text.splitlines() if not line.startswith("==> ")
        ]
        assert kept.endswith("report: Succeeded\n")
    assert "base | loud\n" in logs(tmp_path, "good", "head")
    failed = first_of(tmp_path, "bad", "prepare-head", "prepare-base")
    assert "$ install 1/1: echo no compiler; exit 3\nno compiler\n" in failed
    assert "report: InstallFailed: " in failed
    refused = logs(tmp_path, "refused", "generate")
    assert "generate: ModelKeyRejected: " in refused
    assert KEY not in refused
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert logs(tmp_path, "dataset/dataset", "collect").endswith("2 gave none\n")
