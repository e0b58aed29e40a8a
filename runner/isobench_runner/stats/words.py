"""A result in sentences: what a person should know before believing a number."""

from __future__ import annotations

from .summary import Summary

FLAG_WORDS = {
    "does_not_hit_change": "No changed line runs in a repeated call of the test: it may time something else.",
    "low_share": "Little of the test's time is spent in the changed functions, so the ratio is diluted.",
    "deferred_work": "Work went on after the call had returned.",
    "lazy_result": "The call returned something that does its work only when it is looked at.",
    "patched_timer": "A clock was replaced while the test ran.",
    "clock_mismatch": "The worker's clock disagreed with the parent's, whose time was taken.",
    "shifted_work": "Some CPU time was spent after the call had returned, though less than would make the result void.",
    "state_between_calls": "Later calls in one process are much faster than the first, so each sample had a process of its own.",
    "short_sample": "A call is shorter than a millisecond, so many were timed together; effects of a cold cache are understated.",
    "memoised": "First calls and later ones differ in their ratio by more than the interval: something is cached between them.",
    "heavy_tail": "The ratio of means lies outside the interval of medians: the change may sit in the slowest calls.",
    "partly_skipped": "Some of the script's tests were skipped; only those that ran on both sides were timed.",
    "floor_elsewhere": "The noise floor was measured on another node and was not applied.",
    "libraries_differ": "Libraries other than the package itself differ between the two environments; the commit asks for them.",
    "target_mocked": "The test holds a mock of the code under test and may have timed it.",
    "cpu_path_taken": "The test has a path for GPUs, and the one for CPUs ran.",
}
DISAGREE = 1.15
"""Cold, CPU and warm ratios further apart than this factor are worth a sentence."""


def _apart(a: float, b: float) -> bool:
    return max(a, b) / min(a, b) > DISAGREE


def describe(summary: Summary, *, role: str, other: str, flags: list[str], isolation: str) -> list[str]:
    """Sentences for the record and the report, the most important first."""
    judgement = summary.judgement
    sentences: list[str] = []
    if judgement.interval is not None:
        low, high = judgement.interval
        level = f"{judgement.level * 100:.0f} % interval {low:.3f} to {high:.3f}, {judgement.rounds} rounds"
        if role == "base":
            sentences.append(f"base beside itself: {judgement.speedup:.3f}x ({level}).")
        else:
            sentences.append(
                f"{other} takes base's time divided by {judgement.speedup:.3f} ({level}): {judgement.verdict.replace('_', ' ')}."
            )
    else:
        sentences.append(f"Only {judgement.rounds} rounds were measured, too few for an interval.")
    if judgement.verdict == "inconclusive" and judgement.rounds_needed:
        sentences.append(
            f"About {judgement.rounds_needed} rounds would be needed to tell an effect of {summary.delta * 100:.1f} %; raise measurement.budgetSeconds or measure on a quieter node."
        )
    if judgement.verdict == "inconclusive" and summary.floor > summary.delta:
        sentences.append(
            f"Base beside itself came out up to {summary.floor * 100:.1f} % apart on this node: smaller effects are not believed."
        )
    if role != "base" and summary.cold_speedup is not None and _apart(summary.cold_speedup, judgement.speedup):
        sentences.append(
            f"In the first call of a fresh process the ratio is {summary.cold_speedup:.2f}x: the change acts differently at start-up."
        )
    if role != "base" and summary.cpu_speedup is not None and _apart(summary.cpu_speedup, judgement.speedup):
        sentences.append(
            f"By CPU time the ratio is {summary.cpu_speedup:.2f}x: work moved to other cores, or waiting changed, or the node was busy."
        )
    sentences.extend(FLAG_WORDS[flag] for flag in flags)
    if isolation == "none":
        sentences.append("The test ran without isolation (isolation: none).")
    return sentences
