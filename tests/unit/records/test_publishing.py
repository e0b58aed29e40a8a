"""Which rows a push leaves, and what names a repository."""

from __future__ import annotations

import dataclasses

import pytest

from isobench_runner.records.dedup import HELD, NEW, Entry
from isobench_runner.records.publishing import Change, merge, repository


def row(head: str, *, finished: str = "2026-01-01", source: str = NEW, **fields: str) -> Entry:
    known = {
        "offset": 0,
        "repo": "o/r",
        "subject": "",
        "created_at": "",
        "test": "",
        "device": "",
        "image": "",
        "digest": "",
    }
    return dataclasses.replace(Entry(source=source, head=head, finished=finished, **known), **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("acme", (None, "acme/speedups")),
        ("acme/rocket", (None, "acme/rocket")),
        ("acme/rocket/", (None, "acme/rocket")),
        ("https://huggingface.co/datasets/acme/rocket", (None, "acme/rocket")),
        ("https://hf.co/acme", (None, "acme/speedups")),
        ("https://hub.example.org:8443/datasets/acme/rocket", ("https://hub.example.org:8443", "acme/rocket")),
    ],
)
def test_a_repository_is_an_owner_a_name_or_a_url(text: str, found: tuple[str | None, str]) -> None:
    assert repository(text, "speedups") == found


@pytest.mark.parametrize("text", ["", "a/b/c", "https://huggingface.co", "../x", "a b"])
def test_what_names_no_repository_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="names no repository"):
        repository(text, "speedups")


def test_of_two_measurements_of_one_commit_the_last_stays_whatever_came_of_it() -> None:
    ours = [row("a", finished="2026-01-02", test="2"), row("a", finished="2026-01-01", test="1"), row("b")]
    there = [row("a", finished="2026-01-01", source=HELD), row("c", source=HELD)]
    rows, published = merge(ours, there, keep="latest")
    assert [(one.head, one.source, one.test) for one in rows] == [("a", NEW, "2"), ("b", NEW, ""), ("c", HELD, "")]
    assert published.keys() == {("o/r", "a"), ("o/r", "c")}
    rows, _ = merge(ours, there, keep="published")
    assert [(one.head, one.source) for one in rows] == [("a", HELD), ("b", NEW), ("c", HELD)]
    newer = [row("a", finished="2026-01-03", source=HELD)]
    assert merge(ours, newer, keep="latest")[0][0].source == HELD


def test_a_change_is_told_row_by_row() -> None:
    change = Change()
    bodies = [{"instance_id": name, "repo": "o/r", "head_commit": name * 40} for name in "abc"]
    change.see(row("a"), bodies[0], None)
    change.see(row("b"), bodies[1], {**bodies[1], "speedup": 2.0})
    change.see(row("c"), bodies[2], dict(bodies[2]))
    change.see(row("d", source=HELD), bodies[2], dict(bodies[2]))
    assert change.words() == "1 added, 1 replaced, 1 kept, 1 unchanged"
    assert [line.split()[:2] for line in change.lines] == [["added", "a"], ["replaced", "b"]]
    assert (change.records, change.nothing) == (4, False)
