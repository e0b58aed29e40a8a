"""The sequential rule by Monte Carlo: false claims, coverage, power and rounds used, beside the figures that the protocol was chosen by.

    python tests/bench/looks.py [--runs N] [--seed S]

Rounds are drawn, not measured: a round's log ratio is the true one plus noise that is normal, heavy-tailed (5 % of rounds five times
as wide), skewed (a lognormal's, centred), or drifts within the run. Every run goes through the product's own rule: looks at 8, 16,
32, 64 and 128 rounds or as many as the budget holds, then the last look with what is unspent. Takes about a minute.
"""

from __future__ import annotations

import argparse
import math
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from isobench_runner.harness import ranks

Noise = Callable[[random.Random, int], float]


def normal(rng: random.Random, number: int) -> float:
    """What the interval was derived for."""
    return rng.gauss(0, 1)


def heavy(rng: random.Random, number: int) -> float:
    """Spikes, either way."""
    return rng.gauss(0, 5 if rng.random() < 0.05 else 1)


def skewed(rng: random.Random, number: int) -> float:
    """Not symmetric: more than the interval promises to bear. Centred on its pseudomedian."""
    return (math.exp(rng.gauss(0, 0.5)) - SKEW_CENTRE) / 0.6


def drifting(rng: random.Random, number: int) -> float:
    """A node that gets restless: three times as wide at the end of 32 rounds as at the beginning."""
    return rng.gauss(0, 1 + number / 16)


def _skew_centre() -> float:
    rng = random.Random(1)
    return ranks.hodges_lehmann([math.exp(rng.gauss(0, 0.5)) for _ in range(1500)])


SKEW_CENTRE = _skew_centre()
NOISES: dict[str, Noise] = {"normal": normal, "heavy": heavy, "skewed": skewed, "drifting": drifting}


@dataclass(frozen=True)
class Ending:
    """How one run of the rule ended."""

    verdict: str
    rounds: int
    covered: bool
    excludes: bool


def sequential(rng: random.Random, *, truth: float, sd: float, noise: Noise, most: int, delta: float) -> Ending:
    """Run the rule once.

    Args:
        truth: the true speedup. sd: of a round's log ratio. most: rounds that the budget holds.
    """
    d: list[float] = []
    while len(d) < most:
        d.append(math.log(truth) + sd * noise(rng, len(d)))
        if len(d) in ranks.LOOKS and len(d) < most:
            judged = ranks.judge(d, delta=delta, human_performance=_mean(d))
            if judged.stop:
                return _ending(judged, truth)
    judged = ranks.judge(d, delta=delta, human_performance=_mean(d))
    if not (len(d) in ranks.LOOKS and judged.stop):
        judged = ranks.judge(d, delta=delta, human_performance=_mean(d), alpha=ranks.last_alpha(len(d)))
    return _ending(judged, truth)


def _mean(d: list[float]) -> float:
    return math.exp(sum(d) / len(d))


def _ending(judged: ranks.Judgement, truth: float) -> Ending:
    low, high = judged.interval or (0.0, math.inf)
    return Ending(judged.verdict, judged.rounds, low <= truth <= high, low > 1 or high < 1)


def table(runs: int, seed: int, *, delta: float, sd: float) -> None:
    """Print a row per noise, rounds and truth."""
    print(f"\nnoise per round {sd * 100:g} %, minimum effect {delta * 100:g} %, {runs} runs a row, seed {seed}")
    print(f"{'noise':9} {'most':>4} {'truth':>6}  {'excludes 1':>10} {'covered':>8} {'rounds':>6}  verdicts")
    for name, noise in NOISES.items():
        for most in (16, 32, 128):
            for truth in (1.0, 1.02, 1.05, 1.10):
                if most == 128 and name not in ("normal", "heavy"):
                    continue
                rng = random.Random(f"{seed}:{name}:{most}:{truth}:{sd}")
                ends = [sequential(rng, truth=truth, sd=sd, noise=noise, most=most, delta=delta) for _ in range(runs)]
                verdicts = Counter(end.verdict for end in ends)
                told = ", ".join(f"{verdict} {count / runs:.2f}" for verdict, count in verdicts.most_common())
                excluded, covered = (sum(getattr(end, what) for end in ends) / runs for what in ("excludes", "covered"))
                rounds = sum(end.rounds for end in ends) / runs
                print(f"{name:9} {most:4} {truth:6.2f}  {excluded:10.3f} {covered:8.3f} {rounds:6.1f}  {told}")


PROTOCOL = """
Figures of the protocol's own simulation, to lay beside: false positives 3 % with three looks to 32 rounds (truth 1.00, excludes 1);
at 4.5 % noise and 2 % minimum effect a true zero ends .35 no_change and .62 inconclusive with 32 rounds; a true 2 % is called faster
.48-.60 with 32 and .73-.79 with 128, its interval excludes 1 in .57-.88 and .94-.95; coverage .965-.998; mean 9-10 rounds for
5-10 %, 19 for 2 %.
"""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for sd in (0.02, 0.045):
        table(arguments.runs, arguments.seed, delta=0.02, sd=sd)
    bound = 0.05 + 2.33 * math.sqrt(0.05 * 0.95 / arguments.runs)
    print(
        f"\n'excludes 1' at truth 1.00 is the rate of false claims: at most .05, and with {arguments.runs} runs below {bound:.3f} by chance in 99 of 100."
    )
    print(PROTOCOL)


if __name__ == "__main__":
    main()
