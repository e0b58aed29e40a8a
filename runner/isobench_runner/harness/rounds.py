"""One round: a fresh process per revision, samples interleaved in random order on the same CPUs.

How many there are is for `looks` to decide; what is counted over them, for `tally`.
"""

import os
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence

from . import choices, conduct, gpu_rules, private, reaping
from .card import Card
from .choices import Frozen
from .events import Fall
from .parent import Worker
from .pod import CAUSE_SHARE, Pressure
from .sampling import others_held, take_sample
from .session import Session
from .tally import Measured

QUEUED_SECONDS = 2.0
ALONE = ("raised", "crashed", "exit")
"""Ways to fail beside another process that a revision, whose pilot ran alone, may not have alone."""


def take_waits_off(samples: Sequence[Dict[str, Any]], *, known: bool) -> None:
    """Take what the samples waited for their CPU off their times, or where it is not known of every one of them, off none.

    All or none: a side whose waits cannot be known would have to look slower than the other.

    Args:
        known: whether one CPU is enough for all of them, and their waits can be relied on.
    """
    for one in samples:
        one["wait_ns"] = one["wait_ns"] if known else 0
        one["wall_ns"] -= one["wait_ns"]


def waited_too_long(samples: Dict[str, List[Dict[str, Any]]], *, known: bool) -> Optional[str]:
    """A cause in the samples of a round: they waited for a CPU for more than a tenth of their time, and that counts as theirs."""
    every = [one for several in samples.values() for one in several]
    waited, ran = sum(one["run_delay_ns"] for one in every), sum(one["parent_ns"] for one in every)
    if known or not ran or waited <= CAUSE_SHARE * ran:
        return None
    return "samples waited {:.0f} % of their time for a CPU".format(100 * waited / ran)


@dataclass(frozen=True)
class Draws:
    """What a round draws from the plan's seed, the same for every revision in it."""

    order: List[str]
    hashseed: int
    pad: int
    seeds: List[int]
    kept: int
    turns: List[List[str]]

    @classmethod
    def of(cls, session: Session, index: int, k: int) -> "Draws":
        """Draw the round's order, layout, inputs, the sample that is kept, and who goes first at every sample."""
        draw = session.draw("round", index)
        order = list(session.names)
        draw.shuffle(order)
        hashseed, pad = draw.randrange(1, 1 << 32), draw.randrange(private.MAX_PAD)
        seeds = [draw.randrange(1 << 31) for _ in range(k + 1)]
        kept = draw.randrange(k)
        turns = []
        for _ in range(k):
            turn = list(order)
            draw.shuffle(turn)
            turns.append(turn)
        return cls(order, hashseed, pad, seeds, kept, turns)


@dataclass
class Raw:
    """What a round collects, by revision."""

    samples: Dict[str, List[Dict[str, Any]]] = field(default_factory=dict)
    cold: Dict[str, Any] = field(default_factory=dict)
    startup: Dict[str, int] = field(default_factory=dict)
    startup_cpu: Dict[str, int] = field(default_factory=dict)
    known: bool = True
    cold_known: bool = True
    spent: Dict[str, int] = field(default_factory=lambda: {"start": 0, "samples": 0, "end": 0})


def run_round(session: Session, index: int, frozen: Frozen, measured: Measured) -> Dict[str, Any]:
    """Run one round: the revisions side by side, sample by sample, or one after the other where memory does not hold both.

    Returns:
        The raw line: order, hashseed, pad, samples, cold, startup_ns, startup_cpu_ns, spent_ns, pressure, gpu, discarded.

    Raises:
        Fall: a worker that did not do its part.
    """
    drawn = Draws.of(session, index, frozen.k)
    cpus = session.place(index, single=frozen.single)
    before = Pressure.now()
    card = session.card if frozen.gpu else None
    if card is not None:
        card.begin()
    raw = Raw(samples={name: [] for name in session.names})
    if frozen.together:
        turns = drawn.turns
        _company(session, index, drawn.order, turns, frozen=frozen, drawn=drawn, cpus=cpus, raw=raw, measured=measured)
    else:
        for name in drawn.order:
            turns = [[name]] * frozen.k
            _company(session, index, [name], turns, frozen=frozen, drawn=drawn, cpus=cpus, raw=raw, measured=measured)
    reaping.kill_below(os.getpid())
    known = frozen.single and raw.known
    take_waits_off([one for several in raw.samples.values() for one in several], known=known)
    take_waits_off(list(raw.cold.values()), known=frozen.single and raw.cold_known)
    for name in session.names:
        first = raw.samples[name][0]
        raw.cold.setdefault(name, {"wall_ns": first["wall_ns"], "cpu_ns": first["cpu_ns"]})
    now = Pressure.now()
    seen = card.end() if card is not None else None
    return {
        "round": index,
        "order": drawn.order,
        "hashseed": drawn.hashseed,
        "pad": drawn.pad,
        "samples": raw.samples,
        "cold": raw.cold,
        "startup_ns": raw.startup,
        "startup_cpu_ns": raw.startup_cpu,
        "spent_ns": raw.spent,
        "pressure": now.since(before),
        "gpu": seen,
        "discarded": gpu_rules.cause(seen) or now.cause_since(before) or waited_too_long(raw.samples, known=known),
    }


def _company(
    session: Session,
    index: int,
    names: List[str],
    turns: List[List[str]],
    *,
    frozen: Frozen,
    drawn: Draws,
    cpus: List[int],
    raw: Raw,
    measured: Measured,
) -> None:
    """Start these revisions' processes, let them take turns, and end them."""
    workers: Dict[str, Worker] = {}
    marks = [time.monotonic_ns()]
    try:
        apart = choices.starting_cpus(session.cpus, cpus, len(names))
        for name, own in zip(names, apart):
            workers[name] = session.worker(name, hashseed=drawn.hashseed, pad=drawn.pad, cpus=own)
        for worker in workers.values():
            worker.begin_load()
        for worker, own in zip(workers.values(), apart):
            worker.end_load()
            if own != cpus:
                worker.pin(cpus)
        for name in names:
            _ready(workers[name], frozen, drawn.seeds[0], raw)
        if session.card is not None and frozen.gpu:
            session.card.warm(lambda: [one.call([drawn.seeds[0] + 1]) for one in workers.values()])
        marks.append(time.monotonic_ns())
        for number, turn in enumerate(turns):
            for name in turn:
                seen = take_sample(
                    workers[name],
                    seeds=[drawn.seeds[number + 1]],
                    loops=frozen.loops,
                    ring=frozen.ring,
                    keep=number == drawn.kept,
                    flush=frozen.cache == "cold",
                )
                if session.card is not None and frozen.gpu:
                    session.card.sampled(name)
                raw.samples[name].append(seen.raw)
                raw.known = raw.known and seen.knows
                measured.count(name, seen)
        marks.append(time.monotonic_ns())
        for name in names:
            _finish(session, workers[name], index, frozen, measured, cpus=cpus)
    finally:
        for worker in workers.values():
            worker.end()
    marks.append(time.monotonic_ns())
    for part, begin, end in zip(raw.spent, marks, marks[1:]):
        raw.spent[part] += end - begin


def _ready(worker: Worker, frozen: Frozen, seed: int, raw: Raw) -> None:
    worker.ask("setup", seed=seed, mode=frozen.mode)
    raw.startup[worker.name] = time.monotonic_ns() - worker.started_ns
    raw.startup_cpu[worker.name] = reaping.cpu_ns([worker.pid, *worker.children()])
    if frozen.warmups:
        before = worker.usage()
        calls = worker.call([seed + 1 + number for number in range(frozen.warmups)])
        now = worker.usage()
        wall_ns, elsewhere, waited = calls.wall_ns[0], now.elsewhere_since(before), now.waited_since(before)
        wait_ns = 0
        if elsewhere is not None:
            said = calls.wait_ns[0]
            wait_ns = others_held(
                wall_ns, wall_ns, said=said, waited=waited, parent_waited=0, elsewhere=elsewhere, ran=calls.cpu_ns[0]
            )
        raw.cold_known = raw.cold_known and elsewhere is not None
        raw.cold[worker.name] = {"wall_ns": wall_ns, "cpu_ns": calls.cpu_ns[0], "wait_ns": wait_ns}


def _finish(
    session: Session, worker: Worker, index: int, frozen: Frozen, measured: Measured, *, cpus: List[int]
) -> None:
    worker.prove_package()
    answer = worker.ask("patched")
    patched = answer.get("patched")
    standing = conduct.standing(worker.pid, cpus, os.getpriority(os.PRIO_PROCESS, 0))
    measured.beside.note(worker.name, [*conduct.facts(answer), *standing])
    if isinstance(patched, list):
        measured.patched += [str(one)[:100] for one in patched if one not in measured.patched]
    if is_stored(session, index + 1):
        before = reaping.cpu_ns([worker.pid])
        measured.results.setdefault(worker.name, []).append(worker.store("r{}".format(index)))
        measured.beside.stored(worker.name, max(0, reaping.cpu_ns([worker.pid]) - before), worker.stored_kinds)
    if session.card is not None and frozen.gpu:
        session.card.owns({worker.pid, *worker.children()})
        if frozen.cache == "cold" and session.card.queues:
            _queued(session, session.card, worker, index)


def _queued(session: Session, card: Card, worker: Worker, index: int) -> None:
    """GPU time of a kernel-size call without the gaps of launching: the last thing that is asked of a worker, as it may never answer."""
    try:
        found = worker.ask("queued", seconds=QUEUED_SECONDS, seed=session.draw("queued", index).randrange(1 << 31))
    except Fall:
        card.queues = False
        return
    value = gpu_rules.number(found.get("queued_ms"))
    card.queued(worker.name, value)
    card.queues = value is not None


def is_stored(session: Session, number: int) -> bool:
    """Whether the n-th round's results are stored: one of every octave (1, 2 to 3, 4 to 7, ...) is, drawn from the plan's seed.

    Which one is known to no worker; the last pilot round (0) is stored, too, so that its cost is what a round costs.
    """
    if number <= 1:
        return number >= 0
    octave = 1 << (number.bit_length() - 1)
    return number == octave + session.draw("stored", octave).randrange(octave)


class OneRound:
    """Runs rounds of the six functions; goes over to one process at a time where two do not fit beside each other.

    Each pilot ran alone, so whatever a revision fails of in the first round side by side is tried once more alone: memory, a port, a
    lock file. Libraries have too many words for a full device to tell by them.
    """

    def __init__(self, session: Session, frozen: Frozen, measured: Measured) -> None:
        self._session, self._measured = session, measured
        self.frozen = frozen
        self._ran = False

    def __call__(self, index: int) -> Dict[str, Any]:
        try:
            line = run_round(self._session, index, self.frozen, self._measured)
        except Fall as fall:
            if self._ran or not self.frozen.together or fall.kind not in ALONE:
                raise
            words = "{} cannot run beside the other; from here on each runs alone: {}"
            self._session.check("memory", False, words.format(fall.revision, fall.words[-300:]))
        else:
            self._ran = True
            return line
        self.frozen = self.frozen.apart()
        self._measured.forget()
        return run_round(self._session, index, self.frozen, self._measured)
