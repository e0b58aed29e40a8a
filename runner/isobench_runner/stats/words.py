"""A result in sentences: what a person should know before believing a number."""

from __future__ import annotations

import math
from typing import Any

from isobench_runner.harness.ranks import LOOKS

from .shifts import DRIFT
from .summary import Estimate, Summary

FLAG_WORDS = {
    "does_not_hit_change": "No changed line runs in a repeated call of the test: it may time something else.",
    "low_share": "Little of the test's time is spent in the changed functions, so the ratio is diluted.",
    "deferred_work": "Work went on after the call had returned.",
    "lazy_result": "The call returned something that does its work only when it is looked at.",
    "patched_timer": "A clock was replaced while the test ran.",
    "clock_mismatch": "The worker's clock disagreed with the parent's, whose time was taken.",
    "shifted_work": "Work was moved rather than saved: to the start of the process, into its first call, or to other cores.",
    "state_between_calls": "Later calls in one process are much faster than the first, so each sample had a process of its own.",
    "short_sample": "A call is shorter than a millisecond, so many were timed together where time allowed; effects of a cold cache are understated.",
    "memoised": "Later calls live on what the first call of a process left behind, so the verdict is about first calls.",
    "heavy_tail": "The ratio of means lies outside the interval of medians: the change may sit in the slowest calls.",
    "partly_skipped": "Some of the script's tests were skipped; only those that ran on both sides were timed.",
    "floor_elsewhere": "The noise floor was measured on another node and was not applied.",
    "libraries_differ": "Libraries other than the package itself differ between the two environments; the commit asks for them.",
    "settings_changed": "A process changed its own settings (garbage collector, CPUs or priority): the ratio may be the setting's.",
    "target_mocked": "The test holds a mock of the code under test and may have timed it.",
    "cpu_path_taken": "The test has a path for GPUs, and the one for CPUs ran.",
}
CLOCKS_APART = 0.02
SHARES_APART = 0.2
DISAGREE = 1.15
"""Cold, CPU and warm ratios further apart than this factor are worth a sentence."""
WAITED = 0.1
"""A share of waiting for the CPU that is worth a sentence."""
REVIEWED = 10
"""A speedup beyond which a person should look, as KernelBench's rules have it."""
RESTLESS = 3.0
"""A wall clock whose interval is this much wider than that of CPU time says more about the node than about the change."""


def _apart(one: Estimate, other: Estimate) -> bool:
    """Whether two ratios differ by more than the factor, and by more than their intervals."""
    far = max(one.speedup, other.speedup) / min(one.speedup, other.speedup) > DISAGREE
    if one.interval is None or other.interval is None:
        return far
    return far and (one.interval[0] > other.interval[1] or other.interval[0] > one.interval[1])


def _with_interval(estimate: Estimate) -> str:
    if estimate.interval is None:
        return f"{estimate.speedup:.2f}x"
    return f"{estimate.speedup:.2f}x ({estimate.interval[0]:.2f} to {estimate.interval[1]:.2f})"


def _width(estimate: Estimate) -> float:
    return estimate.interval[1] / estimate.interval[0] - 1 if estimate.interval else 0.0


def describe(
    summary: Summary,
    *,
    role: str,
    other: str,
    flags: list[str],
    isolation: str,
    precision_percent: float | None = None,
    unchecked: str | None = None,
    other_types: str | None = None,
) -> list[str]:
    """Sentences for the record and the report, the most important first.

    Args:
        precision_percent: the half-width that was asked for, where one was.
        other_types: how types, element types or shapes of the results differ, where they do.
        unchecked: why nobody knows whether both computed the same; None where it is known.
    """
    sentences = [_headline(summary, role=role, other=other), *_missing(summary), *_wide(summary, precision_percent)]
    if role != "base":
        sentences += [*_start(summary, other), *_unproved(summary), *_cores(summary, other), *_large(summary, other)]
        if unchecked:
            sentences.append(f"Whether both computed the same was not established: {unchecked.rstrip('.')}.")
    if other_types:
        sentences.append(
            f"The results are made of other types, and the test's check lets that pass: {other_types}. Less precision is less work."
        )
    if summary.disturbed:
        whole = summary.discarded + summary.judgement.rounds
        sentences.append(
            f"Others took the CPUs away in {summary.discarded + summary.disturbed} of {whole} rounds, more than may be left out; {summary.disturbed} of them count, and the interval is wider for it."
        )
    if summary.waited_share > WAITED:
        sentences.append(
            f"Others held the CPU for {summary.waited_share * 100:.0f} % of the samples' time; both sides use one CPU, so their waiting for it was not counted."
        )
    if summary.drift is not None and abs(summary.drift) > DRIFT:
        sentences.append(
            f"base's own time changed by {summary.drift * 100:+.0f} % between the first and the last third of the rounds; each round compares both sides within it, so the ratio holds."
        )
    sentences.extend(FLAG_WORDS[flag] for flag in flags)
    if isolation == "none":
        sentences.append("The test ran without isolation (isolation: none).")
    return sentences


def _headline(summary: Summary, *, role: str, other: str) -> str:
    judgement = summary.judgement
    if judgement.interval is None:
        return f"Only {judgement.rounds} rounds were measured, too few for an interval."
    low, high = judgement.interval
    level = f"{judgement.level * 100:.0f} % interval {low:.3f} to {high:.3f}, {judgement.rounds} rounds"
    if role == "base":
        return f"base beside itself: {judgement.speedup:.3f}x ({level})."
    calls = "In the first call of a fresh process " if summary.headline == "first_call" else ""
    return f"{calls}{other} takes base's time divided by {judgement.speedup:.3f} ({level}): {judgement.verdict.replace('_', ' ')}."


def _missing(summary: Summary) -> list[str]:
    """What it would take to say more."""
    judgement, rule = summary.judgement, summary.rule
    if judgement.verdict != "inconclusive":
        return []
    sentences = []
    if judgement.rounds_needed:
        sentences.append(
            f"About {judgement.rounds_needed} rounds would be needed to tell an effect of {rule.delta * 100:.1f} %: {more_rounds(judgement.rounds_needed)}."
        )
    if rule.floor > rule.delta:
        sentences.append(
            f"Base beside itself came out up to {rule.floor * 100:.1f} % apart on this node: smaller effects are not believed."
        )
    return sentences


def _wide(summary: Summary, wanted: float | None) -> list[str]:
    """What it would take to be as precise as was asked for."""
    seen, rounds = summary.half_width_percent, summary.judgement.rounds
    if not wanted or seen is None or seen <= wanted:
        return []
    needed = max(rounds + 1, math.ceil(rounds * (seen / wanted) ** 2))
    more = more_rounds(needed, instead="raise measurement.precisionPercent")
    return [f"The interval reaches {seen:.2g} % to either side, and {wanted:g} % was asked for: {more}."]


def more_rounds(needed: int, *, instead: str = "raise measurement.minimumEffectPercent") -> str:
    """What to do for so many rounds, or where there is no getting so many."""
    if needed <= LOOKS[-1]:
        return "raise measurement.budgetSeconds or measure on a quieter node"
    return f"a Job takes {LOOKS[-1]} at most, so measure on a quieter node, give a call more work, or {instead}"


def _start(summary: Summary, other: str) -> list[str]:
    """The first call beside later ones."""
    gains, cold, warm = summary.shifts.gains, summary.cold, summary.warm
    if summary.headline == "first_call":
        why = (
            "they find the work of the first call done."
            if summary.shifts.memoised
            else f"every call had the same input, and {summary.judgement.rounds} rounds cannot tell whether they live on what the first one left behind. A setup(seed) that gives every call an input of its own settles it."
        )
        return [f"Later calls would give {_with_interval(warm)}: {why}"]
    if summary.shifts.to_startup:
        first = f", its first call gains {gains.cold:.3g} ms" if gains.cold is not None else ""
        start = (
            f"starting a process takes {-gains.startup:.3g} ms of CPU time more"
            if gains.startup is not None and gains.startup < 0
            else "starting a process takes as long"
        )
        return [
            f"On {other} {start}{first}, and each later call gains {gains.warm:.3g} ms: work was moved to the start, not saved."
        ]
    if cold is None or not _apart(cold, warm):
        return []
    if summary.judgement.verdict not in ("faster", "slower") and cold.interval is not None and cold.interval[0] > 1:
        return [
            f"The change only helps start-up: the first call of a fresh process gives {_with_interval(cold)}, later ones do not gain."
        ]
    return [
        f"In the first call of a fresh process the ratio is {_with_interval(cold)}: the change acts differently at start-up."
    ]


def _unproved(summary: Summary) -> list[str]:
    """A gain of later calls that was believed although nobody knows."""
    if not summary.shifts.unproved or summary.headline == "first_call" or summary.judgement.verdict != "faster":
        return []
    return [
        "Every call had the same input, and first calls are too restless to rule out that later ones live on what the first one left behind."
    ]


def _cores(summary: Summary, other: str) -> list[str]:
    """CPU time beside the wall clock."""
    cpu, warm = summary.cpu, summary.warm
    if cpu is None:
        return []
    if summary.shifts.to_cores:
        return [
            f"By CPU time the ratio is {_with_interval(cpu)}: {other} spreads the work over more cores and does not save as much of it."
        ]
    decided = cpu.interval is not None and not cpu.interval[0] <= 1 <= cpu.interval[1]
    if summary.judgement.verdict == "inconclusive" and decided and _width(warm) > RESTLESS * _width(cpu):
        return [
            f"By CPU time the ratio is {_with_interval(cpu)}, while the wall clock cannot tell: this node is too busy to believe."
        ]
    if _apart(cpu, warm):
        return [
            f"By CPU time the ratio is {_with_interval(cpu)}: what changed is waiting, the use of cores, or how busy the node was."
        ]
    return []


def _large(summary: Summary, other: str) -> list[str]:
    """What to think of a ratio that few honest changes reach."""
    sentences = []
    if summary.judgement.verdict == "faster" and summary.judgement.speedup > REVIEWED:
        sentences.append(
            f"{other} is more than {REVIEWED} times as fast: most gains of that size leave work out. Read the change, and what the test's check compares, before publishing it."
        )
    if summary.lower_bound:
        sentences.append(
            f"A sample of {other} is shorter than a millisecond, so what timing itself costs counts in it: read the ratio as at least {summary.judgement.speedup:.0f}."
        )
    return sentences


def describe_card(card: dict[str, Any], *, other: str) -> list[str]:
    """Sentences on the GPU: `card` is `gpu_rules.summary`'s."""
    ratio, sentences = card.get("clock_ratio"), []
    if card.get("degraded"):
        sentences.append("The GPU was held down by heat in every round: a fair comparison, of a slower card.")
    if isinstance(ratio, float) and abs(ratio - 1) > CLOCKS_APART:
        faster = "base" if ratio > 1 else other
        sentences.append(
            f"The GPU ran {abs(ratio - 1) * 100:.0f} % faster clocks under {faster}: the other side draws more power for its work, and that counts as its own."
        )
    shares = card.get("gpu_shares") or {}
    ours, theirs = shares.get("base"), shares.get(other)
    if isinstance(ours, float) and isinstance(theirs, float) and abs(ours - theirs) > SHARES_APART:
        sentences.append(
            f"The GPU's events cover {ours * 100:.0f} % of base's time and {theirs * 100:.0f} % of {other}'s: the rest is the host's, or work on other streams."
        )
    return sentences
