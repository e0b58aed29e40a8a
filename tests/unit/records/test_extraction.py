"""Extractions: every form in which they occur, what is wrong with some, and what a model may see of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_runner.contract import Reason, StageError
from isobench_runner.records.extraction import (
    Extraction,
    FileChange,
    complete,
    for_prompt,
    is_extraction_name,
    matches,
    parse_json,
    read_extraction,
    split_diff,
)
from isobench_runner.records.scrubbing import scrub

SHA = "0f40557af6141ced118b81f2a04e651a0c6c9dbd"
PARENT = "a490aafa3671da1b6b2be6cff4568913fcb1732c"
DIFF = "diff --git a/pkg/m.py b/pkg/m.py\n--- a/pkg/m.py\n+++ b/pkg/m.py\n@@ -1 +1 @@\n-a\n+b\n"
WITH_CONTENT: dict[str, Any] = {
    "commit_hash": SHA,
    "parent_hash": PARENT,
    "message": "Copy blocks at once (#32)",
    "author": "Ada Lovelace <ada@example.org>",
    "date": "2023-04-07 17:45:07 -0700",
    "files_changed": [
        {"file_path": "pkg/m.py", "old_content": "a\n", "diff": DIFF, "change_type": "modified", "lines_added": 1}
    ],
    "affected_apis": ["pkg.m.f"],
    "summary": {"total_files": 1},
    "csv_metadata": {"category": "kernel-based", "json_has_tests": "TRUE", "sample_clues": "cache"},
}
WITH_A_PAGE: dict[str, Any] = {
    "commit_hash": SHA,
    "pr_url": "https://github.com/o/r/pull/6994",
    "timeline_text": "Ada commented: looks good to me",
    "commit_subject": "[Perf] Faster",
    "commit_message": "[Perf] Faster\n\nSigned-off-by: Ada Lovelace <ada@example.org>",
    "files_changed": ["pkg/m.py"],
    "stats": {"num_files": 1},
    "diff_text": DIFF,
    "apis": ["M.f"],
    "models": ["meta/Llama"],
    "affected_paths": ["/Users/ada/buckets/repos/r/pkg/m.py"],
    "repo_path": "/Users/ada/buckets/repos/r",
    "perf_command": "python /Users/ada/bench/run.py --n 1",
    "llm_reason": "It changes /Users/ada/buckets/repos/r/pkg/m.py.",
}


def test_the_form_with_old_contents() -> None:
    read = read_extraction(WITH_CONTENT, "x.json")
    assert (read.commit_hash, read.parent_hash, read.category) == (SHA, PARENT, "kernel-based")
    assert read.files[0].old_content == "a\n"
    assert read.files[0].extra == {"lines_added": 1}
    assert read.to_json() == WITH_CONTENT


def test_the_form_with_a_page_and_a_whole_diff() -> None:
    read = read_extraction(WITH_A_PAGE, "x.json")
    assert (read.parent_hash, read.apis, read.subject) == (None, ("M.f",), "[Perf] Faster")
    assert (read.files[0].file_path, read.files[0].diff) == ("pkg/m.py", DIFF)
    assert read.extra["pr_url"] == WITH_A_PAGE["pr_url"]


@pytest.mark.parametrize(
    "files",
    [
        {"files_changed": ["pkg/m.py"]},
        {"files": ["pkg/m.py"]},
        {"files": [{"path": "pkg/m.py", "status": "M"}]},
        {"files_changed": [{"filename": "./pkg/m.py", "patch": DIFF}]},
        {"files_changed": ["/r/pkg/m.py"], "repo_path": "/r/"},
        {"diff_text": DIFF},
        {"files_changed": [], "files": ["pkg/m.py", "/etc/passwd", "../x"]},
    ],
)
def test_files_come_as_paths_objects_or_a_diff(files: dict[str, Any]) -> None:
    read = read_extraction({"commit_hash": SHA, **files}, "x.json")
    assert [file.file_path for file in read.files] == ["pkg/m.py"]


@pytest.mark.parametrize("key", ["message", "commit_message", "commit_subject"])
def test_the_message_has_several_names(key: str) -> None:
    assert read_extraction({"commit_hash": SHA, key: "m"}, "x").message == "m"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"   \n", "the file is empty"),
        (b'{"commit_hash": "0f4', "line 1, column 17: Unterminated string starting at; the file seems cut"),
        (json.dumps(WITH_CONTENT, indent=1).encode()[:300], "column"),
        (b'{"a": 1,}', "line 1, column 9"),
        (b"[1]", "a JSON object is wanted, this is list"),
        (b'{"a": "\xff"}', "not UTF-8: byte 0xff at offset 7"),
        (b"[" * 200_000, "nested too deeply"),
    ],
)
def test_what_is_no_extraction_says_where(content: bytes, words: str) -> None:
    with pytest.raises(StageError) as failure:
        read_extraction(parse_json(content, "x.json"), "x.json")
    assert failure.value.reason is Reason.INPUT_INVALID
    assert "extraction x.json: " in str(failure.value)
    assert words in str(failure.value)


@pytest.mark.parametrize(
    "change",
    [
        {"commit_hash": None},
        {"commit_hash": "HEAD"},
        {"commit_hash": 12},
        {"parent_hash": "HEAD~1"},
        {"files_changed": "pkg/m.py"},
        {"files_changed": [3]},
        {"files_changed": [{"diff": "x"}]},
        {"files_changed": [{"file_path": "/etc/passwd"}]},
    ],
)
def test_a_field_of_the_wrong_kind_is_named(change: dict[str, Any]) -> None:
    with pytest.raises(StageError, match=next(iter(change)) + "|file") as failure:
        read_extraction({**WITH_CONTENT, **change}, "x.json")
    assert failure.value.reason is Reason.INPUT_INVALID


def test_reading_what_was_written_changes_nothing() -> None:
    for body in (WITH_CONTENT, WITH_A_PAGE):
        once = read_extraction(body, "x").to_json()
        assert read_extraction(json.loads(json.dumps(once)), "x").to_json() == once


def test_what_is_missing_comes_from_the_repository_and_what_is_given_stays() -> None:
    computed = Extraction(
        SHA,
        PARENT,
        "from git",
        (FileChange("pkg/m.py", "a\n", DIFF, "modified"), FileChange("pkg/n.py", "n\n", "d", "added")),
        ("pkg.m.f",),
        {"category": "", "json_has_tests": "FALSE"},
    )
    full = complete(read_extraction({**WITH_A_PAGE, "commit_hash": SHA[:8]}, "x"), computed)
    assert (full.commit_hash, full.parent_hash, full.apis) == (SHA, PARENT, ("M.f",))
    assert full.message.startswith("[Perf] Faster")
    assert [(file.file_path, file.old_content) for file in full.files] == [("pkg/m.py", "a\n"), ("pkg/n.py", "n\n")]
    assert complete(read_extraction({"commit_hash": SHA}, "x"), computed).to_json() == computed.to_json()
    kept = complete(read_extraction({**WITH_CONTENT, "parent_hash": "b" * 40}, "x"), computed)
    assert kept.parent_hash == PARENT
    assert kept.metadata["json_has_tests"] == "TRUE"


def test_no_person_page_or_place_enters_a_prompt() -> None:
    for body in (WITH_CONTENT, WITH_A_PAGE):
        told = json.dumps(for_prompt(read_extraction(body, "x")))
        for secret in ("Ada", "Lovelace", "example.org", "/Users", "looks good", "buckets"):
            assert secret not in told
        assert "pkg/m.py" in told
    told = for_prompt(read_extraction(WITH_A_PAGE, "x"))
    assert told["perf_command"] == "python run.py --n 1"
    assert told["llm_reason"] == "It changes m.py."


def test_code_stands_as_it_is_in_a_prompt() -> None:
    code = "#!/usr/bin/env python\n# by @ada <ada@example.org>\n"
    told = for_prompt(Extraction(SHA, files=(FileChange("a.py", code, DIFF, "modified"),)))
    assert told["files_changed"][0]["old_content"] == code


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("Faster, thanks to @ada and @bob-1", "Faster, thanks to a contributor"),
        ("Use @lru_cache on f", "Use @lru_cache on f"),
        ("See https://host/path/x and a/b/c", "See https://host/path/x and a/b/c"),
        ("In C:\\Users\\ada\\x.py and ~/y.py", "In x.py and y.py"),
        ("x\n\nReviewed-by: Ada\nCo-authored-by: B <b@c.de>", "x"),
        ("1/2 of all and/or 3 / 4", "1/2 of all and/or 3 / 4"),
        ("Ada Lovelace <ada@x.org> did it", "did it"),
    ],
)
def test_scrubbing(text: str, clean: str) -> None:
    assert scrub(text) == clean


def test_a_diff_is_cut_by_files() -> None:
    gone = "diff --git a/g.py b/g.py\ndeleted file mode 100644\n--- a/g.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n"
    moved = "diff --git a/o.py b/n.py\nsimilarity index 100%\nrename from o.py\nrename to n.py\n"
    mode = "diff --git a/s.sh b/s.sh\nold mode 100644\nnew mode 100755\n"
    parts = split_diff(f"commit x\n{DIFF}{gone}{moved}{mode}")
    assert parts == {"pkg/m.py": DIFF, "g.py": gone, "n.py": moved, "s.sh": mode}


def test_what_else_lies_in_a_folder_of_extractions() -> None:
    names = ["extraction_summary.json", "a.json", "README.md", "index.json", ".a.json"]
    assert [name for name in names if is_extraction_name(name)] == ["a.json"]


def test_an_abbreviated_hash_matches_by_its_beginning() -> None:
    assert matches(Extraction(SHA[:8]), SHA)
    assert not matches(Extraction("b" * 8), SHA)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_KEYS = ["message", "files", "files_changed", "apis", "csv_metadata", "diff_text", "repo_path", "parent_hash", "mood"]


@given(st.dictionaries(st.sampled_from(_KEYS), _JSON))
def test_anything_is_read_or_refused_with_a_reason(body: dict[str, Any]) -> None:
    try:
        read = read_extraction({"commit_hash": SHA, **body}, "x")
    except StageError:
        return
    assert read_extraction(json.loads(json.dumps(read.to_json())), "x").to_json() == read.to_json()
    for_prompt(read)
