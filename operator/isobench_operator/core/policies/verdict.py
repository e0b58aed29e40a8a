"""From reports to the result, and which reports are no result at all. The verdict is base against head; base's own Job gives the floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isobench_runner.contract import EXPLANATIONS, Reason

VERDICTS = {
    "faster": "Faster",
    "slower": "Slower",
    "negligible": "Negligible",
    "no_change": "NoChange",
    "inconclusive": "Inconclusive",
}
"""The verdicts with a record, and their words in conditions."""
FAILED_VERDICTS = {
    "incomparable": Reason.INCOMPARABLE,
    "behaviour_changed": Reason.BEHAVIOUR_CHANGED,
    "invalid": Reason.RESULT_INVALID,
}
FATAL_FLAGS = {
    "deferred_work": Reason.DEFERRED_WORK,
    "lazy_result": Reason.LAZY_RESULT,
    "patched_timer": Reason.PATCHED_TIMER,
}
HEAD_FIELDS = (
    "verdict", "speedup", "ci95", "humanPerformance", "equivalent", "coldSpeedup", "cpuSpeedup", "changedShare",
)  # fmt: skip


def unusable(data: Mapping[str, Any]) -> tuple[Reason, str] | None:
    """Why a report that says success has no number all the same: a fatal flag, or a verdict that is none."""
    for flag in data.get("flags") or ():
        if flag in FATAL_FLAGS:
            return FATAL_FLAGS[flag], EXPLANATIONS[FATAL_FLAGS[flag]].meaning
    if data.get("equivalent") is False:
        return Reason.NOT_EQUIVALENT, EXPLANATIONS[Reason.NOT_EQUIVALENT].meaning
    verdict = data.get("verdict")
    if verdict in FAILED_VERDICTS:
        return FAILED_VERDICTS[verdict], EXPLANATIONS[FAILED_VERDICTS[verdict]].meaning
    if not data.get("result"):
        return Reason.REPORT_MISSING, "the report has no result"
    if verdict not in VERDICTS:
        return Reason.REPORT_MISSING, f"the report's verdict {str(verdict)[:40]!r} is none of {', '.join(VERDICTS)}"
    return None


def result(base: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """`status.result`: the head Job's numbers, with the floor, the share and the flags that base's Job found while validating.

    Args:
        base: base's entry of `status.revisions`.
        data: the head Job's report.
    """
    fields = {name: base.get(name) for name in ("noiseFloorPercent", "changedShare")}
    fields |= {name: data.get(name) for name in HEAD_FIELDS if data.get(name) is not None}
    found = {name: value for name, value in fields.items() if value is not None}
    return {**found, "flags": sorted({*(base.get("flags") or ()), *(data.get("flags") or ())})}
