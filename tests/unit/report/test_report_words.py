"""What the report says of a Commit, in sentences."""

# ruff: noqa: RUF001 - the page's own typography

import pytest

from isobench_operator.reporting import words
from isobench_operator.reporting.folder import CommitRun
from isobench_runner.contract import EXPLANATIONS, Reason
from isobench_runner.store import Store
from support.run_folder import CASES, Case, commit_document


def a_run(status=None, spec=None, **fields):
    return CommitRun("c", spec or {}, status or {}, **fields)


def judged(verdict, speedup, ci95=("0.9", "1.2")):
    conditions = [{"type": kind, "status": "True"} for kind in ("Finished", "Succeeded")]
    return a_run(
        {
            "conditions": conditions,
            "result": {"verdict": verdict, "speedup": speedup, "ci95": list(ci95) if ci95 else None},
        }
    )


@pytest.mark.parametrize(
    ("verdict", "speedup", "ends", "sentence"),
    [
        ("faster", "1.84", ("1.79", "1.90"), "head is 1.84× faster than base (95 % interval 1.79–1.90)."),
        ("slower", "0.5", ("0.4", "0.8"), "head is 2.00× slower than base (95 % interval 1.25–2.50)."),
        ("negligible", "1.013", ("1.010", "1.016"), "head differs from base by 1.3 %, which is real but less than the 2 % that counts (95 % interval 1.010–1.016)."),
        ("no_change", "1.001", ("0.995", "1.006"), "head takes as long as base: 1.001×, and a difference that counts is ruled out (95 % interval 0.995–1.006)."),
        ("inconclusive", "1.1", ("0.8", "1.4"), "Too noisy to tell: 1.10× (95 % interval 0.80–1.40)."),
        ("inconclusive", "1.1", None, "Too noisy to tell: 1.10× (too few rounds for an interval)."),
    ],
)  # fmt: skip
def test_a_verdict_is_one_plain_sentence(verdict, speedup, ends, sentence):
    assert words.sentence(judged(verdict, speedup, ends)) == sentence


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_has_its_meaning_in_the_sentence(reason):
    conditions = [
        {"type": "Finished", "status": "True"},
        {"type": "Succeeded", "status": "False", "reason": reason.value},
    ]
    assert words.sentence(a_run({"conditions": conditions})) == f"No verdict: {EXPLANATIONS[reason].meaning}"


def test_a_commit_that_has_not_finished_says_so():
    assert words.outcome(a_run()) == "pending"
    assert words.sentence(a_run()).startswith("Not finished")


@pytest.mark.parametrize("verdict", ["invalid", "unheard_of", None])
def test_a_verdict_that_is_none_is_no_verdict(verdict):
    assert words.outcome(judged(verdict, "2")) == "failed"


def test_a_document_that_cannot_be_read_is_told():
    commit = a_run(error="commit-x.yaml cannot be read: tab")
    assert words.outcome(commit) == "failed"
    assert words.failure(commit) == ("InputInvalid", "commit-x.yaml cannot be read: tab")


def test_the_longest_evidence_is_the_one_shown():
    commit = a_run(
        {"conditions": [{"type": "Succeeded", "status": "False", "reason": "TestFailed", "message": "…Error"}]}
    )
    commit.evidence["base"] = {"tail": "Traceback\nValueError"}
    assert words.failure(commit) == ("TestFailed", "Traceback\nValueError")


@pytest.mark.parametrize(
    ("value", "text"),
    [(1.84, "1.84"), (1.0134, "1.013"), (0.9996, "1.000"), (12.34, "12.3"), (187.2, "187"), (0.51, "0.51")],
)
def test_a_ratio_has_the_digits_that_it_deserves(value, text):
    assert words.factor(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.0004, "400 ns"), (0.38, "380 µs"), (6.314, "6.31 ms"), (1240, "1.24 s")]
)
def test_a_time_has_its_unit(value, text):
    assert words.milliseconds(value) == text


def test_running_without_isolation_is_a_warning_and_with_it_is_none(tmp_path):
    store = Store(tmp_path)

    def warned(case):
        document = commit_document(case, store)
        commit = CommitRun("c", document["spec"], document["status"])
        commit.results["head"] = store.get_json(commit.revisions["head"]["result"])
        return any("isolation: none" in line for line in words.warnings(commit))

    assert warned(Case(name="a", subject="a", speedup=2, isolation="none"))
    assert not warned(CASES[0])
