"""Why kept rounds are no comparison, from samples and counters alone: asked by the trusted report, and by whoever doubts it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isobench_runner.harness import gpu_rules

from .summary import Summary


def incomparable(summary: Summary | None, raw: Sequence[Mapping[str, Any]], *, role: str) -> str | None:
    """Why there is no verdict, or None.

    Args:
        summary: of the rounds; None where not one was kept.
        raw: the same rounds as rounds.jsonl has them, with the GPU's counters.
        role: of the Job: base beside itself must not differ by the minimum effect. Less than that is in the noise floor.
    """
    if summary is None:
        return "not one round could be kept"
    if summary.too_many_discarded:
        total = summary.discarded + summary.judgement.rounds
        return f"{summary.discarded} of {total} rounds had to be left out: the node is too busy"
    card = gpu_rules.incomparable(raw)
    if card is not None:
        return card
    if role == "base" and summary.differs:
        return f"base beside itself came out as {summary.judgement.speedup:.3f}x, the minimum effect or more, and 1 is excluded at 99 %: the node is too restless"
    return None
