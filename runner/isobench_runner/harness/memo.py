"""Whether later calls of a process live on what its first call left behind: asked by the measuring parent at its looks, and by the report.

Where every call has the same input, a revision may compute once and answer from memory. What tells it is the first call of each fresh
process: with honest work it gains what later calls gain, with a memo nothing. One first call per round is a noisy witness, so a median
of a few decides by chance: with noise of 30 % of a call, the median of three called every fourth honest gain of half a call a memo, and
overlooked every fourth memo. So there are three answers, and two of them need an exact signed-rank interval (one-sided 5 %, from five
rounds on):

- kept: first calls surely gain less than half of what later ones gain;
- not kept: they surely gain more than a quarter of it (a memo's gain nothing, so it passes in at most 5 % of runs);
- nobody knows. Then it depends on what is at stake (`collapsed`): later calls that came down to less than a fifth of base's have to
  prove that they are no memo, by more rounds, and else the first calls are what counts; a smaller gain is believed, with a word of it.

Pure functions over lists of floats, standard library alone, CPython 3.8.
"""

from dataclasses import dataclass
from statistics import median
from typing import Any, Dict, Optional, Sequence, Tuple

from . import ranks

KEPT_SHARE = 0.5
SPARED_SHARE = 0.25
ALPHA = 0.10
LEAST_GAIN = 0.10
"""A gain below a tenth of a call is not asked where it came from."""
COLLAPSED = 5.0


@dataclass(frozen=True)
class Gains:
    """What the other revision saves by one clock, in ns per round: in the first call of a process, and in a later one."""

    first: Sequence[float]
    later: Sequence[float]

    @property
    def kept(self) -> Optional[bool]:
        """Whether later calls gain what first ones do not; None where these rounds cannot tell."""
        if list(self.first) == list(self.later):
            return False
        low, high = self._first_beyond(SPARED_SHARE), self._first_beyond(KEPT_SHARE)
        if low is None or high is None:
            return None
        if high[1] < 0:
            return True
        return False if low[0] > 0 else None

    def _first_beyond(self, share: float) -> Optional[Tuple[float, float]]:
        """The interval of what first calls gain beyond this share of what later ones gain."""
        beyond = [first - share * later for first, later in zip(self.first, self.later)]
        return ranks.signed_rank_interval(beyond, ALPHA)


def lives_on_first(wall: Gains, cpu: Optional[Gains], *, call_ns: float) -> Optional[bool]:
    """Whether a gain of later calls is what the first one left behind; None where nobody knows.

    CPU time is asked too where it shows the gain, as it is the steadier witness. One clock that is sure of a memo is believed, else one
    that is sure of none.

    Args:
        call_ns: one call on base.
    """
    if not _large(wall, call_ns):
        return False
    asked = [one.kept for one in (wall, cpu) if one is not None and _large(one, call_ns)]
    if True in asked:
        return True
    return False if False in asked else None


def _large(gains: Gains, call_ns: float) -> bool:
    return median(gains.later) > LEAST_GAIN * call_ns


def collapsed(base_ns: float, other_ns: float) -> bool:
    """Whether later calls are so much shorter than base's that they have to prove what they are."""
    return base_ns > COLLAPSED * other_ns


def in_doubt(lines: Sequence[Dict[str, Any]], other: str, *, loops: int) -> bool:
    """Whether rounds, as rounds.jsonl has them, cannot tell whether later calls that collapsed are a memo's."""
    later = {
        (clock, name): [median(one[clock] for one in line["samples"][name]) / loops for line in lines]
        for clock in ("wall_ns", "cpu_ns")
        for name in ("base", other)
    }
    wall, cpu = (
        Gains(
            [float(line["cold"]["base"][clock] - line["cold"][other][clock]) for line in lines],
            [ours - theirs for ours, theirs in zip(later[clock, "base"], later[clock, other])],
        )
        for clock in ("wall_ns", "cpu_ns")
    )
    call_ns, other_ns = median(later["wall_ns", "base"]), median(later["wall_ns", other])
    return collapsed(call_ns, other_ns) and lives_on_first(wall, cpu, call_ns=call_ns) is None
