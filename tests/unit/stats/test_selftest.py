"""What the self-test concludes from rounds, for people and for machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from isobench_runner import selftest, selftest_words
from isobench_runner.stats.rounds import parse_rounds
from isobench_runner.stats.summary import Rule, Summary, summarise
from support.rounds import make_rounds

QUIET: dict[str, Any] = {
    "affinity": [0, 1],
    "cpu": {"model": "AMD EPYC", "governor": "performance"},
    "cpu_quota": "max 100000",
}


def summary(ratio: float, noise: float, *, rounds: int = 16, other: str = "head", disturbed: int = 0) -> Summary:
    raw = make_rounds(rounds=rounds, ratio=ratio, noise=noise, other=other)
    for line in raw[:disturbed]:
        line["cause"] = "the CPU quota throttled the container"
    content = "\n".join(map(json.dumps, raw)).encode()
    found = summarise(parse_rounds(content, base="base", other=other)[0], loops=1, rule=Rule(delta=0.02))
    assert found is not None
    return found


def found(same: Summary, injected: Summary, **machine: Any) -> selftest.Selftest:
    return selftest.Selftest(
        same=same, injected=injected, machine=QUIET | machine, budget_seconds=60, isolation=("pod", "the pod is the sandbox"), node="n1"
    )  # fmt: skip


EQUAL = summary(1.0, 0.002, other="base2")


@pytest.mark.parametrize(
    ("same", "injected", "outcome", "good", "advice"),
    [
        (EQUAL, summary(selftest.TRUTH, 0.002), "found", True, "Nothing to do"),
        (EQUAL, summary(selftest.TRUTH, 0.3), "missed", False, "An effect of 5 % was not told in 30 s"),
        (EQUAL, summary(1.2, 0.002), "wrong", False, "does not hold the truth"),
        (summary(1.03, 0.002, other="base2"), summary(selftest.TRUTH, 0.002), "found", False, "no ratio measured here"),
        (summary(1.0, 0.08, other="base2"), summary(selftest.TRUTH, 0.002), "found", True, "will be inconclusive here"),
        (
            summary(1.0, 0.002, other="base2", rounds=4),
            summary(selftest.TRUTH, 0.002),
            "found",
            True,
            "give --budget more",
        ),
        (
            EQUAL,
            summary(selftest.TRUTH, 0.002, disturbed=6),
            "found",
            True,
            "In 6 of 32 rounds others took the CPUs away",
        ),
    ],
)
def test_a_machine_is_good_where_equal_is_equal_and_the_extra_work_is_found(
    same: Summary, injected: Summary, outcome: str, good: bool, advice: str
) -> None:
    told = found(same, injected)
    assert (told.outcome, told.good) == (outcome, good)
    assert advice in selftest_words.advice(told)[0]
    assert json.loads(json.dumps(selftest_words.as_json(told), allow_nan=False))["ok"] is good
    assert outcome in "\n".join(selftest_words.in_words(told))


@pytest.mark.parametrize(
    ("same", "injected", "lines"),
    [
        (EQUAL, summary(selftest.TRUTH, 0.002), ["no difference seen, as it should be", "found, and the truth, 1.05, lies inside", "Good: in 30 s this machine tells 5 % from nothing."]),
        (EQUAL, summary(selftest.TRUTH, 0.3), ["missed: it could as well be no effect", "Not good: in 30 s this machine does not tell 5 % from nothing."]),
        (EQUAL, summary(1.2, 0.002), ["wrong: the truth, 1.05, lies outside", "Not good: what this machine measures cannot be believed as it is now."]),
        (summary(1.03, 0.002, other="base2"), summary(selftest.TRUTH, 0.002), ["DIFFERENT, although it is the same", "cannot be believed"]),
        (summary(1.01, 0.002, other="base2"), summary(selftest.TRUTH, 0.002), ["apart by so little that the floor takes it in", "noise floor           1.", "Good: "]),
        (summary(1.0, 0.002, other="base2", rounds=4), summary(selftest.TRUTH, 0.002, rounds=5), ["from 4 rounds: too few rounds to tell", "missed, too few rounds to tell", "noise floor           unknown"]),
    ],
)  # fmt: skip
def test_people_are_told_what_each_line_means_and_how_it_ends(
    same: Summary, injected: Summary, lines: list[str]
) -> None:
    text = "\n".join(selftest_words.in_words(found(same, injected)))
    assert [line for line in lines if line not in text] == []


@pytest.mark.parametrize(
    ("machine", "words"),
    [
        ({"affinity": [0]}, "There is one CPU"),
        ({"cpu_quota": "150000 100000"}, "no whole number of CPUs"),
        ({"cpu": {"governor": "powersave"}}, "powersave"),
        ({"cpu_quota": "200000 100000"}, "Nothing to do"),
        ({"cpu": None, "cpu_quota": None, "affinity": None}, "Nothing to do"),
    ],
)
def test_what_a_machine_lacks_is_said_with_its_remedy(machine: dict[str, Any], words: str) -> None:
    told = found(EQUAL, summary(selftest.TRUTH, 0.002), **machine)
    assert any(words in line for line in selftest_words.advice(told))
    assert selftest_words.in_words(told)


def test_the_injected_work_is_exact() -> None:
    assert pytest.approx(1.05) == selftest.TRUTH
    assert selftest.UNITS["base"] * 100 == selftest.UNITS["head"] * 105
