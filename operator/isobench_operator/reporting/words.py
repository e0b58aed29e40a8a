"""What a Commit came to, in words that need no glossary. Pure: numbers in, sentences out."""

from __future__ import annotations

from typing import Any

from isobench_runner.contract import EXPLANATIONS, Explanation, Reason
from isobench_runner.stats.words import FLAG_WORDS

from .folder import CommitRun, items, mapping, number
from .pictures import TIMES

DASH = "\N{EN DASH}"
VERDICTS = {
    "faster": ("▲", "faster"),
    "slower": ("▼", "slower"),
    "negligible": ("≈", "negligible"),
    "no_change": ("=", "no change"),
    "inconclusive": ("?", "inconclusive"),
    "failed": ("✕", "no verdict"),
    "pending": ("…", "not finished"),
}
"""Symbol and label of every outcome, so that none is told by colour alone."""


def factor(value: float) -> str:
    """A ratio with as many digits as it deserves: 1.013, 1.84, 6.41, 12.3, 187."""
    if abs(value - 1) < 0.05:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 100 else f"{value:.0f}"


def milliseconds(value: float) -> str:
    """A time with its unit: 412 ns, 6.31 ms, 1.24 s."""
    for limit, scale, unit in ((0.001, 1e6, "ns"), (1, 1e3, "µs"), (1000, 1, "ms")):
        if value < limit:
            return f"{value * scale:.3g} {unit}"
    return f"{value / 1000:.3g} s"


def outcome(commit: CommitRun) -> str:
    """A key of VERDICTS."""
    if commit.error or (commit.holds("Finished") and not commit.holds("Succeeded")):
        return "failed"
    if not commit.holds("Finished"):
        return "pending"
    verdict = str(commit.result.get("verdict"))
    return verdict if verdict in VERDICTS else "failed"


def explanation(reason: str) -> Explanation | None:
    """Meaning and remedy of a reason of the closed list."""
    try:
        return EXPLANATIONS[Reason(reason)]
    except (ValueError, KeyError):
        return None


def failure(commit: CommitRun) -> tuple[str, str]:
    """Reason and last words of a Commit without a verdict."""
    if commit.error:
        return Reason.INPUT_INVALID.value, commit.error
    ended = commit.condition("Succeeded")
    message = str(ended.get("message") or "")
    tails = [str(evidence.get("tail") or "") for evidence in commit.evidence.values()]
    longest = max([message, *tails], key=len)
    return str(ended.get("reason") or "Unknown"), longest


def interval(commit: CommitRun) -> tuple[float, float] | None:
    """The interval of the speedup, low and high."""
    return both_ends(commit.result.get("ci95"))


def sentence(commit: CommitRun) -> str:
    """The verdict in one plain sentence."""
    kind = outcome(commit)
    if kind == "pending":
        doing = commit.condition("Succeeded").get("message") or "its Jobs are not done"
        return f"Not finished: {doing}. `isobench run` with the same arguments goes on."
    if kind == "failed":
        reason, _ = failure(commit)
        known = explanation(reason)
        return f"No verdict: {known.meaning if known else reason}"
    return _calls(commit) + _verdict(commit, kind)


def _calls(commit: CommitRun) -> str:
    """Which calls the verdict is about, where they are not the usual ones."""
    statistics = mapping(mapping(commit.results.get("head")).get("statistics"))
    return "In the first call of a process: " if statistics.get("headline") == "first_call" else ""


def _verdict(commit: CommitRun, kind: str) -> str:
    speedup, ends = number(commit.result.get("speedup")), interval(commit)
    if speedup is None:
        return f"The verdict is {VERDICTS[kind][1]}, without a number."
    statistics = mapping(mapping(commit.results.get("head")).get("statistics"))
    least = "at least " if statistics.get("lower_bound") is True else ""
    minimum = mapping(commit.spec.get("measurement")).get("minimumEffectPercent") or "2"
    if kind == "slower":
        turned = (1 / ends[1], 1 / ends[0]) if ends else None
        return f"head is {factor(1 / speedup)}{TIMES} slower than base{_span(turned)}."
    span = _span(ends)
    return {
        "faster": f"head is {least}{factor(speedup)}{TIMES} faster than base{span}.",
        "negligible": f"head differs from base by {abs(speedup - 1) * 100:.1f} %, which is real but less than the {minimum} % that counts{span}.",
        "no_change": f"head takes as long as base: {factor(speedup)}{TIMES}, and a difference that counts is ruled out{span}.",
        "inconclusive": f"Too noisy to tell: {factor(speedup)}{TIMES}{span}.",
    }[kind]


def _span(ends: tuple[float, float] | None) -> str:
    if ends is None:
        return " (too few rounds for an interval)"
    return f" (95 % interval {factor(ends[0])}{DASH}{factor(ends[1])})"


def short_interval(commit: CommitRun) -> str:
    """Both ends of the interval, or nothing."""
    ends = interval(commit)
    return f"{factor(ends[0])}{DASH}{factor(ends[1])}" if ends else ""


def both_ends(value: Any) -> tuple[float, float] | None:
    """Both ends of an interval, where it has two."""
    ends = [number(end) for end in items(value)]
    return (ends[0], ends[1]) if len(ends) == 2 and ends[0] and ends[1] else None


def ratios(commit: CommitRun) -> list[tuple[str, str, float, tuple[float, float] | None, bool]]:
    """The ways to look at the change that were measured: label, words, ratio, interval, and whether the verdict is about it."""
    statistics = mapping(mapping(commit.results.get("head")).get("statistics"))
    first = statistics.get("headline") == "first_call"
    found = []
    for label, name, counts in (
        ("Later calls", "warm", not first),
        ("First call of a process", "cold", first),
        ("CPU time of later calls", "cpu", False),
    ):
        ratio, ends = number(statistics.get(f"{name}_speedup")), both_ends(statistics.get(f"{name}_ci95"))
        if ratio:
            span = f" ({factor(ends[0])}{DASH}{factor(ends[1])})" if ends else ""
            found.append((label, f"{factor(ratio)}{TIMES}{span}", ratio, ends, counts))
    return found


def flags(commit: CommitRun) -> list[tuple[str, str]]:
    """The result's warnings: name and sentence."""
    return [(str(flag), FLAG_WORDS.get(str(flag), "")) for flag in items(commit.result.get("flags"))]


def warnings(commit: CommitRun) -> list[str]:
    """What else a reader has to know before believing a number."""
    head = mapping(commit.results.get("head"))
    told = [str(line) for line in items(head.get("words"))[1:]]
    known = {text for _, text in flags(commit)}
    said = [line for line in told if line not in known and "isolation" not in line]
    if head and mapping(head.get("fingerprint")).get("isolation", "none") == "none":
        said.append(
            "isolation: none. The test ran as an ordinary process: it could have read what you can read, and have disturbed its own measurement."
        )
    if commit.missing:
        said.append(
            f"{len(commit.missing)} artifacts that status names are not in this folder: {', '.join(commit.missing[:3])}."
        )
    return said


def revision_note(revision: Any) -> str:
    """Why a revision has no result of its own."""
    reason = mapping(revision).get("reason")
    if not reason:
        return ""
    known = explanation(str(reason))
    return f"{reason}: {known.meaning}" if known else str(reason)
