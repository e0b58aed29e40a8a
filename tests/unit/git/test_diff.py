"""Diffs: what git apply makes of them, how they are split, and every odd kind of file."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from isobench_runner.contract import Reason, StageError
from isobench_runner.git import Access, Diff, Mirror, Mirrors, is_test, read_commit, read_diff, resolve_base
from isobench_runner.git import diff as diff_module
from support.repositories import Repository


def mirrored(repository: Repository) -> tuple[Mirror, str, str]:
    """The mirror, base and head of a repository's last commit."""
    address = str(repository.path)
    mirror = Mirrors(repository.path.parent / "mirrors").of(address, Access(address).__enter__())
    head = mirror.commit("main")
    return mirror, resolve_base(mirror, head, None), head


def change(
    path: Path, before: dict[str, str | bytes | None], after: dict[str, str | bytes | None]
) -> tuple[Diff, Repository]:
    repository = Repository.create(path / "repository")
    repository.commit(before)
    repository.commit(after)
    mirror, base, head = mirrored(repository)
    return read_diff(mirror, base, head), repository


def applied(repository: Repository, diff: Diff) -> dict[str, bytes]:
    """The files of base once both patches are applied to them."""
    repository.git("checkout", "--quiet", "--force", diff.base)
    for patch in (diff.patch, diff.test_patch):
        if patch:
            repository.git("apply", "-", stdin=patch.encode())
    return {
        str(place.relative_to(repository.path)): place.read_bytes()
        for place in repository.path.rglob("*")
        if place.is_file() and ".git" not in place.relative_to(repository.path).parts
    }


@pytest.mark.parametrize(
    ("path", "test"),
    [
        ("tests/data.json", True),
        ("pkg/tests/x.py", True),
        ("test_a.py", True),
        ("pkg/a_test.py", True),
        ("conftest.py", True),
        ("pkg/latest.py", False),
        ("pkg/testing.py", False),
        ("test_data.txt", False),
    ],
)
def test_what_belongs_to_the_test_patch(path: str, test: bool) -> None:
    assert is_test(path) is test


def test_source_and_tests_are_parted_and_renames_are_seen(tmp_path: Path) -> None:
    body = "".join(f"line {number}\n" for number in range(30))
    diff, repository = change(
        tmp_path,
        {"pkg/old.py": body, "tests/test_a.py": "a = 1\n", "gone.py": "x\n"},
        {
            "pkg/old.py": None,
            "pkg/new.py": body.replace("line 7", "line seven"),
            "tests/test_a.py": "a = 2\n",
            "gone.py": None,
        },
    )
    kinds = {item.path: item.change_type for item in diff.changes}
    assert kinds == {"gone.py": "deleted", "pkg/new.py": "renamed", "tests/test_a.py": "modified"}
    assert "rename from pkg/old.py" in diff.patch
    assert "test_a" not in diff.patch
    assert diff.test_patch.startswith("diff --git a/tests/test_a.py")
    renamed = next(item for item in diff.changes if item.path == "pkg/new.py")
    assert (renamed.old_path, renamed.removed, renamed.added) == ("pkg/old.py", {8}, {8})
    assert set(applied(repository, diff)) == {"pkg/new.py", "tests/test_a.py"}


def test_lines_and_places_of_insertions_and_deletions(tmp_path: Path) -> None:
    diff, _ = change(tmp_path, {"a.py": "1\n2\n3\n4\n5\n"}, {"a.py": "0\n1\n2\n2b\n3\n5\n"})
    item = diff.changes[0]
    assert (item.removed, item.added) == ({4}, {1, 4})
    assert item.inserts == (0, 2)
    assert item.cuts == (5,)


def test_lines_of_a_diff_that_look_like_headers_are_content(tmp_path: Path) -> None:
    text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,3 +1,3 @@\nBinary files a and b differ\n"
    diff, repository = change(tmp_path, {"a.txt": "one\n"}, {"a.txt": text, "b.txt": "-- sql comment\n++ y\n"})
    assert [item.path for item in diff.changes] == ["a.txt", "b.txt"]
    assert not any(item.binary for item in diff.changes)
    assert applied(repository, diff)["a.txt"] == text.encode()


def test_binary_files_are_listed_and_the_rest_still_applies(tmp_path: Path) -> None:
    diff, repository = change(
        tmp_path, {"a.py": "1\n", "x.bin": b"\0\1"}, {"a.py": "2\n", "x.bin": b"\0\2", "n.bin": b"\0"}
    )
    assert {item.path for item in diff.changes if item.binary} == {"x.bin", "n.bin"}
    assert "x.bin is binary" in " ".join(diff.notes)
    files = applied(repository, diff)
    assert (files["a.py"], files["x.bin"]) == (b"2\n", b"\0\1")


def test_a_file_that_is_not_utf8_is_replaced_and_noted(tmp_path: Path) -> None:
    diff, _ = change(tmp_path, {"a.py": "x = 1\n"}, {"a.py": "x = 'caf\xe9'\n".encode("latin-1")})
    assert "caf\ufffd" in diff.patch
    assert "byte 0xe9" in diff.notes[0]


def test_an_lfs_pointer_is_noted(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n"
    diff, _ = change(tmp_path, {"w.pt": pointer.format("a" * 64)}, {"w.pt": pointer.format("b" * 64)})
    assert diff.changes[0].lfs
    assert "Git LFS" in diff.notes[0]


def test_a_file_that_becomes_a_link_is_one_change(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "repository")
    repository.commit({"a.py": "1\n", "b.py": "1\n", "z.py": "1\n"})
    (repository.path / "b.py").unlink()
    (repository.path / "b.py").symlink_to("a.py")
    repository.commit({"z.py": "2\n"})
    mirror, base, head = mirrored(repository)
    diff = read_diff(mirror, base, head)
    assert [(item.path, item.patch.count("diff --git")) for item in diff.changes] == [("b.py", 2), ("z.py", 1)]
    assert (applied(repository, diff)["z.py"], (repository.path / "b.py").is_symlink()) == (b"2\n", True)


def test_a_moved_submodule_is_noted_and_not_in_the_patch(tmp_path: Path) -> None:
    inner = Repository.create(tmp_path / "inner")
    inner.commit({"i.py": "1\n"})
    repository = Repository.create(tmp_path / "repository")
    repository.git("submodule", "add", "--quiet", "../inner", "sub")
    repository.commit({"a.py": "1\n"})
    moved = inner.commit({"i.py": "2\n"})
    repository.git("-C", "sub", "fetch", "--quiet")
    repository.git("-C", "sub", "checkout", "--quiet", moved)
    repository.commit({"a.py": "2\n"})
    mirror, base, head = mirrored(repository)
    diff = read_diff(mirror, base, head)
    assert f"to {moved}" in diff.notes[0]
    assert "Subproject" not in diff.patch


def test_names_with_spaces_quotes_and_accents(tmp_path: Path) -> None:
    names = {"a b.py": "1\n", 'q"uote.py': "1\n", "caf\u00e9.py": "1\n"}
    diff, repository = change(tmp_path, dict(names), dict.fromkeys(names, "2\n"))
    assert {item.path for item in diff.changes} == set(names)
    assert applied(repository, diff) == dict.fromkeys(names, b"2\n")


def test_the_same_files_are_an_empty_diff(tmp_path: Path) -> None:
    with pytest.raises(StageError) as failure:
        change(tmp_path, {"a.py": "1\n"}, {})
    assert failure.value.reason is Reason.EMPTY_DIFF


def test_a_diff_that_is_too_large_names_the_largest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff_module, "MAX_DIFF_BYTES", 20_000)
    with pytest.raises(StageError, match=r"data\.csv \(9,000 lines\), a\.py \(1 lines\)") as failure:
        change(tmp_path, {"r.py": "1\n"}, {"data.csv": "1,2\n" * 9000, "a.py": "1\n"})
    assert failure.value.reason is Reason.DIFF_TOO_LARGE


def test_attributes_of_the_repository_run_no_program_and_hide_nothing(tmp_path: Path) -> None:
    diff, _ = change(tmp_path, {".gitattributes": "*.py diff=evil filter=evil -diff\n", "a.py": "1\n"}, {"a.py": "2\n"})
    assert "+2\n" in diff.patch


def test_a_commit_s_words_and_dates(tmp_path: Path) -> None:
    repository = Repository.create(tmp_path / "repository")
    repository.commit({"a": "1\n"})
    repository.commit({"a": "2\n"}, "Make it fast (#321)\n\nBecause.\n")
    mirror, _, head = mirrored(repository)
    info = read_commit(mirror, head)
    assert (info.subject, info.message, info.pull_request) == (
        "Make it fast (#321)",
        "Make it fast (#321)\n\nBecause.",
        321,
    )
    assert info.commit_date == "2024-01-01T02:02:00+02:00"


_LINES = st.lists(st.sampled_from(["a", "b", "  c", "", "def f():", "--x", "++y", "\u00fc", "d\r"]), max_size=8)
_TEXT = st.builds(lambda lines, end: "\n".join(lines) + ("\n" if end and lines else ""), _LINES, st.booleans())
_FILES = st.dictionaries(
    st.sampled_from(["a.py", "pkg/b.py", "tests/test_c.py", "d e.txt", "pkg/f_test.py", "g"]),
    _TEXT,
    min_size=1,
    max_size=5,
)


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=_FILES, after=_FILES)
def test_both_patches_on_base_give_head(before: dict[str, str], after: dict[str, str]) -> None:
    if before == after:
        return
    with tempfile.TemporaryDirectory() as folder:
        gone: dict[str, str | bytes | None] = dict.fromkeys(set(before) - set(after))
        diff, repository = change(Path(folder), dict(before), {**after, **gone})
        assert applied(repository, diff) == {name: text.encode() for name, text in after.items()}
        for item in diff.changes:
            numbered = (after.get(item.path, "")).split("\n")
            hunks = item.patch.partition("\n@@ ")[2].split("\n")
            added = [line[1:] for line in hunks if line.startswith("+")]
            assert [numbered[number - 1] for number in sorted(item.added)] == added


def test_a_diff_is_the_same_whatever_the_user_has_configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "config"
    config.write_text("[diff]\n noprefix = true\n mnemonicPrefix = true\n external = false\n[color]\n ui = always\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(config))
    assert subprocess.run(["git", "config", "diff.external"], capture_output=True, check=True).stdout == b"false\n"
    diff, _ = change(tmp_path, {"a.py": "1\n"}, {"a.py": "2\n"})
    assert diff.patch.startswith("diff --git a/a.py b/a.py\nindex ")
