"""From a pass to log lines: what was done over which custom resource, and why. A pass that changed nothing is told at debug level."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from .control.happened import StageEnd, Turn, turns
from .control.reconciler import Pass
from .core import naming

logger = logging.getLogger("isobench")
MAX_WORDS, MAX_TAIL = 300, 120


def narrate(done: Pass, ends: Sequence[StageEnd]) -> None:
    """Log what a pass did, and the stages whose end it took in."""
    words, fields = _words(done, ends)
    if words:
        failed = any(turn.type == "Succeeded" and turn.status == "False" for turn in turns(done))
        level = logging.WARNING if failed else logging.INFO
    else:
        level = logging.DEBUG
        words = [_quiet(done)]
    logger.log(level, "; ".join(words), extra={"about": done.key, "fields": fields})


def _words(done: Pass, ends: Sequence[StageEnd]) -> tuple[list[str], dict[str, Any]]:
    words: list[str] = []
    fields: dict[str, Any] = {}
    for end in ends:
        why = f"failed: {end.reason}{f' ({_short(end.tail)[:MAX_TAIL]})' if end.tail else ''}"
        words.append(f"{end.role} {end.attempt} {'succeeded' if end.reason is None else why}")
        fields.setdefault("ended", []).append(
            {"role": end.role, "attempt": end.attempt, "reason": end.reason or "Succeeded", "seconds": end.seconds}
        )
    changed = turns(done)
    words += [told for turn in changed if (told := _turn(turn))]
    if changed:
        fields["conditions"] = {turn.type: f"{turn.status}/{turn.reason}" for turn in changed}
    held = done.observed.held if done.observed is not None else {}
    made = [job for job in done.plan.create if job["metadata"]["name"] not in held]
    if made:
        words.append(f"created {', '.join(map(_role, made))}")
        fields["created"] = [job["metadata"]["name"] for job in made]
    if held:
        words += [f"held back {name}: {_short(why)}" for name, why in held.items()]
        fields["held"] = list(held)
    for job, suspend in done.plan.suspend:
        words.append(f"{'suspended' if suspend else 'resumed'} {_role(job)}")
    if done.plan.expired:
        words.append("its time is over and what it came to is collected: deleted")
    if done.plan.delete:
        words.append(f"deleted {', '.join(one.name for one in done.plan.delete)}")
        fields["deleted"] = [one.name for one in done.plan.delete]
    return words, fields


def _turn(turn: Turn) -> str:
    """A condition in words; of those that are under way the summary alone, for it names the step."""
    if turn.type == "Finished" or (turn.status == "Unknown" and turn.type != "Succeeded"):
        return ""
    message = f": {_short(turn.message)}" if turn.message else ""
    if turn.status == "Unknown":
        return f"now {turn.reason}{message}"
    because = "" if turn.reason == turn.type else f" ({turn.reason})"
    return f"{'' if turn.status == 'True' else 'not '}{turn.type}{because}{message}"


def _short(text: str) -> str:
    return " ".join(text.split())[:MAX_WORDS]


def _role(job: dict[str, Any]) -> str:
    labels = job["metadata"].get("labels") or {}
    return f"{labels.get(naming.ROLE_LABEL)} {labels.get(naming.ATTEMPT_LABEL)}"


def _quiet(done: Pass) -> str:
    if done.owner is None:
        return "is gone"
    again = "" if done.plan.requeue_after is None else f", looked at again in {done.plan.requeue_after:.0f} s"
    return ("has ended, nothing to do" if done.plan.finished else "nothing to do until something changes") + again
