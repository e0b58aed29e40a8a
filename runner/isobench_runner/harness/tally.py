"""What is counted over all samples of a run, and the flags and checks that it amounts to."""

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from . import conduct
from .choices import Frozen
from .sampling import Seen
from .session import Session

DRAIN_FLOOR_NS = 500_000
DRAIN_CEILING_NS = 2_000_000
DRAIN_SHARE = 0.01


@dataclass
class Measured:
    """What the rounds left: raw lines, why they stopped, the stored results by revision, and what flags were counted from."""

    rounds: List[Dict[str, Any]] = field(default_factory=list)
    stopped: str = "rounds"
    results: Dict[str, List[str]] = field(default_factory=dict)
    samples: Dict[str, int] = field(default_factory=dict)
    mismatches: Dict[str, int] = field(default_factory=dict)
    deferred: Dict[str, int] = field(default_factory=dict)
    rests: Dict[str, List[bool]] = field(default_factory=dict)
    impossible: bool = False
    fewest_inputs: Optional[int] = None
    flushed: bool = True
    patched: List[str] = field(default_factory=list)
    lazy: List[str] = field(default_factory=list)
    beside: conduct.Conduct = field(default_factory=conduct.Conduct)
    gpu_seconds: float = 0.0

    def forget(self) -> None:
        """Drop what a round that was not finished left."""
        for counted in (self.results, self.samples, self.mismatches, self.deferred, self.rests):
            counted.clear()

    def count(self, name: str, seen: Seen) -> None:
        """Take note of one sample."""
        self.samples[name] = self.samples.get(name, 0) + 1
        self.mismatches[name] = self.mismatches.get(name, 0) + seen.mismatch
        late = drained_too_much(seen.raw["drain_ns"], seen.raw["wall_ns"])
        self.deferred[name] = self.deferred.get(name, 0) + late
        if seen.restless is not None:
            self.rests.setdefault(name, []).append(seen.restless)
        self.fewest_inputs = seen.inputs if self.fewest_inputs is None else min(self.fewest_inputs, seen.inputs)
        self.flushed = self.flushed and seen.flushed
        self.impossible = self.impossible or seen.impossible
        if seen.lazy and seen.lazy not in self.lazy:
            self.lazy.append(seen.lazy)


def drained_too_much(drain_ns: int, wall_ns: int) -> bool:
    """Whether the idle moment after a sample was used for work: over 1 % of the sample, within what 5 ms can show."""
    return drain_ns > min(DRAIN_CEILING_NS, max(DRAIN_FLOOR_NS, DRAIN_SHARE * wall_ns))


def late_workers(deferred: Dict[str, int], samples: Dict[str, int], other: str) -> List[str]:
    """Revisions that worked on after their samples: after most of them, or the other after more than a tenth of them and surely more
    than base. Surely is three standard deviations of a fair coin's: whoever leaves work behind by chance leaves it on either side.

    Args:
        deferred, samples: counts by revision.
    """
    found = {name for name, count in deferred.items() if count >= 2 and count > 0.5 * samples[name]}
    ours, theirs = deferred.get("base", 0), deferred.get(other, 0)
    if theirs > 0.1 * samples.get(other, 0) and theirs - ours > 3 * math.sqrt(theirs + ours):
        found.add(other)
    return sorted(found)


def _deferred(session: Session, measured: Measured, *, never_rests: bool) -> None:
    """Work that a revision does where no clock runs, or where another's does."""
    late = late_workers(measured.deferred, measured.samples, session.other)
    restless = [name for name, seen in measured.rests.items() if sum(seen) >= 2 and sum(seen) > 0.5 * len(seen)]
    if never_rests:
        words = "processes of both revisions are busy even before the first call, so work that goes on after one cannot be told"
        session.check("deferred_work", None, words)
    elif late:
        session.flag("deferred_work")
        session.check(
            "deferred_work", False, "work went on after experiment had returned on {}".format(" and ".join(late))
        )
    elif restless == [session.other]:
        session.flag("deferred_work")
        words = "processes of {} worked while base was timed".format(session.other)
        session.check("deferred_work", False, words)
    else:
        session.check("deferred_work", True, "nothing ran on after a sample")


def raise_flags(session: Session, measured: Measured, frozen: Frozen) -> None:
    """Turn what was counted over all samples into flags and checks."""
    wrong = [name for name, count in measured.mismatches.items() if count >= 3 and count > 0.2 * measured.samples[name]]
    if wrong or measured.impossible:
        session.flag("clock_mismatch")
    total = sum(measured.mismatches.values())
    session.check(
        "clock",
        not (wrong or measured.impossible),
        "{} of {} samples were timed by the parent's clock instead".format(total, sum(measured.samples.values())),
    )
    _deferred(session, measured, never_rests=frozen.never_rests)
    if measured.patched:
        session.flag("patched_timer")
    session.check(
        "timers",
        not measured.patched,
        "replaced: {}".format(", ".join(measured.patched)) if measured.patched else "no clock was replaced",
    )
    calls = [one["wall_ns"] / frozen.loops for line in measured.rounds for one in line["samples"]["base"]]
    later = conduct.postponed(measured.beside.store_ns, calls, session.other)
    if measured.lazy or later:
        session.flag("lazy_result")
    session.check("postponed", later is None, later or "results of both revisions cost the same to look at")
    kinds = measured.beside.other_kinds(session.other)
    session.check("result_types", kinds is None, kinds or "results of both revisions are of the same types")
    changed = [
        "{} changed {}".format(name, ", ".join(words)) for name, words in measured.beside.settings.items() if words
    ]
    if changed:
        session.flag("settings_changed")
    session.check("settings", not changed, "; ".join(changed) or "no process changed its own settings")
