"""The report's one file, read as a parser reads it."""

# ruff: noqa: RUF001 - the page's own typography

import dataclasses
from html.parser import HTMLParser

import pytest
import yaml

from isobench_operator.reporting import write_report
from isobench_runner.contract import EXPLANATIONS, Reason
from isobench_runner.store import Store
from support.run_folder import CASES, Case, commit_document, write_run_folder

VOID = {"meta", "link", "br", "hr", "img", "input", "line", "rect", "circle"}


class Page(HTMLParser):
    """Tags, attributes and text; unbalanced tags are an error."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.words, self.open = [], [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join("".join(self.words).split())


def page_of(folder):
    return Page(write_report(folder).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return page_of(write_run_folder(tmp_path_factory.mktemp("out")))


def test_every_commit_is_told_with_its_verdict(page):
    for case in CASES:
        assert case.subject in page.text
        assert case.name in page.text
    for label in ("3 faster", "1 slower", "1 negligible", "1 no change", "1 inconclusive", "2 no verdict"):
        assert label in page.text


def test_every_failure_is_told_with_reason_meaning_remedy_and_last_lines(page):
    for reason in (Reason.INSTALL_FAILED, Reason.BEHAVIOUR_CHANGED):
        explanation = EXPLANATIONS[reason]
        for words in (reason.value, explanation.meaning, explanation.remedy):
            assert words in page.text
    assert "fatal error: ffi.h: No such file or directory" in page.text


def test_flags_and_a_lack_of_isolation_are_told_in_words(page):
    assert "heavy_tail : The ratio of means lies outside" in page.text.replace("heavy_tail:", "heavy_tail :")
    assert "isolation: none. The test ran as an ordinary process" in page.text


def test_first_calls_and_cpu_time_are_told_beside_later_calls(page):
    for words in ("Later calls", "First call of a process", "CPU time of later calls"):
        assert page.text.count(words) == 7
    assert "Later calls 1.83× (1.80–1.86)" in page.text


def test_a_main_that_failed_alone_is_a_note(page):
    assert f"PackageNotFound: {EXPLANATIONS[Reason.PACKAGE_NOT_FOUND].meaning}" in page.text


def test_nothing_is_fetched_and_nothing_is_executed(page):
    assert "script" not in page.tags
    assert not {tag for tag in page.tags if tag in ("iframe", "object", "embed", "img", "form", "base")}
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href", "action", "srcset", "data"):
            assert value.startswith("#") or (tag, value) == ("link", "data:,")
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes


def test_pictures_are_described_and_tables_have_heads(page):
    labels = [value for tag, name, value in page.attributes if name == "aria-label"]
    assert sum("Samples of base and head" in label for label in labels) == 7
    assert page.tags.count("table") <= page.tags.count("th")
    anchors = {value for _, name, value in page.attributes if name == "id"}
    links = {value[1:] for tag, name, value in page.attributes if (tag, name) == ("a", "href")}
    assert links <= anchors


def test_equal_folders_give_equal_pages(tmp_path):
    first, second = (write_run_folder(tmp_path / name / "out") for name in "ab")
    assert write_report(first).read_bytes() == write_report(second).read_bytes()
    assert write_report(first).read_bytes() == write_report(second).read_bytes()


HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'`${x}{{ 7*7 }}<!-- \u202egnp.exe \u0000\x1b[31m"
)


def test_hostile_words_stay_words_wherever_they_stand(tmp_path):
    case = Case(
        name="hostile", subject=HOSTILE, speedup=2, repository=f"a/{HOSTILE}", patch=HOSTILE, script=HOSTILE, gpu=HOSTILE,
        flags=(HOSTILE,), main=HOSTILE, generated=True,
    )  # fmt: skip
    failed = dataclasses.replace(case, name="hostile-too", reason=Reason.TEST_FAILED, tail=HOSTILE)
    folder = tmp_path / "out"
    store = Store(folder / "artifacts")
    (folder / "status").mkdir(parents=True)
    for one in (case, failed):
        body = commit_document(one, store)
        body["metadata"]["name"] = HOSTILE
        for condition in body["status"]["conditions"]:
            condition["reason"] = HOSTILE if condition["reason"] == "TestFailed" else condition["reason"]
        for revision in body["status"]["revisions"]:
            revision |= {"node": HOSTILE, "sha": HOSTILE}
        (folder / "status" / f"commit-{one.name}.yaml").write_text(yaml.safe_dump(body, allow_unicode=False))
    page = page_of(folder)
    harmless = {"script", "img"}
    assert not harmless & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert "</script><script>alert(1)</script>" in page.text
    assert "{{ 7*7 }}" in page.text


def test_a_huge_patch_is_cut_with_a_note(tmp_path):
    patch = "diff --git a/x b/x\n@@ -1 +1 @@\n" + "+line\n" * 200_000
    folder = write_run_folder(tmp_path, (Case(name="huge", subject="Huge", speedup=2, patch=patch),))
    page = page_of(folder)
    assert "of 200002 lines are left out here" in page.text
    assert (folder / "report.html").stat().st_size < 1_500_000


def test_artifacts_that_are_gone_are_told_and_the_rest_is_shown(tmp_path):
    folder = write_run_folder(tmp_path, CASES[:1])
    for path in (folder / "artifacts" / "sha256").rglob("*"):
        if path.is_file():
            path.unlink()
    page = page_of(folder)
    assert "artifacts that status names are not in this folder" in page.text
    assert "head is 1.83× faster than base" in page.text


@pytest.mark.parametrize(
    "status",
    [
        None, [], "x", {"conditions": 3}, {"conditions": [None]}, {"revisions": [1]}, {"result": "x", "test": []},
        {"artifacts": {"inputs": "sha256:x"}}, {"revisions": [{"name": "head", "result": 7}]},
    ],
)  # fmt: skip
def test_a_status_of_any_form_has_a_page(status, tmp_path):
    (tmp_path / "status").mkdir()
    body = {"kind": "Commit", "metadata": {"name": "odd"}, "spec": None, "status": status}
    (tmp_path / "status" / "commit-odd.yaml").write_text(yaml.safe_dump(body))
    assert "odd" in page_of(tmp_path).text


@pytest.mark.parametrize("text", ["{", "\x00", "[1]", ""])
def test_a_document_that_cannot_be_read_does_not_hide_the_others(text, tmp_path):
    folder = write_run_folder(tmp_path, CASES[:1])
    (folder / "status" / "commit-torn.yaml").write_text(text)
    assert "faster" in page_of(folder).text


def test_a_folder_where_nothing_was_run_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="isobench run"):
        write_report(tmp_path)


def test_an_empty_run_has_a_page(tmp_path):
    (tmp_path / "status").mkdir()
    assert "0 commits" in page_of(tmp_path).text


@pytest.mark.slow
def test_a_thousand_commits_make_a_page_that_a_browser_can_open(tmp_path):
    folder = tmp_path
    store = Store(folder / "artifacts")
    (folder / "status").mkdir()
    body = commit_document(CASES[0], store)
    for number in range(1000):
        body["metadata"]["name"] = f"c{number}"
        (folder / "status" / f"commit-c{number}.yaml").write_text(
            yaml.dump(body, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
        )
    assert write_report(folder).stat().st_size < 40_000_000
