"""`isobench run` as its user sees it: real processes, real builds, real measuring."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from support.fake_llm import FakeLLM, Say
from support.tiny import SCRIPT, UNITS, Tiny

pytestmark = [pytest.mark.slow, pytest.mark.index]

BROKEN_IMPORT = SCRIPT.replace("from tinywork import work", "from tinywork.elsewhere import work")


def fenced(source: str) -> str:
    return f"Here it is:\n\n```python\n{source}```\n"


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def test_a_commit_with_a_given_script_becomes_a_record_and_a_report(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.commit(record={"api": "tinywork.work", "notes": "small"})
    code, printed = tiny.run(cache=cache)
    assert code == 0, printed
    assert tiny.reason() == "Faster"
    (record,) = tiny.records()
    assert record["instance_id"] == "local__repo-PR-12"
    assert (record["base_commit"], record["head_commit"]) == (tiny.base, tiny.head)
    assert record["verdict"] == "faster"
    assert float(record["speedup"]) > 1.1
    times = record["duration_changes"][0]
    mean = (sum(times["base"]) / len(times["base"])) / (sum(times["head"]) / len(times["head"]))
    assert float(record["human_performance"]) == pytest.approx(mean, rel=1e-12)
    assert "work" in (tmp_path / "out" / "report.html").read_text()
    assert (tmp_path / "out" / "dataset.parquet").stat().st_size > 0


def test_the_same_command_again_runs_nothing_twice(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.commit()
    assert tiny.run(cache=cache)[0] == 0
    jobs = sorted(path.name for path in (tmp_path / "out" / "jobs").iterdir())
    dataset = (tmp_path / "out" / "dataset.jsonl").read_bytes()
    started = time.monotonic()
    code, printed = tiny.run(cache=cache)
    assert code == 0, printed
    assert sorted(path.name for path in (tmp_path / "out" / "jobs").iterdir()) == jobs
    assert (tmp_path / "out" / "dataset.jsonl").read_bytes() == dataset
    assert time.monotonic() - started < 20


def test_a_generated_test_that_falls_on_base_is_repaired_by_its_traceback(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    with FakeLLM([Say(text=fenced(BROKEN_IMPORT)), Say(text=fenced(SCRIPT))]) as server:
        model = {"provider": "openai", "model": "fake", "baseURL": server.url, "env": "TINY_KEY"}
        tiny.commit(script=None, test={"generate": {"models": [model]}})
        code, printed = tiny.run(cache=cache, env={"TINY_KEY": "sk-canary-0123456789"})
        prompts = [str(request.body) for request in server.received]
    assert code == 0, printed
    assert tiny.reason() == "Faster"
    assert len(prompts) == 2
    assert "tinywork.elsewhere" in prompts[1]
    assert "No module named" in prompts[1]
    status = tiny.status()
    assert status["test"]["origin"] == "generated"
    assert status["usage"]["promptTokens"] > 0
    found = [path for path in (tmp_path / "out").rglob("*") if path.is_file() and b"sk-canary" in path.read_bytes()]
    assert found == []


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.commit()
    for stage in ("prepare-base", "prepare-head", "base", "head", "collect"):
        process = tiny.start(cache=cache)

        def begun(stage: str = stage) -> bool:
            folder = tmp_path / "out" / "jobs"
            return folder.exists() and any(f"-{stage}-" in path.name for path in folder.iterdir())

        wait_for(lambda: begun() or process.poll() is not None)  # noqa: B023
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    code, printed = tiny.run(cache=cache)
    assert code == 0, printed
    assert len(tiny.records()) == 1
    assert tiny.reason() == "Faster"


def test_an_interrupt_ends_with_130_and_can_be_resumed(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.commit()
    process = tiny.start(cache=cache)
    wait_for((tmp_path / "out" / "jobs").exists)
    process.send_signal(signal.SIGINT)
    printed = "".join(process.communicate(timeout=60))
    assert process.returncode == 130, printed
    assert "goes on from here" in printed
    assert tiny.run(cache=cache)[0] == 0


def test_two_runs_on_one_folder_are_told_apart(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.commit()
    first = tiny.start(cache=cache)
    wait_for((tmp_path / "out" / "jobs").exists)
    code, printed = tiny.run(cache=cache)
    assert code == 2, printed
    assert str(first.pid) in printed
    first.communicate(timeout=280)
    assert first.returncode == 0


def test_a_changed_spec_is_refused_by_name(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    document = tiny.commit()
    assert tiny.run(cache=cache)[0] == 0
    document["spec"]["measurement"]["budgetSeconds"] = 7
    code, printed = tiny.run(cache=cache)
    assert code == 2
    assert "spec.measurement" in printed


def test_head_that_raises_is_a_finding_and_never_a_number(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path, head_body="    if value:\n        raise ValueError('no longer')\n")
    tiny.commit()
    tiny.commit("good", head=tiny.base, base=tiny.head)
    code, printed = tiny.run(cache=cache)
    assert code == 3, printed
    assert tiny.reason() == "BehaviourChanged"
    assert "speedup" not in tiny.status().get("result", {})
    assert tiny.records() == []


def test_a_main_that_cannot_be_measured_never_fails_the_commit(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.repository.commit({"tinywork/__init__.py": None, "renamed/__init__.py": "x = 1\n"}, "Rename")
    tiny.commit()
    code, printed = tiny.run(cache=cache)
    assert code == 0, printed
    (main,) = [revision for revision in tiny.status()["revisions"] if revision["name"] == "main"]
    assert main["reason"] == "PackageNotFound"
    assert tiny.records()[0]["duration_changes"][0]["main"] == []


def test_commits_on_the_same_revisions_share_their_environments(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path, base_units=UNITS + 1)
    tiny.commit("one")
    tiny.commit("two", script=SCRIPT + "\n# another\n")
    code, printed = tiny.run(cache=cache)
    assert code == 0, printed
    one, two = (
        {revision["name"]: revision["key"] for revision in tiny.status(name)["revisions"]} for name in ("one", "two")
    )
    assert one == two
    assert len(tiny.records()) == 2


def test_without_a_sandbox_the_record_says_so_and_a_key_is_refused(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.commit()
    code, printed = tiny.run("--isolation", "none", cache=cache)
    assert code == 0, printed
    assert "without a sandbox" in printed
    assert tiny.records()[0]["isolation"] == "none"


def test_bad_input_starts_nothing(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    document = tiny.commit()
    document["spec"]["haed"] = document["spec"].pop("head")
    document["spec"]["measurement"]["budgetSeconds"] = -3
    code, printed = tiny.run(cache=cache)
    assert code == 2
    assert "spec.haed" in printed
    assert "head" in printed
    assert "spec.measurement.budgetSeconds" in printed
    assert "-3" in printed
    assert "Nothing was started" in printed
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.commit()
    (tmp_path / "out").write_text("a file is in the way")
    code, printed = tiny.run(cache=cache)
    assert code == 2
    assert "Traceback" not in printed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a disk small enough to fill")
def test_a_full_disk_stops_the_run_in_words_and_loses_nothing(tmp_path: Path, cache: Path) -> None:
    tiny = Tiny.create(tmp_path)
    tiny.commit()
    (tmp_path / "out").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(tmp_path / "out")], check=True)
    try:
        code, printed = tiny.run(cache=cache)
        assert code == 130, printed
        assert "No space left" in printed
        assert "Traceback" not in printed
        subprocess.run(["mount", "-o", "remount,size=64m", str(tmp_path / "out")], check=True)
        code, printed = tiny.run(cache=cache)
        assert code == 0, printed
        assert len(tiny.records()) == 1
    finally:
        subprocess.run(["umount", "--lazy", str(tmp_path / "out")], check=True)
