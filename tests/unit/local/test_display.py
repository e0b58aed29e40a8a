"""What a person reads of a run: one sentence per resource, one line per change."""

from __future__ import annotations

from typing import Any

import pytest

from isobench_operator.local.display import Lines, finished, sentence, succeeded


def commit(status: str, reason: str, message: str = "", **result: Any) -> dict[str, Any]:
    conditions = [{"type": "Succeeded", "status": status, "reason": reason, "message": message}]
    if status != "Unknown":
        conditions.append({"type": "Finished", "status": "True", "reason": reason, "message": ""})
    return {"kind": "Commit", "metadata": {"name": "c"}, "status": {"conditions": conditions, "result": result}}


@pytest.mark.parametrize(
    ("resource", "text"),
    [
        ({"kind": "Commit", "metadata": {"name": "c"}}, "Pending"),
        (commit("Unknown", "Preparing"), "Preparing"),
        (
            commit("True", "NoChange", verdict="no_change", speedup="1.001", ci95=["0.99", "1.01"]),
            "no change: 1.001x [0.99, 1.01]",
        ),
        (commit("True", "Inconclusive", verdict="inconclusive", speedup="1.2"), "inconclusive: 1.2x"),
        (
            commit(
                "False", "BehaviourChanged", 'head: Traceback (most recent call last):\n  File "x"\nValueError: no\n'
            ),
            "BehaviourChanged: head: ValueError: no",
        ),
        (
            commit(
                "False", "TestFailed", 'base: …all last):\n  File "x", line 1\n    f()\nKeyError: 1\n(while handling 2)'
            ),
            "TestFailed: base: KeyError: 1",
        ),
        (commit("False", "InstallFailed", "one line"), "InstallFailed: one line"),
    ],
)
def test_a_sentence_says_where_a_commit_stands(resource: dict[str, Any], text: str) -> None:
    assert sentence(resource) == text


def test_only_what_has_ended_is_finished_and_only_what_is_true_succeeded() -> None:
    states = [commit("Unknown", "Preparing"), commit("True", "Faster"), commit("False", "TestFailed")]
    assert [(finished(one), succeeded(one)) for one in states] == [(False, False), (True, True), (True, False)]


def test_a_line_is_printed_per_change_and_not_per_look(capsys: pytest.CaptureFixture[str]) -> None:
    times = iter([0.0, 1.5, 2.5])
    lines = Lines(clock=lambda: next(times))
    for reason in ("Preparing", "Preparing", "Measuring"):
        lines.show(commit("Unknown", reason))
    printed = capsys.readouterr().out.splitlines()
    assert [line.split() for line in printed] == [
        ["1.5", "s", "commit/c", "Preparing"],
        ["2.5", "s", "commit/c", "Measuring"],
    ]
