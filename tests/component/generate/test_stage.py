"""The generate stage from files to files, with a real server behind a real SDK, and what its report makes of it."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from isobench_runner.contract import GenerateRequest, Model, Reason, Repair, Report, StageError
from isobench_runner.llm.prompting import PROMPT_TOKENS
from isobench_runner.outcome import read_outcome, write_outcome
from isobench_runner.reporting import generate as reporting
from isobench_runner.stages import generate as stage
from isobench_runner.store import Store
from support.fake_llm import COMPLETION_TOKENS, Fail, FakeLLM, Say, Step
from support.fake_llm import PROMPT_TOKENS as SENT
from support.scripts import BASE, BROKEN, GOOD, HEAD, LEAKED, MOCKED, RENAMED, TRIVIAL, inputs, markdown

SECRET = "sk-test-0123456789abcdef"
GOOD_ANSWER = Say(text=markdown(GOOD))


def dumpable() -> int:
    """PR_GET_DUMPABLE of this process."""
    return int(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))


@dataclass
class Job:
    """A generate Job's folders, its store, and the server it asks."""

    root: Path
    store: Store
    server: FakeLLM
    request: GenerateRequest

    def run(self, **fields: Any) -> Report:
        """Run the stage and its report as `__main__` and `report` do."""
        request = replace(self.request, **fields)
        for folder in ("in", "out"):
            (self.root / folder).mkdir(exist_ok=True)
        try:
            stage.run(request, self.root / "in", self.root / "out", self.store)
        except StageError as error:
            write_outcome(self.root / "out", "generate", error.reason, str(error))
        return reporting.conclude(request, self.root, self.store)

    def attempts(self, report: Report) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.store.get_json(report.data["generation"])["attempts"]
        return rows

    def write(self, name: str, value: Any) -> None:
        path = self.root / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(value if isinstance(value, str) else json.dumps(value))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Job]]:
    servers: list[FakeLLM] = []

    def make(*script: Step) -> Job:
        server = FakeLLM(script).__enter__()
        servers.append(server)
        key = tmp_path / "key"
        key.write_text(SECRET)
        model = Model(provider="openai", model="m-1", base_url=server.url, key_file=str(key), max_tokens=4000)
        request = GenerateRequest(
            commit="c", nonce="n", repository_url="/x", repository="acme/pkg", head=HEAD, package="pkg", models=(model,)
        )
        job = Job(tmp_path / f"job{len(servers)}", Store(tmp_path / "store"), server, request)
        job.write("inputs.json", inputs())
        return job

    yield make
    for server in servers:
        server.__exit__(None, None, None)


def test_a_good_answer_becomes_the_test_with_its_whole_attempt_kept(start: Callable[..., Job]) -> None:
    job = start(GOOD_ANSWER)
    report = job.run()
    assert report.reason is None
    assert job.store.get(report.data["test"]).decode() == GOOD
    assert report.data["usage"] == {"promptTokens": str(SENT), "completionTokens": str(COMPLETION_TOKENS), "usd": None}
    assert (report.data["origin"], report.data["model"]) == ("generated", "m-1")
    (attempt,) = job.attempts(report)
    assert attempt["verdict"] == "accepted"
    assert attempt["answer"] == GOOD_ANSWER.text
    assert attempt["messages"] == job.server.received[0].body["messages"]
    assert attempt["latency_seconds"] >= 0
    assert HEAD in attempt["messages"][0]["content"]
    assert len(report.message(job.request).encode()) <= 1500


def test_seven_wrong_answers_and_the_right_one_take_their_places_in_the_bounds(start: Callable[..., Job]) -> None:
    wrong = ["I would rather talk about it.", markdown(TRIVIAL), markdown(LEAKED), markdown(MOCKED)]
    repaired = [markdown(BROKEN), markdown(RENAMED)]
    job = start(*(Say(text=text) for text in [*wrong, *repaired]), GOOD_ANSWER)
    report = job.run(regenerate=4, repair=2)
    assert report.reason is None
    assert [attempt["verdict"] for attempt in job.attempts(report)] == [
        "NoCode", "TestTrivial", "PatchLeaked", "TargetMocked", "TestSyntax", "ContractUnmet", "accepted",
    ]  # fmt: skip
    assert (report.data["regenerate"], report.data["repair"]) == ("4", "2")
    assert "was never closed" in job.server.received[5].prompt
    assert "run_experiment" in job.server.received[6].prompt
    assert "it has no function experiment" in job.server.received[6].prompt
    assert report.data["usage"]["promptTokens"] == str(7 * SENT)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Say(text="no"), Reason.NO_CODE),
        (Say(text=markdown(TRIVIAL)), Reason.TEST_TRIVIAL),
        (Say(text=markdown(BROKEN)), Reason.TEST_SYNTAX),
        (Say(text=markdown(RENAMED)), Reason.CONTRACT_UNMET),
        (Say(text=markdown(LEAKED)), Reason.PATCH_LEAKED),
        (Say(text=markdown(MOCKED)), Reason.TARGET_MOCKED),
        (Say(text=markdown(GOOD)[:400], finish="length"), Reason.ANSWER_CUT),
    ],
    ids=lambda value: value.value if isinstance(value, Reason) else "",
)
def test_what_stays_wrong_ends_for_its_reason_and_keeps_what_was_paid(
    start: Callable[..., Job], answer: Say, reason: Reason
) -> None:
    job = start(answer)
    report = job.run()
    assert report.reason is reason
    assert "test" not in report.data
    assert len(job.server.received) == 3
    assert len(job.attempts(report)) == 3
    assert report.data["usage"]["completionTokens"] == str(3 * COMPLETION_TOKENS)
    assert report.data["regenerate"] + report.data["repair"] in {"02", "20"}


def test_a_file_that_is_whole_is_used_although_the_answer_was_cut_after_it(start: Callable[..., Job]) -> None:
    job = start(Say(text=markdown(GOOD) + "And so on, and", finish="length"))
    assert job.run().reason is None


def test_what_was_answered_before_the_model_went_away_is_kept(start: Callable[..., Job]) -> None:
    job = start(Say(text="no"), Fail(status=404, message="gone"))
    report = job.run()
    assert report.reason is Reason.MODEL_UNAVAILABLE
    assert len(job.attempts(report)) == 1
    assert report.data["usage"]["promptTokens"] == str(SENT)


def test_a_refusal_and_a_rejected_key_are_typed(start: Callable[..., Job]) -> None:
    assert start(Say(text="I must decline.", finish="refusal")).run().reason is Reason.MODEL_REFUSED
    rejected = start(Fail(status=401, message=f"bad key {SECRET}")).run()
    assert rejected.reason is Reason.MODEL_KEY_REJECTED
    assert SECRET not in rejected.tail


def test_no_key_reaches_any_file_or_artifact(start: Callable[..., Job], tmp_path: Path) -> None:
    job = start(Fail(status=500, message=f"internal error for {SECRET}", headers={"retry-after": "0"}), GOOD_ANSWER)
    job.run()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "key"]
    assert files
    assert not [path for path in files if SECRET.encode() in path.read_bytes()]


def test_an_accepted_script_is_used_again_without_a_request(start: Callable[..., Job]) -> None:
    first = start(GOOD_ANSWER)
    accepted = first.run()
    again = start(GOOD_ANSWER)
    report = again.run(models=first.request.models)
    assert report.data["test"] == accepted.data["test"]
    assert report.data["usage"] == {"promptTokens": "0", "completionTokens": "0", "usd": "0.0000"}
    assert not again.server.received
    assert len(first.server.received) == 1


def test_another_prompt_head_or_model_is_asked_anew(start: Callable[..., Job]) -> None:
    first = start(GOOD_ANSWER)
    first.run()
    models = first.request.models
    other_prompt = start()
    other_prompt.write("prompt.md", "Write a test.\n")
    other_prompt.run(models=models)
    start().run(models=(replace(models[0], model="m-2"),))
    start().run(models=models, repository="acme/fork")
    assert len(first.server.received) == 4


def test_without_reuse_the_new_script_takes_the_name(start: Callable[..., Job]) -> None:
    other = GOOD + "\n# another\n"
    first = start(GOOD_ANSWER, Say(text=markdown(other)))
    first.run()
    anew = start().run(models=first.request.models, reuse=False)
    assert first.store.get(anew.data["test"]).decode() == other
    again = start().run(models=first.request.models)
    assert again.data["test"] == anew.data["test"]
    assert len(first.server.received) == 2


@pytest.mark.parametrize("names", [(HEAD, HEAD[:8]), (HEAD[:8],)], ids=["full hash", "eight digits"])
def test_a_seed_wins_over_any_request_and_its_full_name_over_its_short_one(
    start: Callable[..., Job], names: tuple[str, ...]
) -> None:
    job = start(GOOD_ANSWER)
    for number, name in enumerate(names):
        job.write(f"seeds/{name}_test_case_generator.py", f"{GOOD}\n# {number}\n")
    report = job.run()
    assert job.store.get(report.data["test"]).decode().endswith("# 0\n")
    assert report.data["origin"] == "given"
    assert report.data["model"] is None
    assert not job.server.received


def test_a_seed_that_does_not_compile_is_named(start: Callable[..., Job]) -> None:
    job = start(GOOD_ANSWER)
    job.write(f"seeds/{HEAD[:8]}_test_case_generator.py", BROKEN)
    report = job.run()
    assert report.reason is Reason.INPUT_INVALID
    assert f"{HEAD[:8]}_test_case_generator.py: line 14" in report.tail


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (Reason.TEST_FAILED, "Find the cause and correct it"),
        (Reason.VACUOUS_EQUIVALENCE, "accepts a result that was changed on purpose"),
        (Reason.LOW_SHARE, "The share is what counts"),
    ],
)
def test_a_test_that_fell_is_corrected_with_its_evidence_and_never_reused(
    start: Callable[..., Job], reason: Reason, words: str
) -> None:
    better = GOOD + "\n# corrected\n"
    job = start(GOOD_ANSWER, Say(text=markdown(better)))
    fallen = job.run().data["test"]
    job.write("fallen.json", {"test": GOOD, "reason": reason.value, "evidence": "KeyError: 'x'\n90 % in json"})
    repair = Repair(test=fallen, evidence="sha256:" + "0" * 64, reason=reason.value)
    report = job.run(fallen=repair)
    assert job.store.get(report.data["test"]).decode() == better
    assert (report.data["regenerate"], report.data["repair"]) == ("0", "0")
    asked = job.server.received[1].body["messages"]
    assert [message["role"] for message in asked] == ["user", "assistant", "user"]
    assert words in asked[2]["content"]
    assert "KeyError: 'x'" in asked[2]["content"]
    assert job.run(fallen=repair).data["test"] == report.data["test"]
    assert len(job.server.received) == 2


def test_nothing_is_asked_where_fetch_failed(start: Callable[..., Job]) -> None:
    job = start(GOOD_ANSWER)
    write_outcome(job.root / "in", "fetch", Reason.COMMIT_NOT_FOUND, "no such commit")
    (job.root / "out").mkdir()
    stage.run(job.request, job.root / "in", job.root / "out", job.store)
    assert not job.server.received
    assert read_outcome(job.root / "out") is None


def test_a_commit_of_megabytes_is_asked_for_within_the_budget(start: Callable[..., Job]) -> None:
    job = start(GOOD_ANSWER)
    body = inputs()
    hunk = "@@ -1,2 +1,2 @@\n" + "-old line of code\n+new line of code\n" * 200
    for number in range(80):
        path = f"pkg/generated_{number}.py"
        body["files"].append({**body["files"][0], "path": path})
        diff = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n{hunk * 3}"
        body["patch"] += diff
        body["extraction"]["files_changed"].append({"file_path": path, "diff": diff, "change_type": "modified"})
    job.write("inputs.json", body)
    report = job.run()
    assert report.reason is None
    assert len(job.server.received[0].prompt.encode()) <= PROMPT_TOKENS * 3
    assert "get_total = totals.get" in job.server.received[0].prompt
    assert "more files" in job.store.get_json(report.data["generation"])["left_out"][-1]


def test_inputs_that_cannot_be_used_are_typed(start: Callable[..., Job]) -> None:
    job = start(GOOD_ANSWER)
    job.write("inputs.json", {"v": 1, "head": HEAD, "base": BASE})
    (job.root / "out").mkdir()
    with pytest.raises(StageError, match=r"inputs\.json") as raised:
        stage.run(job.request, job.root / "in", job.root / "out", job.store)
    assert raised.value.reason is Reason.INPUT_INVALID


@pytest.mark.slow
def test_the_stage_runs_as_a_process_of_its_own(start: Callable[..., Job], tmp_path: Path) -> None:
    job = start(GOOD_ANSWER)
    environment = {**os.environ, "ISOBENCH_REQUEST": job.request.to_json(), "ISOBENCH_STORE": str(tmp_path / "store")}
    folders = ["--in", str(job.root / "in"), "--out", str(job.root / "out")]
    subprocess.run([sys.executable, "-m", "isobench_runner", "generate", *folders], env=environment, check=True)
    outcome = read_outcome(job.root / "out")
    assert outcome is not None
    assert outcome.reason is None
    assert outcome.detail["usage"]["promptTokens"] == str(SENT)
    assert (job.root / "out" / "test.py").read_text() == GOOD


def test_the_process_is_not_dumpable_while_it_asks_and_as_before_when_it_has(start: Callable[..., Job]) -> None:
    seen: list[int] = []

    def respond(_: dict[str, Any]) -> Step:
        seen.append(dumpable())
        return GOOD_ANSWER

    before = dumpable()
    job = start(GOOD_ANSWER)
    with FakeLLM(respond) as server:
        job.run(models=(replace(job.request.models[0], base_url=server.url),))
    assert seen == [0]
    assert dumpable() == before


HOLDER = """
import ctypes, os, sys
from isobench_runner.dumpable import not_dumpable
if os.geteuid() == 0:
    os.setgroups([])
    os.setresgid(65534, 65534, 65534)
    os.setresuid(65534, 65534, 65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
for holding in (False, True):
    if holding:
        with not_dumpable():
            print("ready", flush=True)
            sys.stdin.readline()
    else:
        print("ready", flush=True)
        sys.stdin.readline()
"""


@pytest.mark.slow
def test_another_process_of_the_same_user_cannot_read_one_that_holds_a_key() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        readable = []
        for _ in range(2):
            assert holder.stdout.readline() == "ready\n"
            same_user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
            probe = subprocess.run([*same_user, "cat", f"/proc/{holder.pid}/environ"], capture_output=True, check=False)
            readable.append(probe.returncode == 0)
            holder.stdin.write("\n")
            holder.stdin.flush()
    assert readable == [True, False]
