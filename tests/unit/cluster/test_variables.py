"""`$(VAR)` is expanded by Kubernetes' rule, and of the user's environment only what is listed gets through."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_operator.cluster.embedded.variables import container_variables, expand, trusted_base, untrusted_base

KNOWN = {"A": "1", "B": "$(A)", "EMPTY": "", "odd name": "x"}
NAMES = st.sampled_from([*KNOWN, "NONE"])
PIECES = st.one_of(
    st.text(alphabet="$()AB x", max_size=6), NAMES.map(lambda name: f"$({name})"), NAMES.map(lambda name: f"$$({name})")
)


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"), ("$(A)$(A)", "11"), ("x$(A)y", "x1y"), ("$(NONE)", "$(NONE)"), ("$$(A)", "$(A)"), ("$$$(A)", "$1"), ("$$$$(A)", "$$(A)"),
        ("$(B)", "$(A)"), ("$(EMPTY)", ""), ("$A", "$A"), ("$", "$"), ("$$", "$"), ("a$", "a$"), ("$(A", "$(A"), ("$()", "$()"), ("$(odd name)", "x"),
        ("$($(A))", "$($(A))"), ("$x$(A)", "$x1"), ("${A}", "${A}"),
    ],
)  # fmt: skip
def test_expansion_follows_kubernetes_table(text: str, expanded: str) -> None:
    assert expand(text, KNOWN.get) == expanded


@given(st.text())
def test_text_with_doubled_dollars_comes_back_as_it_was(text: str) -> None:
    assert expand(text.replace("$", "$$"), KNOWN.get) == text


@given(st.text(alphabet=st.characters(exclude_characters="$")))
def test_text_without_a_dollar_is_left_alone(text: str) -> None:
    assert expand(text, KNOWN.get) == text


@given(st.lists(PIECES).map("".join), st.lists(PIECES).map("".join))
def test_expansion_never_looks_back(left: str, right: str) -> None:
    separated = expand(f"{left} . {right}", KNOWN.get)
    assert separated.endswith(expand(right, KNOWN.get)) or "$(" in left


def test_a_variable_sees_those_before_it_and_what_the_runtime_says_wins() -> None:
    declared = [
        {"name": "ISOBENCH_ROOT", "value": "/isobench"},
        {"name": "LATER", "value": "$(NEXT)"},
        {"name": "NEXT", "value": "$(ISOBENCH_ROOT)/x"},
        {"name": "NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "GONE", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k", "optional": True}}},
        {"name": "NOTHING"},
    ]
    found = container_variables(
        declared, forced={"ISOBENCH_ROOT": "/real"}, value_from=lambda source: "here" if "fieldRef" in source else None
    )
    assert found == {"ISOBENCH_ROOT": "/real", "LATER": "$(NEXT)", "NEXT": "/real/x", "NODE": "here", "NOTHING": ""}


USER = {
    "PATH": "/home/u/bin:/usr/bin", "HOME": "/home/u", "OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k", "HF_TOKEN": "k", "AWS_SECRET_ACCESS_KEY": "k", "LD_PRELOAD": "x",
    "PYTHONPATH": "x", "PIP_INDEX_URL": "https://index", "HTTPS_PROXY": "http://proxy", "SSH_AUTH_SOCK": "/run/ssh", "CUDA_VISIBLE_DEVICES": "1", "ISOBENCH_SECRET": "k",
}  # fmt: skip


def test_no_key_and_no_home_of_the_user_reaches_untrusted_code() -> None:
    root = Path("/o/jobs/j/attempt-1")
    building = untrusted_base(USER, root=root, offline=False)
    assert building == {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": f"{root}/tmp/home", "TMPDIR": f"{root}/tmp",
        "CUDA_VISIBLE_DEVICES": "1", "PIP_INDEX_URL": "https://index", "HTTPS_PROXY": "http://proxy",
    }  # fmt: skip
    assert untrusted_base(USER, root=root, offline=True).keys() == {
        "PATH",
        "LANG",
        "HOME",
        "TMPDIR",
        "CUDA_VISIBLE_DEVICES",
    }


@pytest.mark.parametrize(("name", "sees_agent"), [("fetch", True), ("generate", False), ("report", False)])
def test_fetch_alone_sees_the_users_git_and_no_trusted_container_a_key(name: str, sees_agent: bool) -> None:
    found = trusted_base(USER, container=name, root=Path("/r"))
    assert ("SSH_AUTH_SOCK" in found, "PIP_INDEX_URL" in found) == (sees_agent, sees_agent)
    assert "k" not in found.values()
    assert not found.keys() & {"LD_PRELOAD", "PYTHONPATH"}
    assert found["PYTHONNOUSERSITE"] == "1"
    # The untrusted containers' own folders are elsewhere: what they leave in theirs is never a trusted one's configuration.
    assert not {found["HOME"], found["TMPDIR"]} & set(untrusted_base(USER, root=Path("/r"), offline=True).values())
