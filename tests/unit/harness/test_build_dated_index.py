"""Where the index is cut, what a cut leaves, and how it is told to tools of every age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_runner.harness import dated_index

CUT = datetime(2021, 6, 1, tzinfo=UTC)


def page(name: str, *uploads: str | None) -> dict[str, Any]:
    files: list[dict[str, Any]] = []
    for number, upload in enumerate(uploads):
        entry: dict[str, Any] = {
            "filename": f"{name}-{number}.tar.gz",
            "url": f"../../files/{number}",
            "hashes": {"sha256": "00"},
        }
        files.append(entry if upload is None else entry | {"upload-time": upload})
    return {"meta": {"api-version": "1.1"}, "name": name, "files": files, "versions": ["0", "1"]}


def kept(answer: dict[str, Any]) -> list[str]:
    return [file["filename"] for file in answer["files"]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2021-06-01", "2021-06-01T00:00:00Z"),
        ("2021-06-01T02:03:04.123456Z", "2021-06-01T02:03:04Z"),
        ("2021-06-01T02:03:04+02:00", "2021-06-01T00:03:04Z"),
        ("2021-06-01 02:03", "2021-06-01T02:03:00Z"),
    ],
)
def test_times_are_read_in_every_form_that_git_and_indexes_write(text: str, expected: str) -> None:
    assert dated_index.format_time(dated_index.parse_time(text)) == expected


@pytest.mark.parametrize("text", ["", "yesterday", "2021-13-01", "20210601", "2021-06-01T"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        dated_index.parse_time(text)


@given(st.integers(946684800, 4102444800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)))
def test_a_written_time_reads_back_as_itself(moment: datetime) -> None:
    assert dated_index.parse_time(dated_index.format_time(moment)) == moment


@pytest.mark.parametrize(
    ("packages_as_of", "head", "python", "expected"),
    [
        ("head", "2023-05-01T12:00:00+02:00", (3, 8), "2023-05-02T10:00:00Z"),
        ("head", "2016-12-01T00:00:00Z", (3, 8), "2020-01-12T00:00:00Z"),
        ("head", "2024-10-01T00:00:00Z", (3, 13), "2025-01-05T00:00:00Z"),
        ("2022-02-03", "2016-12-01T00:00:00Z", (3, 8), "2022-02-04T00:00:00Z"),
        ("2022-02-03T04:05:06Z", "2016-12-01T00:00:00Z", (3, 13), "2022-02-03T04:05:06Z"),
    ],
)
def test_the_date_is_the_later_of_the_commit_and_its_python_unless_it_is_named(
    packages_as_of: str, head: str, python: tuple[int, int], expected: str
) -> None:
    moment = dated_index.resolve_as_of(packages_as_of, head, python)
    assert moment is not None
    assert dated_index.format_time(moment) == expected


def test_today_is_no_date_at_all() -> None:
    assert dated_index.resolve_as_of("today", "2016-12-01T00:00:00Z", (3, 8)) is None


def test_pythons_are_released_in_order_also_those_yet_to_come() -> None:
    days = [dated_index.python_released((3, minor)) for minor in range(8, 20)]
    assert days == sorted(set(days))


def test_files_of_the_moment_itself_and_of_unknown_times_are_cut() -> None:
    answer = dated_index.cut(
        page("a", "2021-05-31T23:59:59.999999Z", "2021-06-01T00:00:00Z", None), before=CUT, base="https://x/simple/a/"
    )
    assert kept(answer) == ["a-0.tar.gz"]
    assert answer["files"][0]["url"] == "https://x/files/0"
    assert "versions" not in answer


@given(st.lists(st.integers(-5000, 5000), max_size=20))
def test_a_cut_keeps_exactly_what_is_older(hours: list[int]) -> None:
    uploads = [dated_index.format_time(CUT + timedelta(hours=hour)) for hour in hours]
    answer = dated_index.cut(page("a", *uploads), before=CUT, base="https://x/simple/a/")
    assert len(answer["files"]) == sum(hour < 0 for hour in hours)


@pytest.mark.parametrize(("name", "count"), [("poetry_core", 2), ("flit-core", 2), ("setuptools", 1)])
def test_backends_without_editable_hooks_are_served_until_they_had_them(name: str, count: int) -> None:
    uploads = ["2021-01-01T00:00:00Z", "2022-03-01T00:00:00Z", "2022-03-02T00:00:00Z"]
    assert len(kept(dated_index.cut(page(name, *uploads), before=CUT, base="https://x/"))) == count


def test_an_index_without_times_cannot_be_cut_and_says_what_to_do() -> None:
    with pytest.raises(LookupError, match="packagesAsOf: today"):
        dated_index.cut(page("a", None, None), before=CUT, base="https://x/")


def test_html_carries_digest_python_and_yanking_escaped() -> None:
    file = {"filename": "a-1.tar.gz", "url": "https://x/a?b&c", "hashes": {"sha256": "ab"}, "requires-python": ">=3.8", "yanked": 'a "bad" one'}  # fmt: skip
    text = dated_index.to_html({"name": "a", "files": [file]})
    assert 'href="https://x/a?b&amp;c#sha256=ab"' in text
    assert 'data-requires-python="&gt;=3.8"' in text
    assert 'data-yanked="a &quot;bad&quot; one"' in text


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", True),
        ("application/vnd.pypi.simple.v1+json;q=0.2, text/html", False),
        ("text/html", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_json_goes_to_those_alone_who_prefer_it(accept: str, *, expected: bool) -> None:
    assert dated_index.wants_json(accept) is expected
