"""Prompts: what they say, what never enters them, and how a commit is cut to a budget."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from isobench_runner.contract import Reason, StageError
from isobench_runner.llm.cutting import cut, split_hunks, tokens
from isobench_runner.llm.material import File, Function, Material, from_extraction, from_inputs
from isobench_runner.llm.prompting import anew, fenced, opening, repair_fallen, repair_written
from isobench_runner.prompts_folder import folder, read_prompt, release_prompt
from support.scripts import GOOD, HEAD, OLD, PATCH, extraction, inputs

PROMPT = release_prompt("generate")


def material(**fields: object) -> Material:
    return from_inputs({**inputs(), **fields}, package="pkg", packages=[{"name": "numpy", "version": "1.26.4"}])


def shown(text: str) -> dict[str, object]:
    block = re.search(r"^(`{3,})json\n(.*?)\n\1$", text, re.DOTALL | re.MULTILINE)
    assert block is not None
    value: dict[str, object] = json.loads(block[2])
    return value


def test_the_whole_of_a_small_commit_is_shown_as_json_in_a_fenced_block() -> None:
    value = shown(opening(PROMPT, material()).text)
    assert value["commit_hash"] == HEAD
    (file,) = value["files_changed"]  # type: ignore[misc]
    assert file["old_content"] == OLD
    assert file["diff"] == PATCH
    assert "left_out" not in value


@pytest.mark.parametrize(
    "words",
    ["`pkg/words.py::count`", "imported as: `pkg`", "numpy 1.26.4", "0.05 to 0.5 seconds", "many times in one process", "hash seed", "two workloads",
     "changed on purpose", "No mock", "Never copy lines", "setup(seed)", "store_result(result, path)", "check_equivalence(current, reference)"],
)  # fmt: skip
def test_the_prompt_states_what_answers_were_seen_to_get_wrong(words: str) -> None:
    assert words in opening(PROMPT, material()).text


def test_people_mail_paths_and_page_dumps_never_enter_a_prompt() -> None:
    text = opening(PROMPT, material()).text
    for word in (
        "A Person",
        "person@example.org",
        "/home/person",
        "timeline_text",
        "nobody should send",
        "Signed-off-by",
    ):
        assert word not in text


def test_a_prompt_without_a_place_for_the_commit_gets_it_at_its_end(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text("Write a test for this, {{unknown}} and all.\n")
    prompt = read_prompt(tmp_path / "mine.md")
    text = opening(prompt, material()).text
    assert text.startswith("Write a test for this, {{unknown}} and all.")
    assert shown(text)["commit_hash"] == HEAD
    assert (prompt.id, prompt.contract) == ("mine", "six")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"---\ncontract: five\n---\nx", Reason.INPUT_INVALID), (b"---\n: [\n---\nx", Reason.INPUT_INVALID), (b"\xff\xfe", Reason.INPUT_INVALID),
     (b"---\n- a\n---\nx", Reason.INPUT_INVALID), (None, Reason.MISSING_INPUT)],
)  # fmt: skip
def test_a_prompt_that_cannot_be_used_says_why(tmp_path: Path, content: bytes | None, reason: Reason) -> None:
    if content is not None:
        (tmp_path / "p.md").write_bytes(content)
    with pytest.raises(StageError, match=r"p\.md") as raised:
        read_prompt(tmp_path / "p.md")
    assert raised.value.reason is reason


def test_every_prompt_of_the_release_can_be_read_and_has_its_id_for_a_name() -> None:
    paths = sorted(folder().glob("*.md"))
    assert len(paths) >= 6
    for path in paths:
        assert read_prompt(path).id == path.stem


def test_what_is_filled_in_is_not_searched_for_places_again() -> None:
    evil = material(extraction={**extraction(), "message": "{{installed}} {{target}}"})
    assert shown(opening(PROMPT, evil).text)["message"] == "{{installed}} {{target}}"


def test_a_fence_is_longer_than_any_inside_of_it() -> None:
    assert fenced("a\n````\nb").startswith("`````\n")


def test_repairs_carry_the_question_the_file_and_the_words() -> None:
    messages = repair_written("question", GOOD, reason=Reason.TEST_SYNTAX, words="line 3: invalid syntax")
    assert [message["role"] for message in messages] == ["user", "assistant", "user"]
    assert GOOD.rstrip() in messages[1]["content"]
    assert "line 3: invalid syntax" in messages[2]["content"]
    fell = repair_fallen("q", GOOD, reason=Reason.TEST_FAILED, evidence="KeyError: 'x'", material=material())
    assert "KeyError: 'x'" in fell[2]["content"]
    better = repair_fallen("q", GOOD, reason=Reason.LOW_SHARE, evidence="90 % in json.loads", material=material())
    assert "pkg/words.py::count" in better[2]["content"]
    assert "90 % in json.loads" in better[2]["content"]
    assert anew("question", "it was empty")[0]["content"].startswith("question")


def test_no_repair_shows_a_measured_effect() -> None:
    for path in folder().glob("*.md"):
        assert not re.search(r"\{\{ *(speedup|ratio|effect|head_ms)", path.read_text())


def test_long_evidence_keeps_its_end() -> None:
    evidence = "\n".join(f"line {number}" for number in range(20_000)) + "\nValueError: here"
    text = repair_fallen("q", GOOD, reason=Reason.TEST_FAILED, evidence=evidence, material=material())[2]["content"]
    assert "ValueError: here" in text
    assert "line 3\n" not in text


def test_touched_functions_come_before_whole_files_and_the_most_changed_first() -> None:
    filler = "".join(f"def other_{number}():\n    return {number}\n\n\n" for number in range(2000))
    old = filler + OLD
    start = filler.count("\n") + 1
    one = Material(
        head=HEAD,
        base=None,
        message="m",
        category=None,
        files=(File(path="pkg/words.py", change_type="modified", diff=PATCH, old_content=old),),
        patch=PATCH,
        touched=(Function(path="pkg/words.py", qualname="count", start=start, end=start + 4, changed=3),),
    )
    value = json.loads(cut(one, 2000).text)
    (file,) = value["files_changed"]
    assert file["functions"][0]["source"] == OLD.rstrip()
    assert "old_content" not in file
    assert value["left_out"] == ["pkg/words.py: the rest of the file"]


def test_code_is_kept_before_tests_and_documents() -> None:
    def file(path: str, *, is_test: bool = False) -> File:
        diff = f"--- a/{path}\n+++ b/{path}\n@@ -1,1 +1,9 @@\n" + "+line of change\n" * 40
        return File(path=path, change_type="modified", diff=diff, old_content=None, is_test=is_test)

    files = (file("README.md"), file("tests/test_a.py", is_test=True), file("pkg/a.py"))
    one = Material(head=HEAD, base=None, message="m", category=None, files=files, patch="")
    kept = cut(one, 1000)
    assert [row["file_path"] for row in json.loads(kept.text)["files_changed"]] == ["pkg/a.py"]
    assert len(kept.left_out) == 2


def test_a_budget_that_holds_not_even_the_message_is_said() -> None:
    with pytest.raises(StageError, match="tokens"):
        opening(PROMPT, material(), budget_tokens=500)


lines = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), max_size=60
)
hunk = st.lists(lines, min_size=1, max_size=12).map(
    lambda body: "@@ -1,3 +1,4 @@\n" + "".join(f"+{line}\n" for line in body)
)
files = st.lists(
    st.builds(
        File,
        path=st.from_regex(r"[a-z]{1,8}/[a-z]{1,8}\.(py|md|cu)", fullmatch=True),
        change_type=st.sampled_from(["modified", "added", "deleted"]),
        diff=st.lists(hunk, max_size=6).map(lambda hunks: "--- a/x\n+++ b/x\n" + "".join(hunks) if hunks else ""),
        old_content=st.none() | st.lists(lines, max_size=40).map("\n".join),
        is_test=st.booleans(),
    ),
    max_size=8,
    unique_by=lambda file: file.path,
)


@settings(max_examples=150, deadline=None)
@given(files=files, budget=st.integers(700, 6000), message=st.text(max_size=4000))
def test_a_cut_never_exceeds_its_budget_and_never_cuts_a_hunk(files: list[File], budget: int, message: str) -> None:
    touched = tuple(
        Function(path=file.path, qualname="f", start=1, end=5, changed=1)
        for file in files
        if file.old_content is not None
    )
    one = Material(
        head=HEAD, base=None, message=message, category=None, files=tuple(files), patch="", touched=touched
    )  # fmt: skip
    kept = cut(one, budget)
    assert tokens(kept.text) <= budget
    whole = {file.path: file for file in files}
    for row in json.loads(kept.text)["files_changed"]:
        header, hunks = split_hunks(whole[row["file_path"]].diff)
        left = row.get("diff", header).removeprefix(header)
        for one_hunk in hunks:
            left = left.removeprefix(one_hunk)
        assert left == ""
        assert row.get("old_content", whole[row["file_path"]].old_content) == whole[row["file_path"]].old_content


def test_forms_of_extractions_in_the_wild_are_read() -> None:
    whole = PATCH
    diff = whole[whole.index("@@") :]
    forms = [
        extraction(),
        {"commit_hash": HEAD, "commit_subject": "s", "files": [{"path": "pkg/words.py", "patch": diff}]},
        {
            "commit_hash": HEAD,
            "commit_message": "s",
            "files_changed": ["pkg/words.py"],
            "diff_text": whole,
            "apis": ["pkg.count"],
        },
        {"commit": HEAD, "subject": "s", "diff": whole, "stats": {"insertions": 4}, "unknown": object},
    ]
    for form in forms:
        read = from_extraction(form, "x.json")
        assert read.head == HEAD
        assert "+    get_total = totals.get" in read.patch
        assert read.patch.startswith("diff --git a/pkg/words.py b/pkg/words.py\n")
    assert from_extraction(forms[2], "x.json").functions == ("pkg.count",)


@pytest.mark.parametrize(
    "form", [{}, {"commit_hash": "none"}, {"commit_hash": HEAD}, {"commit_hash": HEAD, "files_changed": [3, {"file_path": "/etc/passwd", "diff": "@@"}]}]
)  # fmt: skip
def test_an_extraction_that_cannot_be_used_names_the_field(form: dict[str, object]) -> None:
    with pytest.raises(StageError, match=r"commit_hash|file") as raised:
        from_extraction(form, "x.json")
    assert raised.value.reason is Reason.INPUT_INVALID
