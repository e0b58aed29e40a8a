"""The pairs: two packages that do a known number of equal units of work, so that the true ratio is exact. And the plan of a run."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from support.prepared import make_environment, six

UNITS = 400
PERCENTS = (0, 1, 2, 5, 10, 100)
LEVELS = ("as it is", "loaded")
PACKAGE = '''\
UNITS = {units}


def work(seed):
    """Equal units of integer work; what is returned does not depend on how many there are."""
    x = seed
    for _ in range(UNITS):
        for i in range(250):
            x = (x * 31 + i) % 1000003
    return seed
'''
SCRIPT = six(setup="return seed", experiment="return [tiny.work(data)]").replace("def setup(seed)", "def setup(seed=0)")


@dataclass(frozen=True)
class Pair:
    """One comparison: units of work of either side.

    Attributes:
        number: of the pair within its run, 0 first.
        percent: the size of the effect, without its sign.
    """

    number: int
    percent: int
    base: int
    head: int

    @property
    def truth(self) -> float:
        """The true speedup, base's work over head's."""
        return float(Fraction(self.base, self.head))


def pair(number: int, percent: int, *, slower: bool) -> Pair:
    """The pair of an effect; `slower` makes head the side with more work."""
    more = UNITS * (100 + percent) // 100
    return Pair(number, percent, UNITS, more) if slower else Pair(number, percent, more, UNITS)


def plan(equal: int, each: int, seed: int, percents: Sequence[int] = PERCENTS) -> tuple[Pair, ...]:
    """So many equal pairs and so many of each effect, half of them slower, in random order: what is done at any time is a fair part.

    Args:
        equal: pairs without an effect.
        each: pairs of every other effect.
        percents: the effects.
    """
    wanted = [(0, False)] * equal
    wanted += [(percent, number % 2 == 1) for percent in percents if percent for number in range(each)]
    random.Random(f"{seed}:order").shuffle(wanted)
    return tuple(pair(number, percent, slower=slower) for number, (percent, slower) in enumerate(wanted))


class Sides:
    """The environments, one per number of units and side: an equal pair is two installations, as base and head are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, which: Pair) -> tuple[Path, Path]:
        """The folders {tree,env} of base and of head."""
        return self._side("base", which.base), self._side("head", which.head)

    def _side(self, name: str, units: int) -> Path:
        folder = self._folder / f"{name}-{units}"
        if not folder.exists():
            make_environment(folder, {"tiny/__init__.py": PACKAGE.format(units=units)})
        return folder
