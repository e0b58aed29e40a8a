"""What a self-test says: what each line means, whether this machine is good, and what to do about it; for people and for machines. Pure."""

from __future__ import annotations

from typing import Any

from .selftest import TRUTH, Selftest
from .stats.summary import Summary
from .stats.words import more_rounds

GOOD_FLOOR_PERCENT = 2.0
BUSY_SHARE = 0.1


def advice(found: Selftest) -> list[str]:
    """What to know and to do about this machine, the most important first."""
    said = []
    if found.same.differs:
        said.append(
            "Base beside itself came out different: no ratio measured here should be believed. Find what else runs on this node."
        )
    if found.outcome == "wrong":
        said.append(
            f"The interval of the injected effect does not hold the truth, {TRUTH:.2f}: run it again, and if it stays so, do not measure here."
        )
    floor = found.floor_percent
    if floor is None:
        rounds = found.same.judgement.rounds
        said.append(
            f"Only {rounds} rounds fit into half of {found.budget_seconds} s, too few for an interval: give --budget more."
        )
    elif found.outcome == "missed":
        needed = found.injected.judgement.rounds_needed
        fitted = found.injected.judgement.rounds
        more = f" (2 % would take about {needed} rounds, and {fitted} fitted)" if needed else ""
        said.append(
            f"An effect of 5 % was not told in {found.budget_seconds // 2} s{more}: {more_rounds(needed or fitted)}."
        )
    elif floor > GOOD_FLOOR_PERCENT:
        said.append(
            f"Effects below about {floor:.1f} % will be inconclusive here at this budget; a longer budget or a quieter node lowers that."
        )
    said += _about_machine(found)
    return said or ["Nothing to do: this node tells 2 % effects apart."]


def _about_machine(found: Selftest) -> list[str]:
    said = []
    rounds = (found.same, found.injected)
    whole = sum(one.discarded + one.judgement.rounds for one in rounds)
    disturbed = sum(one.discarded + one.disturbed for one in rounds)
    waited = max(one.waited_share for one in rounds)
    if waited > BUSY_SHARE:
        said.append(
            f"Others held the CPUs for {waited * 100:.0f} % of the time: keep builds and other pods off this node while it measures."
        )
    elif whole and disturbed > BUSY_SHARE * whole:
        said.append(
            f"In {disturbed} of {whole} rounds others took the CPUs away: keep builds and other pods off this node while it measures."
        )
    affinity, quota = found.machine.get("affinity"), found.machine.get("cpu_quota")
    if isinstance(affinity, list) and len(affinity) < 2:
        said.append("There is one CPU: the parent that keeps the clock shares it with what it times. Give two or more.")
    if isinstance(quota, str) and not quota.startswith("max"):
        amounts = quota.split()
        if len(amounts) == 2 and all(one.isdigit() for one in amounts) and int(amounts[0]) % max(1, int(amounts[1])):
            said.append(f"The CPU quota ({quota}) is no whole number of CPUs: request whole CPUs with equal limits.")
    governor = (found.machine.get("cpu") or {}).get("governor")
    if governor == "powersave":
        said.append("The CPU governor is powersave: clocks follow load; performance gives steadier times.")
    if found.isolation[0] == "none":
        said.append(f"Tests would run without isolation: {found.isolation[1]}.")
    return said


def as_json(found: Selftest) -> dict[str, Any]:
    """One object for machines."""
    return {
        "v": 1,
        "ok": found.good,
        "node": found.node,
        "budget_seconds": found.budget_seconds,
        "floor_percent": found.floor_percent,
        "same": {**_numbers(found.same), "differs": found.same.differs},
        "injected": {**_numbers(found.injected), "truth": TRUTH, "outcome": found.outcome},
        "isolation": {"kind": found.isolation[0], "words": found.isolation[1]},
        "machine": found.machine,
        "advice": advice(found),
    }


def _numbers(summary: Summary) -> dict[str, Any]:
    judgement = summary.judgement
    return {
        "speedup": judgement.speedup,
        "ci": list(judgement.interval) if judgement.interval else None,
        "level": judgement.level,
        "rounds": judgement.rounds,
        "discarded": summary.discarded,
        "half_width_percent": summary.half_width_percent,
    }


def in_words(found: Selftest) -> list[str]:
    """The same for people who have read nothing about it."""
    cpu = (found.machine.get("cpu") or {}).get("model") or "unknown CPU"
    gpu = (found.machine.get("gpu") or {}).get("name")
    count = len(found.machine.get("affinity") or [])
    kind, words = found.isolation
    half = found.budget_seconds // 2
    floor = found.floor_percent
    least = f"{floor:.2f} %: smaller effects stay inconclusive in {half} s" if floor is not None else "unknown"
    return [
        f"isobench selftest on {found.node}: {cpu}, {count} CPU{'' if count == 1 else 's'}{f', {gpu} (there, not tested: what is measured here is CPU work)' if gpu else ''}",
        f"  the same code twice   {_ratio(found.same)}: {_same_words(found)}",
        f"  5 % more work, exact  {_ratio(found.injected)}: {_injected_words(found)}",
        f"  noise floor           {least}",
        f"  tests are shut in by  {words if words.startswith(kind) else f'{kind}: {words}'}",
        _conclusion(found),
        *(f"  - {line}" for line in advice(found)),
    ]


def _same_words(found: Selftest) -> str:
    interval = found.same.judgement.interval
    if interval is None:
        return "too few rounds to tell"
    if found.same.differs:
        return "DIFFERENT, although it is the same"
    return (
        "no difference seen, as it should be"
        if interval[0] <= 1 <= interval[1]
        else "apart by so little that the floor takes it in"
    )


def _injected_words(found: Selftest) -> str:
    if found.injected.judgement.interval is None:
        return "missed, too few rounds to tell"
    return {
        "found": f"found, and the truth, {TRUTH:.2f}, lies inside",
        "missed": "missed: it could as well be no effect",
        "wrong": f"wrong: the truth, {TRUTH:.2f}, lies outside",
    }[found.outcome]


def _conclusion(found: Selftest) -> str:
    half = found.budget_seconds // 2
    if found.good:
        return f"Good: in {half} s this machine tells 5 % from nothing."
    if found.same.differs or found.outcome == "wrong":
        return "Not good: what this machine measures cannot be believed as it is now."
    return f"Not good: in {half} s this machine does not tell 5 % from nothing."


def _ratio(summary: Summary) -> str:
    judgement = summary.judgement
    if judgement.interval is None:
        return f"{judgement.speedup:.3f}x from {judgement.rounds} rounds"
    low, high = judgement.interval
    return f"{judgement.speedup:.3f}x, surely {low:.3f} to {high:.3f} ({judgement.level * 100:.0f} %, {judgement.rounds} rounds)"
