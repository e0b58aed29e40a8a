"""The numbers of a result as its artifact holds them: written by the trusted report, computed anew by whoever doubts them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from . import secondary
from .rounds import Round
from .summary import Estimate, Summary


def numbers(summary: Summary, rounds: tuple[Round, ...]) -> dict[str, Any]:
    """Everything that follows from raw rounds and the rule."""
    judgement = summary.judgement
    student = secondary.log_t_interval([item for item in rounds if item.discarded is None])
    return {
        "verdict": judgement.verdict,
        "speedup": judgement.speedup,
        "ci95": list(judgement.interval) if judgement.interval else None,
        "ci_level": judgement.level,
        "human_performance": summary.human_performance,
        "rounds": judgement.rounds,
        "discarded": summary.discarded,
        "disturbed": summary.disturbed,
        "waited_percent": summary.waited_share * 100,
        "half_width_percent": summary.half_width_percent,
        "rounds_needed": judgement.rounds_needed,
        "headline": summary.headline,
        "lower_bound": summary.lower_bound,
        **_beside("warm", summary.warm),
        **_beside("cold", summary.cold),
        **_beside("cpu", summary.cpu),
        "log_t_ci95": list(student) if student else None,
        "gains_ms": asdict(summary.shifts.gains),
        "base_drift_percent": None if summary.drift is None else summary.drift * 100,
        "floor_percent": summary.rule.floor * 100,
        "delta_percent": max(summary.rule.delta, summary.rule.floor) * 100,
    }


def _beside(name: str, estimate: Estimate | None) -> dict[str, Any]:
    interval = estimate.interval if estimate else None
    return {
        f"{name}_speedup": estimate.speedup if estimate else None,
        f"{name}_ci95": list(interval) if interval else None,
    }
