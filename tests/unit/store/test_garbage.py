"""What is kept and what is not, as a table over frozen holdings; and what a resource refers to."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_operator.core.naming import child_name
from isobench_operator.local.collecting import DoubtError, check, roots
from isobench_runner.garbage import (
    Blob,
    Garbage,
    Holdings,
    Name,
    Roots,
    Unfinished,
    from_json,
    garbage,
    reachable,
    to_json,
)
from isobench_runner.transcript import log_name

NOW, OLD, NEW = 100.0, 10.0, 90.0


def holdings(
    old: str = "", new: str = "", names: Iterable[tuple[str, str, float]] = (), young: float = 50.0
) -> Holdings:
    blobs = [Blob(one, 1, OLD) for one in old] + [Blob(one, 1, NEW) for one in new]
    return Holdings(tuple(blobs), tuple(Name(*one) for one in names), young)


@pytest.mark.parametrize(
    ("held", "asked", "references", "kept"),
    [
        pytest.param(holdings("abc"), Roots(), {}, "", id="nothing is referred to"),
        pytest.param(holdings("abc"), Roots(frozenset("b")), {}, "b", id="a root"),
        pytest.param(holdings("abc"), Roots(frozenset("bz")), {}, "b", id="a root that the store does not have"),
        pytest.param(holdings("abcd"), Roots(frozenset("a")), {"a": "b", "b": "cz"}, "abc", id="what a root refers to, and that in turn"),
        pytest.param(holdings("abc"), Roots(frozenset("a")), {"a": "b", "b": "a"}, "ab", id="a circle ends"),
        pytest.param(holdings("abc"), Roots(), {"a": "b", "b": "a"}, "", id="a circle does not keep itself"),
        pytest.param(holdings("ab", "c"), Roots(), {}, "c", id="what is young"),
        pytest.param(holdings("ab", "c"), Roots(), {"c": "a"}, "ac", id="what is young refers to what is old"),
        pytest.param(holdings("ab", names=[("n", "a", OLD)]), Roots(), {}, "", id="an old name keeps nothing"),
        pytest.param(holdings("ab", names=[("n", "a", NEW)]), Roots(), {"a": "b"}, "ab", id="a name that was used keeps what it means"),
        pytest.param(holdings("ab", names=[("n", "a", OLD)]), Roots(names=frozenset("n")), {}, "a", id="a name that is a root"),
        pytest.param(holdings("ab", "c", young=NEW), Roots(), {}, "", id="as old as the grace is not young"),
        pytest.param(holdings("abcd"), Roots(records=frozenset("a")), {"a": "bz", "b": "c"}, "ab", id="what records name, and not what that refers to"),
        pytest.param(holdings("abc"), Roots(frozenset("b"), records=frozenset("a")), {"a": "b", "b": "c"}, "abc", id="unless another refers to it"),
        pytest.param(holdings("bc"), Roots(records=frozenset("a")), {"a": "b"}, "", id="records that the store does not have"),
        pytest.param(holdings(), Roots(frozenset("a")), {"a": "b"}, "", id="an empty store"),
    ],
)  # fmt: skip
def test_what_is_reachable(held: Holdings, asked: Roots, references: Mapping[str, str], kept: str) -> None:
    assert reachable(held, asked, references) == frozenset(kept)


LETTERS = st.sampled_from("abcdefgh")


@given(
    st.dictionaries(LETTERS, st.sampled_from([OLD, NEW])),
    st.sets(LETTERS),
    st.dictionaries(LETTERS, st.sets(LETTERS)),
    st.lists(st.tuples(LETTERS, LETTERS, st.sampled_from([OLD, NEW]))),
)
def test_what_is_kept_and_what_goes_are_the_whole_and_no_reference_is_left_dangling(
    blobs: dict[str, float], asked: set[str], references: dict[str, set[str]], names: list[tuple[str, str, float]]
) -> None:
    held = Holdings(tuple(Blob(one, 1, at) for one, at in blobs.items()), tuple(Name(*one) for one in names), 50.0)
    kept = reachable(held, Roots(frozenset(asked)), references)
    gone = garbage(held, Roots(frozenset(asked)), kept)
    digests = {blob.digest for blob in gone.blobs}
    assert kept | digests == blobs.keys()
    assert not kept & digests
    assert not digests & asked
    assert not any(blob.written > 50.0 for blob in gone.blobs)
    assert not any(digest in digests for one in kept for digest in references.get(one, ()))
    assert all(name.digest not in kept and name.written <= 50.0 for name in gone.names)


def test_the_largest_stands_first_and_a_name_goes_with_its_blob() -> None:
    names = (Name("kept", "a", OLD), Name("goes", "b", OLD), Name("dangling", "z", OLD), Name("lost-root", "y", OLD))
    held = Holdings((Blob("a", 5, OLD), Blob("b", 7, OLD), Blob("c", 9, OLD)), names, 50.0)
    gone = garbage(held, Roots(names=frozenset({"lost-root"})), frozenset("a"))
    assert [blob.digest for blob in gone.blobs] == ["c", "b"]
    assert [one.name for one in gone.names] == ["dangling", "goes"]
    assert gone.size == 16


def test_a_survey_reads_as_it_was_written() -> None:
    gone = Garbage((Blob("b", 7, OLD),), (Name("n", "b", OLD),), (Unfinished("sha256/.x", 3, OLD),))
    assert from_json(json.loads(json.dumps(to_json(holdings("ab"), gone)))) == gone


def digest(letter: str) -> str:
    return f"sha256:{letter * 64}"


COMMIT: dict[str, Any] = {
    "apiVersion": "isobench.dev/v1alpha1", "kind": "Commit",
    "metadata": {"name": "c", "namespace": "bench", "uid": "7e2c", "annotations": {"note": digest("9")}}, "spec": {},
    "status": {
        "stages": [{"name": "base", "attempt": 2, "state": "Pending"}], "artifacts": {"inputs": digest("a")},
        "revisions": [{"name": "head", "environment": digest("b"), "result": digest("c"), "distributions": digest("d"), "evidence": digest("e")}],
        "test": {"digest": digest("f"), "first": {"digest": digest("0")}, "fallen": {"digest": digest("1"), "evidence": digest("2"), "reason": "TestFailed"}},
    },
}  # fmt: skip
DATASET: dict[str, Any] = {
    "apiVersion": "isobench.dev/v1alpha1", "kind": "Dataset", "metadata": {"name": "all", "namespace": "bench", "uid": "d1"}, "spec": {},
    "status": {"inputs": digest("3"), "attempt": 2, "files": [{"name": "all.jsonl", "digest": digest("4")}]},
}  # fmt: skip


def test_a_commit_refers_to_everything_that_it_names_and_to_the_logs_of_every_attempt() -> None:
    found = roots([COMMIT])
    assert found.digests == {digest(one) for one in "abcdef0129"}
    logs = {log_name(child_name(owner="c", uid="7e2c", role="base", attempt=number)) for number in (1, 2)}
    assert logs <= found.names
    assert log_name(child_name(owner="c", uid="7e2c", role="base", attempt=3)) not in found.names
    assert log_name(child_name(owner="c", uid="7e2c", role="main", attempt=1)) in found.names


def test_a_dataset_refers_to_its_files_and_to_the_log_of_its_collection() -> None:
    found = roots([DATASET])
    assert digest("4") in found.digests
    assert log_name(child_name(owner="all", uid="d1", role=f"collect-{'3' * 16}", attempt=2)) in found.names


def test_where_environments_may_go_a_datasets_files_are_records() -> None:
    found = roots([COMMIT, DATASET], environments=True)
    assert found.records == {digest("4")}
    assert digest("4") not in found.digests
    assert digest("b") in found.digests
    assert roots([COMMIT, DATASET]).records == frozenset()


def test_a_resource_without_a_status_is_no_doubt() -> None:
    body = {name: value for name, value in COMMIT.items() if name != "status"}
    assert roots([body]).digests == {digest("9")}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "Model"}, "model/c in bench is of a kind or version that this release does not know"),
        ({"apiVersion": "isobench.dev/v1"}, "kind or version"),
        ({"status": {"blob": digest("a")}}, "the status of commit/c in bench is not understood: .*blob"),
        ({"status": {"revisions": "none"}}, "is not understood"),
        ({"status": {"artifacts": {"inputs": "sha256:cut"}}}, "is not understood"),
        ({"metadata": {"name": "c", "namespace": "bench"}}, "is not understood: 'uid'"),
    ],
)
def test_what_is_not_understood_is_a_doubt(change: dict[str, Any], words: str) -> None:
    with pytest.raises(DoubtError, match=words):
        roots([DATASET, {**COMMIT, **change}])


FINISHED = {**COMMIT, "status": {"conditions": [{"type": "Finished", "status": "True"}]}}


@pytest.mark.parametrize(
    ("resources", "hours", "refused"),
    [
        ([FINISHED], 0, False),
        ([], 0, False),
        ([FINISHED, COMMIT], 5, True),
        ([COMMIT], 6, False),
        ([DATASET], 0, True),
    ],
)
def test_a_short_grace_is_for_when_nothing_is_under_way(resources: list[Any], hours: int, *, refused: bool) -> None:
    if refused:
        with pytest.raises(DoubtError, match="is under way"):
            check(resources, grace_seconds=hours * 3600)
    else:
        check(resources, grace_seconds=hours * 3600)
