"""Names are deterministic, valid and distinct."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_operator.core import naming

DNS = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?")
ROLES = st.sampled_from(
    ["prepare-base", "prepare-head", "prepare-main", "generate", "base", "head", "main", "collect-0123456789abcdef"]
)


@given(owner=st.text(min_size=1, max_size=253), uid=st.uuids(), role=ROLES, attempt=st.integers(1, 10**6))
def test_a_child_name_is_a_dns_label_that_depends_on_nothing_else(
    owner: str, uid: object, role: str, attempt: int
) -> None:
    name = naming.child_name(owner=owner, uid=str(uid), role=role, attempt=attempt)
    assert len(name) <= 63
    assert DNS.fullmatch(name)
    assert name == naming.child_name(owner=owner, uid=str(uid), role=role, attempt=attempt)


@given(
    owner=st.text(min_size=1, max_size=253),
    one=st.tuples(st.uuids(), ROLES, st.integers(1, 99)),
    other=st.tuples(st.uuids(), ROLES, st.integers(1, 99)),
)
def test_distinct_attempts_have_distinct_names(
    owner: str, one: tuple[object, str, int], other: tuple[object, str, int]
) -> None:
    names = {
        naming.child_name(owner=owner, uid=str(uid), role=role, attempt=attempt) for uid, role, attempt in (one, other)
    }
    assert len(names) == len({one, other})


@given(st.text(max_size=300))
def test_a_label_value_is_valid_for_any_text(text: str) -> None:
    value = naming.label_value(text)
    assert len(value) <= 63
    assert LABEL.fullmatch(value)


OBJECT = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", fullmatch=True)


@given(OBJECT, OBJECT)
def test_files_of_distinct_objects_have_distinct_names_that_any_file_system_takes(one: str, other: str) -> None:
    assert len(f".{naming.file_stem(one)}.swe-perf.jsonl.12345678") <= 255
    assert (naming.file_stem(one) == naming.file_stem(other)) == (one == other)


@pytest.mark.parametrize(("length", "same"), [(1, True), (200, True), (201, False), (253, False)])
def test_only_a_very_long_name_is_cut(length: int, *, same: bool) -> None:
    name = "d" * length
    assert (naming.file_stem(name) == name) is same
    assert naming.file_stem(name).startswith(name[:190])


def test_people_recognise_their_commit_in_a_job() -> None:
    name = naming.child_name(owner="vllm-0f40557a", uid="7e2c", role="prepare-head", attempt=2)
    assert name.startswith("vllm-0f40557a-prepare-head-2-")


def test_a_child_goes_when_its_owner_goes() -> None:
    owner = {"kind": "Commit", "metadata": {"name": "a", "uid": "u-1"}}
    reference = naming.owner_reference(owner)
    assert reference["uid"] == "u-1"
    assert reference["controller"] is True
    assert naming.labels(owner, role="base", attempt=1)[naming.UID_LABEL] == "u-1"


@pytest.mark.parametrize(
    ("role", "policy"),
    [
        ("prepare-base", "prepare"), ("prepare-main", "prepare"), ("generate", "generate"), ("base", "measure"), ("head", "measure"),
        ("main", "measure"), ("collect-0123456789abcdef", "collect"),
    ],
)  # fmt: skip
def test_a_role_names_its_network_policy(role: str, policy: str) -> None:
    found = naming.labels({"metadata": {"name": "a", "uid": "u"}}, role=role, attempt=1)
    assert found[naming.NETWORK_LABEL] == policy
