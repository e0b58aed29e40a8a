"""A Commit from its first sight to its end: decisions, manifests, requests and messages together, over a cluster in memory."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from isobench_operator.api.commit_status import CommitStatus
from isobench_operator.cluster.ports import ClusterError, Key, Rejected
from isobench_operator.control.reconciler import Reconciler
from isobench_operator.core.plan import Plan
from isobench_runner.contract import Reason
from support.builders import BASE, HEAD, MAIN, NOW, SETTINGS, commit, digest, generated, measured, prepared, written
from support.fake_cluster import FakeCluster, Killed, Said, Sent, request_of
from support.stories import Story, said

KEY = Key("Commit", "bench", "speedup-1")


async def drive(cluster: FakeCluster, key: Key = KEY, *, settings: Any = SETTINGS) -> list[Plan]:
    """Passes until nothing is left to do, by a new reconciler each time: nothing may live in its memory."""
    plans: list[Plan] = []
    for _ in range(40):
        done = await Reconciler(cluster, settings, clock=lambda: NOW).reconcile(key)
        plans.append(done.plan)
        if done.plan.status is None and not (done.plan.create or done.plan.delete or done.plan.suspend):
            return plans
    pytest.fail("the Commit does not come to rest")


def failed(reason: Reason, **data: Any) -> Said:
    """A failure with its evidence."""
    return Said(reason=reason, data={"evidence": digest(reason.value), **data}, tail=f"words about {reason.value}")


def assert_small_and_valid(cluster: FakeCluster, key: Key = KEY) -> None:
    """Every status fits the schema and the size of a custom resource."""
    status = cluster.status(key)
    assert CommitStatus.model_validate(status).to_json().keys() == status.keys()
    assert len(json.dumps(cluster.objects[key], ensure_ascii=False).encode()) < 10_000


async def test_a_given_script_ends_in_a_verdict_after_six_jobs_and_few_writes() -> None:
    story = Story()
    cluster = FakeCluster(commit(), answers=story)
    plans = await drive(cluster)
    assert cluster.created == ["prepare-base", "prepare-head", "prepare-main", "base", "head", "main"]
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert cluster.condition(KEY, "Finished") == ("True", "Faster")
    assert cluster.condition(KEY, "Measured") == ("True", "Measured")
    status = cluster.status(KEY)
    assert status["result"]["speedup"] == "1.840"
    assert status["result"]["noiseFloorPercent"] == "0.9000"
    assert status["result"]["changedShare"] == "0.7100"
    assert status["test"] == {"digest": digest("given test"), "origin": "given"}
    assert [one["name"] for one in status["revisions"]] == ["base", "head", "main"]
    assert status["revisions"][1]["result"] == digest("result of head")
    assert status["revisions"][2]["sha"] == MAIN
    assert status["artifacts"] == {"inputs": digest("inputs")}
    assert sum(plan.status is not None for plan in plans) == cluster.calls["apply_status"] <= 8
    assert [event.type for _, event in cluster.events] == ["Normal"]
    assert "1.840x" in cluster.events[0][1].message
    assert_small_and_valid(cluster)


async def test_head_and_main_are_measured_with_the_floor_of_base_and_one_test() -> None:
    story = Story()
    await drive(FakeCluster(commit(), answers=story))
    (base,), (head,), (main,) = story.of("base"), story.of("head"), story.of("main")
    assert [one.name for one in base.revisions] == ["base", "base2"]
    assert [one.name for one in head.revisions] == ["base", "head"]
    assert [one.sha for one in main.revisions] == [BASE, MAIN]
    assert base.floor_percent is None
    assert (head.floor_percent, head.floor_node) == ("0.9000", "node-1")
    assert {one.test for one in (base, head, main)} == {digest("given test")}
    assert len({one.seed for one in (base, head, main)}) == 3
    assert len({request.nonce for _, request in story.requests}) == 6


async def test_a_generated_test_is_repaired_with_its_traceback_from_base() -> None:
    story = Story(script=False, base=[failed(Reason.TEST_FAILED), failed(Reason.TEST_SKIPPED)])
    cluster = FakeCluster(generated(), answers=story)
    await drive(cluster)
    assert [role for role in cluster.created if not role.startswith("prepare")] == [
        "generate", "base", "generate", "base", "generate", "base", "head", "main",
    ]  # fmt: skip
    first, second, third = story.of("generate")
    assert first.fallen is None
    assert second.fallen.test == digest("generated test 1")
    assert second.fallen.evidence == digest("TestFailed")
    assert third.fallen.reason == "TestSkipped"
    assert second.packages == digest("distributions")
    assert not second.reuse
    status = cluster.status(KEY)
    assert status["test"]["digest"] == digest("generated test 3")
    assert (status["test"]["execute"], status["test"]["attempts"]) == (2, 3)
    assert status["usage"]["promptTokens"] == 3000
    assert status["usage"]["usd"] == "0.0375"
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert_small_and_valid(cluster)


async def test_execution_repairs_end_at_their_bound() -> None:
    story = Story(script=False, base=[failed(Reason.TEST_FAILED)] * 9)
    cluster = FakeCluster(generated(), answers=story)
    await drive(cluster)
    assert cluster.created.count("generate") == 3
    assert cluster.condition(KEY, "Succeeded") == ("False", "TestFailed")
    assert cluster.condition(KEY, "TestReady") == ("False", "TestFailed")
    assert cluster.condition(KEY, "Measured") == ("Unknown", "Waiting")
    assert "head" not in cluster.created
    assert_small_and_valid(cluster)


async def test_a_given_script_that_falls_is_not_repaired() -> None:
    cluster = FakeCluster(commit(), answers=Story(base=failed(Reason.TEST_FAILED)))
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "TestFailed")
    assert "generate" not in cluster.created
    assert cluster.events[0][1].type == "Warning"
    assert "words about TestFailed" in cluster.events[0][1].message


async def test_generation_bounds_hold_over_the_whole_life() -> None:
    story = Story(
        script=False, generate=[said(written(1, regenerate="2", repair="1"))], base=[failed(Reason.NOT_DETERMINISTIC)]
    )
    await drive(FakeCluster(generated(), answers=story))
    first, second = story.of("generate")
    assert (first.regenerate, first.repair) == (2, 2)
    assert (second.regenerate, second.repair) == (0, 1)


async def test_a_failed_generation_stops_what_runs_beside_it() -> None:
    story = Story(script=False, generate=failed(Reason.MODEL_REFUSED), prepare_main=None)
    cluster = FakeCluster(generated(), answers=story)
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "ModelRefused")
    assert cluster.condition(KEY, "TestReady") == ("False", "ModelRefused")
    assert cluster.deleted == ["prepare-main"]
    assert "base" not in cluster.created


async def test_a_low_share_asks_once_for_a_better_test() -> None:
    story = Story(script=False, base=[failed(Reason.LOW_SHARE, changedShare="0.1000")])
    cluster = FakeCluster(generated(), answers=story)
    await drive(cluster)
    first, second = story.of("base")
    assert (first.ask_better, second.ask_better) == (True, False)
    assert story.of("generate")[1].fallen.reason == "LowShare"
    test = cluster.status(KEY)["test"]
    assert test["digest"] == digest("generated test 2")
    assert "first" not in test
    assert test["askedBetter"] is True
    assert "execute" not in test


@pytest.mark.parametrize(
    "better",
    [
        pytest.param({"base": [failed(Reason.TEST_FAILED)]}, id="it falls"),
        pytest.param({"base": [said(measured("base", changedShare="0.0500"))]}, id="it is lower"),
        pytest.param({"generate": [failed(Reason.MODEL_UNAVAILABLE)]}, id="it never comes"),
    ],
)
async def test_the_first_test_is_measured_where_the_better_one_is_none(better: dict[str, list[Said]]) -> None:
    story = Story(
        script=False,
        base=[failed(Reason.LOW_SHARE, changedShare="0.1000"), *better.get("base", [])],
        generate=[said(written(1)), *better.get("generate", [])],
    )
    cluster = FakeCluster(generated(), answers=story)
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert story.of("base")[-1].test == digest("generated test 1")
    assert not story.of("base")[-1].ask_better
    assert story.of("head")[0].test == digest("generated test 1")
    assert cluster.status(KEY)["test"]["model"] == "gpt-test"
    assert_small_and_valid(cluster)


@pytest.mark.parametrize("role", ["prepare_main", "main"])
async def test_main_never_fails_the_commit(role: str) -> None:
    cluster = FakeCluster(commit(), answers=Story(**{role: failed(Reason.INSTALL_FAILED)}))
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert cluster.condition(KEY, "Prepared") == ("True", "Prepared")
    main = cluster.status(KEY)["revisions"][2]
    assert main["reason"] == "InstallFailed"
    assert "medianMs" not in main
    assert cluster.status(KEY)["result"]["speedup"] == "1.840"


@pytest.mark.parametrize(("sha", "reason"), [(HEAD, "SameAsHead"), (BASE, "SameAsBase")])
async def test_a_main_that_is_another_revision_is_not_measured(sha: str, reason: str) -> None:
    cluster = FakeCluster(commit(), answers=Story(prepare_main=said(prepared("main", sha=sha))))
    await drive(cluster)
    assert "main" not in cluster.created
    assert cluster.status(KEY)["revisions"][2]["reason"] == reason
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")


async def test_a_main_that_the_spec_says_is_head_costs_nothing() -> None:
    cluster = FakeCluster(commit(spec={"main": HEAD}), answers=Story())
    await drive(cluster)
    assert cluster.created == ["prepare-base", "prepare-head", "base", "head"]
    main = cluster.status(KEY)["revisions"][2]
    assert (main["reason"], main["sha"]) == ("SameAsHead", HEAD)


async def test_main_can_be_left_out() -> None:
    cluster = FakeCluster(commit(spec={"measurement": {"revisions": ["base", "head"]}}), answers=Story())
    await drive(cluster)
    assert cluster.created == ["prepare-base", "prepare-head", "base", "head"]
    assert len(cluster.status(KEY)["revisions"]) == 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(failed(Reason.BEHAVIOUR_CHANGED), id="typed"),
        pytest.param(said(measured("head", verdict="behaviour_changed")), id="as a verdict"),
    ],
)
async def test_behaviour_changed_has_no_number(answer: Said) -> None:
    cluster = FakeCluster(commit(), answers=Story(head=answer, main=None))
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "BehaviourChanged")
    assert cluster.condition(KEY, "Finished") == ("True", "Failed")
    assert "result" not in cluster.status(KEY)
    assert "medianMs" not in cluster.status(KEY)["revisions"][1]
    assert cluster.deleted == ["main"]


@pytest.mark.parametrize(
    ("flag", "reason"),
    [("deferred_work", "DeferredWork"), ("lazy_result", "LazyResult"), ("patched_timer", "PatchedTimer")],
)
async def test_a_fatal_flag_has_no_number_whatever_the_report_says(flag: str, reason: str) -> None:
    cluster = FakeCluster(commit(), answers=Story(head=said(measured("head", flags=[flag]))))
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", reason)
    assert "result" not in cluster.status(KEY)


async def test_warnings_of_base_and_head_are_in_the_result() -> None:
    story = Story(
        base=said(measured("base", flags=["low_share"])),
        head=said(measured("head", flags=["short_sample", "low_share"])),
    )
    cluster = FakeCluster(commit(), answers=story)
    await drive(cluster)
    assert cluster.status(KEY)["result"]["flags"] == ["low_share", "short_sample"]


async def test_incomparable_is_measured_once_more() -> None:
    cluster = FakeCluster(commit(), answers=Story(head=[failed(Reason.INCOMPARABLE)]))
    await drive(cluster)
    assert cluster.created.count("head") == 2
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert cluster.status(KEY)["revisions"][1]["attempts"] == 2


async def test_incomparable_twice_is_the_end() -> None:
    cluster = FakeCluster(commit(), answers=Story(base=[failed(Reason.INCOMPARABLE)] * 2))
    await drive(cluster)
    assert cluster.created.count("base") == 2
    assert cluster.condition(KEY, "Succeeded") == ("False", "Incomparable")


async def test_an_image_that_moved_between_build_and_measurement_is_incomparable() -> None:
    def in_image(data: dict[str, Any], image: str) -> Said:
        return Said(data=data, image_id=image)

    story = Story(
        prepare_base=in_image(prepared("base"), "image@sha256:1"),
        base=in_image(measured("base"), "image@sha256:1"),
        head=[in_image(measured("head"), "image@sha256:2")] * 2,
    )
    cluster = FakeCluster(commit(), answers=story)
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "Incomparable")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(Killed(), "OutOfMemory", id="memory"),
        pytest.param(Killed(reason="Error", pod_reason="Evicted"), "Evicted", id="eviction"),
        pytest.param(Killed(reason="Error", pod_reason="DeadlineExceeded"), "DeadlineExceeded", id="deadline"),
        pytest.param(Killed(reason="Error", exit_code=3), "ContainerFailed", id="exit code"),
        pytest.param(
            Killed(reason="Error", exit_code=3, message='{"speedup": "99"}'), "ContainerFailed", id="untrusted message"
        ),
        pytest.param(Sent(message="1500 00000000 {"), "ReportMissing", id="cut message"),
        pytest.param(Sent(message=""), "ReportMissing", id="no message"),
    ],
)
async def test_what_never_reported_has_the_kubelets_reason(answer: Any, reason: str) -> None:
    cluster = FakeCluster(commit(), answers=Story(head=answer))
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", reason)
    assert "result" not in cluster.status(KEY)


async def test_a_message_of_another_job_is_not_believed() -> None:
    story = Story()
    cluster = FakeCluster(commit(), answers=story)

    def replay(request: Any) -> Sent:
        other = cluster.job("base")
        pod = next(pod for name, pod in cluster.pods.items() if name.startswith(other["metadata"]["name"]))
        return Sent(message=pod["status"]["containerStatuses"][0]["state"]["terminated"]["message"])

    story._told["head"] = [replay]
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "ReportMissing")


async def test_a_refused_job_ends_the_commit_with_the_words_of_the_cluster() -> None:
    cluster = FakeCluster(commit(), answers=Story())
    cluster.failures["create"] = [Rejected("quantity 'lots' is none")]
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "SpecInvalid")
    assert "lots" in cluster.events[0][1].message


async def test_suspend_creates_nothing_suspends_what_runs_and_goes_on_after() -> None:
    cluster = FakeCluster(commit(spec={"suspend": True}), answers=Story())
    await drive(cluster)
    assert cluster.created == []
    assert cluster.condition(KEY, "Succeeded") == ("Unknown", "Suspended")
    cluster.objects[KEY]["spec"]["suspend"] = False
    cluster.answers = None
    await drive(cluster)
    assert len(cluster.created) == 3
    cluster.objects[KEY]["spec"]["suspend"] = True
    await drive(cluster)
    assert all(job["spec"]["suspend"] for job in cluster.jobs.values())
    cluster.objects[KEY]["spec"]["suspend"] = False
    cluster.answers = Story()
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert cluster.created.count("prepare-base") == 1


async def test_a_job_under_kueue_is_created_suspended_and_never_resumed_by_us() -> None:
    cluster = FakeCluster(commit(spec={"pod": {"queueName": "gpus"}}), answers=Story())
    await drive(cluster)
    assert len(cluster.jobs) == 3
    assert all(job["spec"]["suspend"] for job in cluster.jobs.values())
    assert cluster.calls["suspend"] == 0


async def test_retry_tries_what_failed_and_keeps_what_is_there() -> None:
    story = Story(head=failed(Reason.OUT_OF_MEMORY))
    cluster = FakeCluster(commit(), answers=story)
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "OutOfMemory")
    before = list(cluster.created)
    cluster.objects[KEY]["metadata"]["annotations"] = {"isobench.dev/retry": "1"}
    await drive(cluster)
    assert cluster.created[len(before) :] in (["head"], ["head", "main"])
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert cluster.status(KEY)["result"]["noiseFloorPercent"] == "0.9000"
    assert cluster.status(KEY)["observedRetry"] == "1"
    await drive(cluster)
    assert cluster.created.count("head") == 2
    assert_small_and_valid(cluster)


async def test_retry_after_a_fallen_generated_test_asks_for_a_new_one() -> None:
    story = Story(script=False, base=[failed(Reason.TEST_FAILED)] * 3)
    cluster = FakeCluster(generated(), answers=story)
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "TestFailed")
    cluster.objects[KEY]["metadata"]["annotations"] = {"isobench.dev/retry": "again"}
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    last = story.of("generate")[-1]
    assert (last.regenerate, last.repair, last.fallen, last.reuse) == (2, 2, None, False)
    assert cluster.created.count("prepare-base") == 1


async def test_retry_after_a_fallen_script_reads_it_again() -> None:
    corrected = digest("corrected test")
    story = Story(
        base=failed(Reason.TEST_FAILED), prepare_head=[said(prepared("head")), said(prepared("head", test=corrected))]
    )
    cluster = FakeCluster(commit(), answers=story)
    await drive(cluster)
    cluster.objects[KEY]["metadata"]["annotations"] = {"isobench.dev/retry": "1"}
    await drive(cluster)
    assert cluster.created.count("prepare-head") == 2
    assert story.of("head")[-1].test == corrected
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")


async def test_retry_measures_only_main_where_only_main_failed() -> None:
    cluster = FakeCluster(commit(), answers=Story(main=failed(Reason.TEST_FAILED)))
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    cluster.objects[KEY]["metadata"]["annotations"] = {"isobench.dev/retry": "1"}
    await drive(cluster)
    assert cluster.created.count("head") == 1
    assert cluster.created.count("main") == 2
    assert "reason" not in cluster.status(KEY)["revisions"][2]


@pytest.mark.parametrize("lost", ["jobs", "nothing"])
async def test_a_restart_at_any_pass_changes_nothing_even_where_finished_jobs_are_gone(lost: str) -> None:
    story = Story(script=False, base=[failed(Reason.TEST_FAILED)])
    cluster = FakeCluster(generated(), answers=story)
    for _ in range(40):
        before = cluster.calls["apply_status"]
        await Reconciler(cluster, SETTINGS, clock=lambda: NOW).reconcile(KEY)
        if cluster.calls["apply_status"] == before:
            break
        if lost == "jobs":
            # Only what status has taken in may be lost: Jobs made in this very pass are still to be read.
            taken = {(one["name"], str(number)) for one in cluster.status(KEY).get("stages", [])
                     for number in range(1, one["attempt"] + (one["state"] != "Pending"))}  # fmt: skip
            for name, job in list(cluster.jobs.items()):
                labels = job["metadata"]["labels"]
                if (labels["isobench.dev/role"], labels["isobench.dev/attempt"]) in taken:
                    del cluster.jobs[name]
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert sorted(cluster.created) == sorted(
        ["prepare-base", "prepare-head", "prepare-main", "generate", "base", "generate", "base", "head", "main"]
    )


@pytest.mark.parametrize("method", ["create", "apply_status", "children", "get", "emit"])
async def test_an_effect_that_fails_is_made_up_for_by_the_next_pass(method: str) -> None:
    cluster = FakeCluster(commit(), answers=Story())
    passes = 0
    while passes < 60:
        passes += 1
        if passes % 2:
            cluster.failures[method] = [ClusterError("not now")]
        try:
            done = await Reconciler(cluster, SETTINGS, clock=lambda: NOW).reconcile(KEY)
        except ClusterError:
            continue
        if done.plan.finished and done.plan.status is None:
            break
    assert cluster.condition(KEY, "Succeeded") == ("True", "Faster")
    assert sorted(cluster.created) == sorted(["prepare-base", "prepare-head", "prepare-main", "base", "head", "main"])


async def test_a_commit_that_is_gone_or_going_is_left_alone() -> None:
    going = commit(deletionTimestamp="2026-01-01T00:00:00Z")
    cluster = FakeCluster(going, answers=Story())
    await drive(cluster)
    await drive(cluster, Key("Commit", "bench", "gone"))
    assert cluster.created == []


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"head": "abc"}, "spec.head"),
        ({"pod": {"env": [{"name": "ISOBENCH_STORE", "value": "/"}]}}, "ISOBENCH_STORE"),
    ],
)
async def test_an_invalid_spec_ends_at_once_and_names_the_field(spec: dict[str, Any], words: str) -> None:
    cluster = FakeCluster(commit(spec=spec), answers=Story())
    await drive(cluster)
    assert cluster.created == []
    assert cluster.condition(KEY, "Accepted") == ("False", "SpecInvalid")
    assert cluster.condition(KEY, "Finished") == ("True", "Failed")
    assert words in cluster.events[0][1].message


async def test_the_users_dollar_signs_reach_the_runner_as_they_are() -> None:
    lines = ["make -j$(nproc) PREFIX=$$HOME X=$(ISOBENCH_ROOT)/inputs2"]
    cluster = FakeCluster(commit(spec={"environment": {"install": lines}}))
    await drive(cluster)
    request: Any = request_of(cluster.job("prepare-head"))
    assert list(request.environment.install) == lines
    assert request.script == "/isobench/inputs/script/rocket.py"


async def test_a_commit_at_its_largest_stays_below_ten_kilobytes() -> None:
    def long(reason: Reason) -> Said:
        return Said(reason=reason, data={"evidence": digest("e")}, tail="né\n" * 2000)

    flags = [f"a_flag_of_ordinary_length_{number}" for number in range(16)]
    share = long(Reason.LOW_SHARE)
    story = Story(
        script=False,
        base=[replace(share, data={**share.data, "changedShare": "0.1"}), said(measured("base", flags=flags))],
        main=long(Reason.WORKER_CRASHED),
        head=[long(Reason.INCOMPARABLE), long(Reason.INCOMPARABLE)],
    )
    cluster = FakeCluster(generated(), answers=story)
    await drive(cluster)
    assert cluster.condition(KEY, "Succeeded") == ("False", "Incomparable")
    assert_small_and_valid(cluster)
