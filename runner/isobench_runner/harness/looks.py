"""How many rounds: until a planned look sees a verdict, the budget is spent, or the last look is done. The statistics are `ranks`'s.

A round is kept or discarded whole, and only for a cause that the parent itself saw.
"""

import math
import time
from statistics import median
from typing import Any, Callable, Dict, List, Optional, Sequence

from . import ranks
from .session import Session
from .tally import Measured

MAX_DISCARDED = 0.25


def log_ratios(rounds: Sequence[Dict[str, Any]], other: str) -> List[float]:
    """ln(base / other) of the rounds' medians."""
    return [math.log(_middle(one, "base") / _middle(one, other)) for one in rounds]


def _middle(line: Dict[str, Any], name: str) -> float:
    return max(1.0, float(median(sample["wall_ns"] for sample in line["samples"][name])))


def human_performance(rounds: Sequence[Dict[str, Any]], other: str) -> float:
    """mean(base) / mean(other) over all samples."""
    totals = [sum(sample["wall_ns"] for one in rounds for sample in one["samples"][name]) for name in ("base", other)]
    return float(totals[0] / max(1, totals[1]))


def _fraction(plan: Dict[str, Any], name: str) -> float:
    return float(plan.get(name) or 0) / 100


def _look(judged: ranks.Judgement, *, doubtful: bool) -> str:
    said = "{} rounds: {}".format(judged.rounds, judged.verdict)
    if judged.interval is not None:
        said += ", {:.3f} times as fast [{:.3f}, {:.3f}]".format(judged.speedup, *judged.interval)
    if doubtful:
        return said + ", if later calls do not live on the first: more rounds will tell"
    if judged.stop or judged.verdict == "inconclusive" or judged.rounds >= ranks.LOOKS[-1]:
        return said
    return said + ": more rounds will tell {}".format(
        "by how much" if judged.verdict in ("faster", "slower") else "whether it stays that small"
    )


def run_rounds(
    session: Session,
    measured: Measured,
    one_round: Callable[[int], Dict[str, Any]],
    *,
    doubts: Optional[Callable[[List[Dict[str, Any]]], bool]] = None,
) -> None:
    """Run rounds until a planned look sees a verdict, the budget is spent or the last look is done.

    Args:
        one_round: index to raw line.
        doubts: whether a verdict over these rounds would leave in doubt what it is about: then more of them are measured.
    """
    begin = time.monotonic()
    budget = float(session.plan["budget_seconds"])
    delta, floor = _fraction(session.plan, "minimum_effect_percent"), _fraction(session.plan, "floor_percent")
    kept: List[Dict[str, Any]] = []
    index, slowest = 0, 0.0
    while len(kept) < ranks.LOOKS[-1]:
        spent = time.monotonic() - begin
        short = len(kept) >= ranks.MIN_ROUNDS and session.left() < 3 * slowest + 1
        if short or (index and spent + 0.9 * slowest > budget):
            measured.stopped = "budget"
            return
        started = time.monotonic()
        line = one_round(index)
        slowest = max(0.7 * slowest, time.monotonic() - started)
        discarded = sum(1 for one in measured.rounds if one["discarded"])
        line["cause"] = line["discarded"]
        if line["discarded"] and discarded + 1 > MAX_DISCARDED * (index + 1):
            line["discarded"] = None
        measured.rounds.append(line)
        index += 1
        if line["discarded"]:
            continue
        kept.append(line)
        if len(kept) in ranks.LOOKS:
            ratio = human_performance(kept, session.other)
            ratios = log_ratios(kept, session.other)
            judged = ranks.judge(ratios, delta=delta, floor=floor, human_performance=ratio)
            doubtful = judged.stop and doubts is not None and doubts(kept)
            session.said.say(_look(judged, doubtful=doubtful))
            if judged.stop and not doubtful:
                measured.stopped = "verdict"
                return
    measured.stopped = "rounds"
