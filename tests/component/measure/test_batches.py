"""`isobench run` over a batch in which one Commit is sound and the others' tests misbehave, each in a way of its own.

A misbehaving test is the typed failure of its own Commit, with what it did as evidence; the sound one beside it becomes a record. More
ways to misbehave are in test_hostile, as Jobs alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from support.tiny import SCRIPT, Tiny

pytestmark = [pytest.mark.slow, pytest.mark.index]

CALL = 'return [work(value) for value in data["values"]]'
MISBEHAVE = {
    "floods": ("import sys; sys.stdout.write('y' * 3_000_000); raise ValueError('after megabytes')", "TestFailed", "after megabytes"),
    "hangs-up": ("import os; os.close(1); os.close(2); os.closerange(3, 100)", "WorkerCrashed", "exit code 9"),
    "patches": ("import time; time.perf_counter = lambda: 0.0", "PatchedTimer", "time.perf_counter"),
    "leaves": ("import os; os._exit(0)", "TestSkipped", "exit code 0 and without a result"),
}  # fmt: skip


def test_each_misbehaving_test_fails_alone_with_its_evidence_and_the_sound_one_succeeds(tmp_path: Path) -> None:
    tiny = Tiny.create(tmp_path)
    measured = {"budgetSeconds": 60, "minimumEffectPercent": "10", "revisions": ["base", "head"]}
    for name, (body, _, _) in MISBEHAVE.items():
        tiny.commit(
            name, script=SCRIPT.replace(CALL, f"{body}\n    {CALL}"), measurement={**measured, "budgetSeconds": 4}
        )
    tiny.commit("sound", measurement=measured)
    code, printed = tiny.run(cache=tmp_path / "cache")
    assert code == 3, printed
    assert tiny.reason("sound") == "Faster", printed
    assert [record["verdict"] for record in tiny.records()] == ["faster"]
    for name, (_, reason, evidence) in MISBEHAVE.items():
        status = tiny.status(name)
        told = next(one for one in status["conditions"] if one["type"] == "Succeeded")
        assert (told["status"], told["reason"]) == ("False", reason), f"{name}: {told}"
        assert evidence in told["message"], f"{name}: {told['message']}"
        assert "speedup" not in status.get("result", {})
