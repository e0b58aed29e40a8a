"""How many rounds: until a planned look sees a verdict, and as precise a one as was asked for, the budget is spent, or the last look is done. The statistics are `ranks`'s.

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


def _wanted(plan: Dict[str, Any]) -> float:
    """The half-width in log units that is measured for once there is a verdict."""
    return math.inf if plan.get("precision_percent") is None else math.log1p(_fraction(plan, "precision_percent"))


def _look(judged: ranks.Judgement, *, doubtful: bool, wide: bool) -> str:
    said = "{} rounds: {}".format(judged.rounds, judged.verdict)
    if judged.interval is not None:
        said += ", {:.3f} times as fast [{:.3f}, {:.3f}]".format(judged.speedup, *judged.interval)
    if doubtful:
        return said + ", if later calls do not live on the first: more rounds will tell"
    settled = judged.stop and not wide
    if settled or judged.verdict == "inconclusive" or judged.rounds >= ranks.LOOKS[-1]:
        return said
    small = not judged.stop and judged.verdict not in ("faster", "slower")
    return said + ": more rounds will tell {}".format("whether it stays that small" if small else "by how much")


def _settle(rounds: List[Dict[str, Any]]) -> None:
    """Keep what was left out in advance, the earliest first, until no more than a quarter is left out."""
    for line in rounds:
        if sum(1 for one in rounds if one["discarded"]) <= MAX_DISCARDED * len(rounds):
            return
        line["discarded"] = None


def run_rounds(
    session: Session,
    measured: Measured,
    one_round: Callable[[int], Dict[str, Any]],
    *,
    doubts: Optional[Callable[[List[Dict[str, Any]]], bool]] = None,
) -> None:
    """Run rounds until a planned look sees a verdict as precise as asked for, the budget is spent or the last look is done.

    Args:
        one_round: index to raw line.
        doubts: whether a verdict over these rounds would leave in doubt what it is about: then more of them are measured.
    """
    _until_settled(session, measured, one_round, doubts)
    _settle(measured.rounds)


def _until_settled(
    session: Session,
    measured: Measured,
    one_round: Callable[[int], Dict[str, Any]],
    doubts: Optional[Callable[[List[Dict[str, Any]]], bool]],
) -> None:
    begin = time.monotonic()
    budget = float(session.plan["budget_seconds"])
    delta, floor = _fraction(session.plan, "minimum_effect_percent"), _fraction(session.plan, "floor_percent")
    wanted = _wanted(session.plan)
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
        if line["discarded"] and discarded + 1 > max(1, MAX_DISCARDED * (index + 1)):
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
            wide = judged.half_width is not None and judged.half_width > wanted
            session.said.say(_look(judged, doubtful=doubtful, wide=wide))
            if judged.stop and not doubtful and not wide:
                measured.stopped = "verdict"
                return
    measured.stopped = "rounds"
