"""Each policy as a table: what is known, what comes, what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from isobench_operator.core.observed import Outcome
from isobench_operator.core.plan import Observed, decide
from isobench_operator.core.policies import (
    collecting,
    conditions,
    deadlines,
    generation,
    measuring,
    prepare,
    repairs,
    retries,
    verdict,
)
from isobench_operator.core.progress import STAGES, Progress, Script, Stage
from isobench_operator.core.settings import PodSettings
from isobench_operator.core.terms import Terms
from isobench_runner.contract import EXPLANATIONS, Reason, Retry
from support.builders import BASE, HEAD, MAIN, NOW, SETTINGS, commit, digest, measured, prepared, written

DONE = Stage(state="Succeeded")
GENERATED = Terms(generated=True)
GIVEN = Terms()


def progress(*succeeded: str, test: Script | None = None, **stages: Stage) -> Progress:
    """Progress with stages done, and others as they are given (`prepare_main` for prepare-main)."""
    named = {name.replace("_", "-"): stage for name, stage in stages.items()}
    return Progress(stages=dict.fromkeys(succeeded, DONE) | named, test=test or Script())


READY = ("prepare-base", "prepare-head", "prepare-main")
TEST = Script(digest=digest("test"), origin="given")
WRITTEN = Script(digest=digest("test"), origin="generated", model="m")


@pytest.mark.parametrize(
    ("known", "terms", "stages"),
    [
        pytest.param(progress(), GIVEN, ("prepare-base", "prepare-head", "prepare-main"), id="first sight"),
        pytest.param(progress(), GENERATED, (*READY, "generate"), id="the model writes beside the builds"),
        pytest.param(progress(), Terms(main=False), ("prepare-base", "prepare-head"), id="main is left out"),
        pytest.param(progress("prepare-head", test=TEST), GIVEN, ("prepare-base", "prepare-main"), id="base is not there"),
        pytest.param(progress("prepare-base", "prepare-head", test=TEST), GIVEN, ("prepare-main", "base"), id="main late"),
        pytest.param(progress(*READY), GENERATED, ("generate",), id="no test yet"),
        pytest.param(
            progress(*READY, test=WRITTEN, generate=Stage(attempt=2)), GENERATED, ("generate",), id="a repair is asked for"
        ),
        pytest.param(progress(*READY, "generate", test=WRITTEN), GENERATED, ("base",), id="validate alone"),
        pytest.param(progress(*READY, "base", test=TEST), GIVEN, ("head", "main"), id="both beside each other"),
        pytest.param(
            progress("prepare-base", "prepare-head", "base", test=TEST, prepare_main=Stage(state="Failed")),
            GIVEN, ("head",), id="main cannot be built",
        ),
        pytest.param(progress(*READY, "base", "head", "main", test=TEST), GIVEN, (), id="all is there"),
    ],
)  # fmt: skip
def test_what_may_run_now(known: Progress, terms: Terms, stages: tuple[str, ...]) -> None:
    assert measuring.wanted(known, terms) == stages


@pytest.mark.parametrize(
    ("shas", "main", "reason"),
    [
        ({"main": HEAD, "head": HEAD}, MAIN, "SameAsHead"),
        ({"main": BASE, "base": BASE, "head": HEAD}, MAIN, "SameAsBase"),
        ({"main": MAIN, "base": BASE, "head": HEAD}, MAIN, None),
        ({"main": HEAD}, MAIN, None),
    ],
)
def test_main_is_settled_by_its_sha(shas: dict[str, str], main: str, reason: str | None) -> None:
    known = Progress(revisions={name: {"sha": sha} for name, sha in shas.items()})
    assert prepare.settle_main(known, GIVEN).revision("main").get("reason") == reason


def test_a_main_named_as_head_gets_its_sha_when_head_has_one() -> None:
    terms = Terms(same_as="head")
    early = prepare.settle_main(Progress(), terms)
    assert dict(early.revision("main")) == {"reason": "SameAsHead"}
    later = prepare.settle_main(early.with_revision("head", {"sha": HEAD}), terms)
    assert later.revision("main")["sha"] == HEAD
    assert prepare.settle_main(later, terms) == later


@pytest.mark.parametrize("field", ["sha", "environment", "key", "inputs", "test"])
def test_a_report_of_prepare_that_lacks_a_field_is_none(field: str) -> None:
    data = prepared("head")
    del data[field]
    stage = prepare.fold(Progress(), "head", Outcome(reason=None, data=data), generated=False).stage("prepare-head")
    assert (stage.state, stage.reason) == ("Failed", Reason.REPORT_MISSING)
    assert field in stage.message


def test_a_main_whose_build_failed_keeps_the_sha_that_was_resolved() -> None:
    failed = Outcome(reason=Reason.INSTALL_FAILED, data={"sha": MAIN}, tail="no compiler")
    known = prepare.fold(Progress(), "main", failed, generated=False)
    assert dict(known.revision("main")) == {"sha": MAIN, "reason": "InstallFailed"}
    assert known.stage("prepare-main").message == "no compiler"


@pytest.mark.parametrize(("used", "left"), [((0, 0), (2, 2)), ((1, 2), (1, 0)), ((5, 5), (0, 0))])
def test_what_is_left_to_ask(used: tuple[int, int], left: tuple[int, int]) -> None:
    known = Progress(test=Script(regenerate=used[0], repair=used[1]))
    assert generation.allowance(known, GENERATED) == left


def test_a_generation_that_failed_is_paid_for_and_kept() -> None:
    data = {key: value for key, value in written().items() if key != "test"}
    known = generation.fold(
        Progress(), Outcome(reason=Reason.TEST_TRIVIAL, data={**data, "regenerate": "2"}, tail="pass")
    )
    assert known.stage("generate").reason is Reason.TEST_TRIVIAL
    assert known.artifacts == {"generation": digest("attempts 1")}
    assert str(known.usage.usd) == "0.0125"
    assert known.test.regenerate == 2


REPAIRED = [
    reason for reason in Reason if EXPLANATIONS[reason].retry is Retry.REPAIR and reason is not Reason.LOW_SHARE
]


@pytest.mark.parametrize("reason", Reason)
def test_only_reasons_of_the_test_are_repaired(reason: Reason) -> None:
    known = progress(*READY, "generate", test=WRITTEN)
    repaired = repairs.repair(known, Outcome(reason=reason, data={"evidence": "e"}), GENERATED)
    assert (repaired is not None) == (reason in REPAIRED or reason is Reason.LOW_SHARE)
    if repaired is not None:
        assert repaired.stage("generate") == repaired.stage("base") == Stage(attempt=2)


@pytest.mark.parametrize(
    ("test", "execute", "repaired"),
    [
        (WRITTEN, 2, True),
        (replace(WRITTEN, execute=2), 2, False),
        (WRITTEN, 0, False),
        (replace(WRITTEN, origin="given"), 2, False),
    ],
)
def test_a_fallen_test_is_repaired_within_its_bound(test: Script, execute: int, repaired: bool) -> None:
    found = repairs.repair(
        progress(test=test), Outcome(reason=Reason.TEST_FAILED), Terms(generated=True, execute=execute)
    )
    assert (found is not None) == repaired


@pytest.mark.parametrize(
    ("share", "first", "lower"),
    [("0.1", "0.15", True), ("0.15", "0.15", False), ("0.3", "0.1", False), (None, "0.1", False), ("0.1", None, False), ("x", "0.1", False)],
)  # fmt: skip
def test_a_share_is_lower_only_where_both_are_known(share: str | None, first: str | None, lower: bool) -> None:
    assert repairs.is_lower(share, first) is lower


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({}, None),
        ({"flags": ["short_sample"]}, None),
        ({"flags": ["short_sample", "lazy_result"]}, Reason.LAZY_RESULT),
        ({"equivalent": False}, Reason.NOT_EQUIVALENT),
        ({"equivalent": None}, None),
        ({"verdict": "incomparable"}, Reason.INCOMPARABLE),
        ({"verdict": "invalid"}, Reason.RESULT_INVALID),
        ({"verdict": "marvellous"}, Reason.REPORT_MISSING),
        ({"result": None}, Reason.REPORT_MISSING),
    ],
)
def test_which_reports_have_a_number(change: dict[str, Any], reason: Reason | None) -> None:
    found = verdict.unusable({**measured("head"), **change})
    assert (found[0] if found else None) == reason


@pytest.mark.parametrize(("word", "camel"), list(verdict.VERDICTS.items()))
def test_every_verdict_has_its_word_in_the_conditions(word: str, camel: str) -> None:
    known = progress(*READY, "base", "head", "main", test=TEST)
    known = replace(known, result=verdict.result({}, measured("head", verdict=word)))
    found = {
        one.type: one
        for one in conditions.observations(known, GIVEN, ended=conditions.end(known, GIVEN), suspended=False)
    }
    assert (found["Succeeded"].status, found["Succeeded"].reason) == ("True", camel)
    assert found["Finished"].status == "True"


@pytest.mark.parametrize(
    ("known", "reason"),
    [
        (progress(), "Preparing"),
        (progress(*READY), "Generating"),
        (progress(*READY, "generate", test=WRITTEN), "Validating"),
        (progress(*READY, "generate", "base", test=WRITTEN), "Measuring"),
    ],
)
def test_the_summary_tells_the_step(known: Progress, reason: str) -> None:
    found = {one.type: one for one in conditions.observations(known, GENERATED, ended=None, suspended=False)}
    assert (found["Succeeded"].status, found["Succeeded"].reason) == ("Unknown", reason)
    assert tuple(found) == conditions.TYPES


def test_reopening_keeps_outputs_and_never_uses_an_attempt_twice() -> None:
    out_of_memory = Stage(attempt=2, incomparable=1).failed(Reason.OUT_OF_MEMORY, "killed")
    known = progress(*READY, "base", test=TEST, head=out_of_memory, main=Stage(state="Cancelled"))
    known = known.with_revision("head", {"sha": HEAD, "reason": "OutOfMemory"})
    again = retries.reopen(known, GIVEN, annotation="1")
    assert again.stage("head") == Stage(attempt=3)
    assert again.stage("main") == Stage(attempt=2)
    assert again.succeeded("base")
    assert dict(again.revision("head")) == {"sha": HEAD}
    assert again.test.digest == TEST.digest


def test_reopening_what_succeeded_changes_nothing_but_the_word() -> None:
    known = progress(*READY, "base", "head", "main", test=TEST)
    assert retries.reopen(known, GIVEN, annotation="1") == replace(known, retry="1")


@pytest.mark.parametrize("seconds", [60, 600, 3600, 86400])
def test_the_harness_gives_up_before_its_pod(seconds: int) -> None:
    found = deadlines.measure(seconds, settings=PodSettings(backoff_limit=2))
    assert seconds < found.pod < found.job


def test_progress_survives_status() -> None:
    fallen = repairs.repair(
        progress(*READY, "generate", test=WRITTEN),
        Outcome(reason=Reason.LOW_SHARE, data={"evidence": digest("e")}),
        GENERATED,
    )
    assert fallen is not None
    known = fallen.with_revision("head", {"sha": HEAD}).with_stage("main", Stage().failed(Reason.EVICTED, "x" * 5000))
    known = replace(known, usage=known.usage.plus(written()["usage"], gpu_seconds=1.25), result={"verdict": "faster"})
    assert Progress.from_status(known.to_status()) == known
    assert [one["name"] for one in known.to_status()["stages"]] == [name for name in STAGES if name in known.stages]


def finished(name: str, **status: Any) -> dict[str, Any]:
    """A Commit that has ended."""
    ended = {"type": "Finished", "status": "True", "lastTransitionTime": "2026-01-02T03:00:00Z"}
    return {**commit(name), "status": {"conditions": [ended], **status}}


def test_a_dataset_selects_by_labels_and_namespace() -> None:
    mine, other = commit("a", labels={"suite": "x", "more": "y"}), commit("b")
    elsewhere = commit("c", labels={"suite": "x"})
    elsewhere["metadata"]["namespace"] = "elsewhere"
    assert collecting.select([other, mine, elsewhere], {"suite": "x"}, namespace="bench") == (mine,)
    assert len(collecting.select([other, mine, elsewhere], {}, namespace="bench")) == 2


def test_what_ended_long_enough_ago_is_settled() -> None:
    now = datetime(2026, 1, 2, 3, 0, 10, tzinfo=UTC)
    commits = [finished("a"), commit("b")]
    assert collecting.settled(commits, now=now, settle=10) == (commits[0],)
    assert collecting.settled(commits, now=now, settle=11) == ()
    assert collecting.through(commits) == "2026-01-02T03:00:00Z"
    assert collecting.through([commit("b")]) is None


def test_content_changes_with_results_and_not_with_conditions_times() -> None:
    one = finished("a", result={"speedup": "1.2"})
    assert collecting.content([one], {}) != collecting.content([finished("a", result={"speedup": "1.3"})], {})
    assert collecting.content([one], {}) != collecting.content([one], {"views": ["gso"]})
    later = finished("a", result={"speedup": "1.2"})
    later["status"]["conditions"][0]["lastTransitionTime"] = "2027-01-01T00:00:00Z"
    assert collecting.content([one], {}) == collecting.content([later], {})


def test_jobs_in_a_namespace_that_is_no_longer_prepared_are_let_run_out() -> None:
    owner = commit()
    jobs = tuple(decide(Observed(owner=owner), NOW, SETTINGS).create)
    assert jobs
    elsewhere = replace(SETTINGS, namespaces=frozenset({"another"}))
    plan = decide(Observed(owner=owner, jobs=jobs), NOW, elsewhere)
    assert plan.delete == ()
    assert plan.status is not None
    words = {one["type"]: (one["status"], one["reason"]) for one in plan.status["conditions"]}
    assert words["Accepted"] == ("False", "NamespaceNotPrepared")
    again = decide(Observed(owner={**owner, "status": plan.status}, jobs=jobs), NOW, elsewhere)
    assert again.finished
    assert again.delete == ()
