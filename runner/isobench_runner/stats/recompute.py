"""A result's verdict anew from its own raw samples: by the rule that it was reached by, or by a reader's. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from isobench_runner.contract import Reason, StageError
from isobench_runner.harness import gpu_rules

from .comparable import incomparable
from .numbers import numbers
from .rounds import parse_rounds
from .summary import Rule, Summary, summarise

TOLERANCE = 1e-9
"""Relative: another mathematics library may round the last digits otherwise."""
INCOMPARABLE = "incomparable"


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A number that the samples do not give."""

    field: str
    stored: Any
    recomputed: Any


@dataclass(frozen=True, kw_only=True)
class Recomputed:
    """What the raw samples of one result say.

    Attributes:
        verdict: of the samples; `incomparable` where they are no comparison, whatever their ratio.
        why: in words, where they are none.
        summary: by the rule that the result was reached by; None where not one round was kept.
        differences: between that and what the result says of itself.
        by_rule: by the reader's rule, where one was given.
    """

    verdict: str
    why: str | None
    summary: Summary | None
    differences: tuple[Difference, ...]
    by_rule: Summary | None


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StageError(Reason.RESULT_INVALID, f"{name} is not an object")
    return value


def _number(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise StageError(Reason.RESULT_INVALID, f"{name}: {value!r} is no number") from error
    if not math.isfinite(number) or number < 0:
        raise StageError(Reason.RESULT_INVALID, f"{name}: {value!r} is no finite number from 0 on")
    return number


def stored_rule(result: Mapping[str, Any]) -> Rule:
    """The rule that a result was reached by.

    Raises:
        StageError: ResultInvalid.
    """
    statistics = _object(result.get("statistics"), "statistics")
    return Rule(
        delta=_number(statistics.get("minimum_effect_percent"), "statistics.minimum_effect_percent") / 100,
        floor=_number(statistics.get("floor_percent", 0), "statistics.floor_percent") / 100,
    )


def recompute(result: Mapping[str, Any], *, rule: Rule | None = None) -> Recomputed:
    """Compute everything anew, by the rules that the report has: those of the samples and those of the GPU's counters.

    Args:
        result: the result artifact of a measuring Job, or the evidence of one whose rounds were no comparison.
        rule: a reader's own, beside the one that the result was reached by.

    Raises:
        StageError: ResultInvalid, where it has no samples that can be read.
    """
    names = [str(_object(item, "revisions").get("name")) for item in result.get("revisions") or []]
    if len(names) != 2 or not isinstance(result.get("rounds"), list):
        raise StageError(Reason.RESULT_INVALID, "the result has no raw rounds of two revisions")
    content = "\n".join(json.dumps(line) for line in result["rounds"]).encode()
    rounds, raw = parse_rounds(content, base=names[0], other=names[1])
    statistics = _object(result.get("statistics"), "statistics")
    loops = _object(result.get("plan"), "plan").get("loops", 1)
    if not isinstance(loops, int) or isinstance(loops, bool) or loops < 1:
        raise StageError(Reason.RESULT_INVALID, f"plan.loops {loops!r} is not a count")

    def by(wanted: Rule) -> Summary | None:
        distinct = statistics.get("distinct_inputs") is True
        return summarise(rounds, loops=loops, rule=wanted, distinct_inputs=distinct)

    summary = by(stored_rule(result))
    why = incomparable(summary, raw, role=str(result.get("role")))
    written = _written(result)
    verdict = INCOMPARABLE if summary is None or why is not None else summary.judgement.verdict
    if summary is None or INCOMPARABLE in (verdict, written):
        differences = _differences({"verdict": written}, {"verdict": verdict})
    else:
        differences = [
            *_differences({**statistics, "verdict": written}, numbers(summary, rounds)),
            *_differences(
                result, {"noise_floor_percent": summary.noise_floor_percent} if result.get("role") == "base" else {}
            ),
            *_differences(
                {"samples_ms": result.get("samples_ms")},
                {"samples_ms": {names[0]: list(summary.base_ms), names[1]: list(summary.other_ms)}},
            ),
            *_missing_flags(result, summary),
            *_about_card(result, raw, names[1]),
        ]
    return Recomputed(
        verdict=verdict,
        why=why,
        summary=summary,
        differences=tuple(differences),
        by_rule=by(rule) if rule is not None else None,
    )


def _written(result: Mapping[str, Any]) -> Any:
    """The verdict that was written: a refusal has a reason in its place."""
    return INCOMPARABLE if result.get("reason") == Reason.INCOMPARABLE.value else result.get("verdict")


def _differences(written: Mapping[str, Any], anew: Mapping[str, Any]) -> list[Difference]:
    return [
        Difference(field=name, stored=written.get(name), recomputed=value)
        for name, value in anew.items()
        if not _same(written.get(name), value)
    ]


def _about_card(result: Mapping[str, Any], raw: list[dict[str, Any]], other: str) -> list[Difference]:
    written = {**gpu_rules.summary([], other), **_object(result.get("gpu") or {}, "gpu")}
    anew = gpu_rules.summary(raw, other)
    return [replace(one, field=f"gpu.{one.field}") for one in _differences(written, anew)]


def _missing_flags(result: Mapping[str, Any], summary: Summary) -> list[Difference]:
    flags = set(result.get("flags") or [])
    return [
        Difference(field=f"flags: {name}", stored="not raised", recomputed="raised")
        for name, raised in summary.flags.items()
        if raised and name not in flags
    ]


def _same(stored: Any, anew: Any) -> bool:
    if isinstance(stored, list) and isinstance(anew, list):
        return len(stored) == len(anew) and all(_same(*pair) for pair in zip(stored, anew, strict=True))
    if isinstance(stored, dict) and isinstance(anew, dict):
        return stored.keys() == anew.keys() and all(_same(stored[name], anew[name]) for name in anew)
    if isinstance(anew, float) and isinstance(stored, int | float):
        return math.isclose(stored, anew, rel_tol=TOLERANCE)
    return bool(stored == anew)
