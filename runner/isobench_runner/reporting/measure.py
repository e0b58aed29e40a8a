"""What a measuring Job found: raw samples validated, every statistic recomputed, the verdict reached here and nowhere else.

The worker's own word is taken for one thing alone: that it failed. Numbers come from rounds.jsonl, never from run.json.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from isobench_runner.contract import EXPLANATIONS, MeasureRequest, Reason, Report, StageError
from isobench_runner.harness import gpu_rules
from isobench_runner.outcome import read_outcome, read_untrusted
from isobench_runner.stats import words as sentences
from isobench_runner.stats.comparable import incomparable
from isobench_runner.stats.numbers import numbers
from isobench_runner.stats.rounds import parse_rounds
from isobench_runner.stats.summary import Rule, Summary, summarise
from isobench_runner.store import Store

MAX_ROUNDS_BYTES = 64 << 20
MAX_RUN_BYTES = 4 << 20
FLAGS = (
    "does_not_hit_change",
    "low_share",
    "deferred_work",
    "lazy_result",
    "patched_timer",
    "clock_mismatch",
    "shifted_work",
    "state_between_calls",
    "short_sample",
    "memoised",
    "heavy_tail",
    "partly_skipped",
    "floor_elsewhere",
    "libraries_differ",
    "settings_changed",
    "target_mocked",
    "cpu_path_taken",
)
"""The closed list of flags of a result."""
FATAL = {
    "deferred_work": Reason.DEFERRED_WORK,
    "lazy_result": Reason.LAZY_RESULT,
    "patched_timer": Reason.PATCHED_TIMER,
}


def decimal(value: float | None) -> str | None:
    """A number as status carries it: four significant digits, no exponent."""
    if value is None:
        return None
    places = 3 if value == 0 else min(9, max(0, 3 - math.floor(math.log10(abs(value)))))
    return f"{value:.{places}f}"


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise StageError(Reason.RESULT_INVALID, f"run.json: {name} is not an object")
    return value


def _read_run(out: Path) -> dict[str, Any]:
    content = read_untrusted(out / "run.json", MAX_RUN_BYTES)
    if content is None:
        raise StageError(Reason.RESULT_INVALID, "run.json is missing")
    try:
        return _object(json.loads(content, parse_constant=lambda name: name), "the document")
    except (ValueError, RecursionError) as error:
        raise StageError(Reason.RESULT_INVALID, f"run.json is not JSON: {error}") from error


def _flags(run: dict[str, Any]) -> list[str]:
    given = run.get("flags", [])
    if not isinstance(given, list):
        raise StageError(Reason.RESULT_INVALID, "run.json: flags is not a list")
    unknown = [str(flag)[:40] for flag in given if flag not in FLAGS]
    if unknown:
        raise StageError(Reason.RESULT_INVALID, f"run.json: {unknown[0]!r} is no known flag")
    return [flag for flag in FLAGS if flag in given]


def _share(run: dict[str, Any]) -> float | None:
    share = run.get("changed_share")
    if share is None:
        return None
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share <= 1:
        raise StageError(Reason.RESULT_INVALID, f"run.json: changed_share {share!r} is not a number from 0 to 1")
    return float(share)


def _floor(request: MeasureRequest, node: str) -> tuple[float, bool]:
    """The noise floor that counts here as a fraction, and whether it comes from another node and so counts for nothing."""
    if request.floor_percent is None:
        return 0.0, False
    if request.floor_node != node:
        return 0.0, True
    return float(request.floor_percent) / 100, False


def _failure(
    reason: Reason,
    tail: str,
    store: Store,
    run: dict[str, Any] | None = None,
    detail: dict[str, Any] | None = None,
    **samples: Any,
) -> Report:
    """Keep what is known; `samples` are what a refusal is recomputed from."""
    evidence: dict[str, Any] = {"v": 1, "reason": reason.value, "tail": tail, "detail": detail or {}, **samples}
    for name in ("checks", "fingerprint", "plan", "changed_share"):
        evidence[name] = (run or {}).get(name)
    digest = store.put_json(
        json.loads(json.dumps(evidence, default=str).replace("NaN", "null").replace("Infinity", "null"))
    )
    data: dict[str, Any] = {"evidence": digest, "node": os.environ.get("ISOBENCH_NODE", "")}
    share = (run or {}).get("changed_share")
    if reason is Reason.LOW_SHARE and isinstance(share, int | float):
        data["changedShare"] = decimal(float(share))
    return Report(reason=reason, data=data, tail=tail)


def _unusable(run: dict[str, Any], flags: list[str], *, role: str) -> tuple[Reason, str] | None:
    """Why the samples are of no use whatever they say, if they are."""
    for flag in flags:
        if flag in FATAL:
            reason = FATAL[flag]
            return reason, f"{EXPLANATIONS[reason].meaning} {EXPLANATIONS[reason].remedy}"
    equivalence = _object(run.get("equivalence") or {}, "equivalence")
    if equivalence.get("equal") is False:
        reason = Reason.NOT_DETERMINISTIC if role == "base" else Reason.NOT_EQUIVALENT
        return reason, str(equivalence.get("words", ""))
    return None


def _other_types(run: dict[str, Any]) -> str | None:
    """How the results' types differ, by a check that a worker's words made."""
    check = _object(run.get("checks") or {}, "checks").get("result_types")
    return str(check.get("words"))[:700] if isinstance(check, dict) and check.get("ok") is False else None


def _distinct(run: dict[str, Any]) -> bool:
    """Whether every call had an input of its own, as far as calibration could see; a doubt counts against a gain."""
    calibration = run.get("calibration")
    return isinstance(calibration, dict) and calibration.get("distinct") is True


def conclude(request: MeasureRequest, root: Path, store: Store) -> Report:
    """Validate, recompute, judge.

    Raises:
        StageError: ResultInvalid, where what the worker left cannot be believed.
    """
    out = root / "out"
    outcome = read_outcome(out)
    if outcome is None:
        raise StageError(Reason.RESULT_INVALID, "the measuring container left no outcome.json")
    if outcome.reason is not None:
        run = _read_run(out) if (out / "run.json").exists() else None
        return _failure(outcome.reason, outcome.tail, store, run, outcome.detail)
    run = _read_run(out)
    content = read_untrusted(out / "rounds.jsonl", MAX_ROUNDS_BYTES)
    base, other = request.revisions[0].name, request.revisions[1].name
    rounds, raw = parse_rounds(content or b"", base=base, other=other)
    plan = _object(run.get("plan"), "plan")
    loops = plan.get("loops", 1)
    if not isinstance(loops, int) or isinstance(loops, bool) or not 1 <= loops <= 1 << 30:
        raise StageError(Reason.RESULT_INVALID, f"run.json: plan.loops {loops!r} is not a count")
    node = os.environ.get("ISOBENCH_NODE", "")
    floor, elsewhere = _floor(request, node)
    rule = Rule(delta=float(request.minimum_effect_percent) / 100, floor=floor)
    summary = summarise(rounds, loops=loops, rule=rule, distinct_inputs=_distinct(run))
    flags = _flags(run)
    found = {**(summary.flags if summary else {}), "floor_elsewhere": elsewhere}
    flags = [flag for flag in FLAGS if flag in flags or found.get(flag)]
    unusable = _unusable(run, flags, role=request.role)
    if unusable is not None:
        return _failure(*unusable, store, run)
    words = incomparable(summary, raw, role=request.role)
    if words is not None or summary is None:
        samples = _samples(request, run, raw, statistics={"floor_percent": floor * 100})
        return _failure(Reason.INCOMPARABLE, words or "", store, run, **samples)
    result = _result(request, summary, run, raw, flags=flags, statistics=numbers(summary, rounds))
    return Report(data=_data(request, summary, result, store.put_json(result), node))


def _samples(
    request: MeasureRequest, run: dict[str, Any], raw: list[dict[str, Any]], *, statistics: dict[str, Any]
) -> dict[str, Any]:
    """What `stats.recompute` reads: the raw rounds, and the rule that they are judged by."""
    return {
        "role": request.role,
        "revisions": [asdict(revision) for revision in request.revisions],
        "rounds": raw,
        "statistics": {
            **statistics,
            "minimum_effect_percent": request.minimum_effect_percent,
            "distinct_inputs": _distinct(run),
        },
    }


def _result(
    request: MeasureRequest,
    summary: Summary,
    run: dict[str, Any],
    raw: list[dict[str, Any]],
    *,
    flags: list[str],
    statistics: dict[str, Any],
) -> dict[str, Any]:
    base, other = request.revisions[0].name, request.revisions[1].name
    fingerprint = {
        **_object(run.get("fingerprint") or {}, "fingerprint"),
        "isolation": os.environ.get("ISOBENCH_ISOLATION", "none"),
    }
    equivalence = _object(run.get("equivalence") or {}, "equivalence")
    card = gpu_rules.summary(raw, other)
    return {
        "v": 1,
        **_samples(request, run, raw, statistics=statistics),
        "verdict": statistics["verdict"],
        "flags": flags,
        "noise_floor_percent": summary.noise_floor_percent
        if request.role == "base"
        else request.floor_percent and float(request.floor_percent),
        "equivalent": equivalence.get("equal") if isinstance(equivalence.get("equal"), bool) else None,
        "granularity": str(_object(run.get("plan"), "plan").get("granularity", "function")),
        "samples_ms": {base: summary.base_ms, other: summary.other_ms},
        "checks": _object(run.get("checks") or {}, "checks"),
        "fingerprint": fingerprint,
        "plan": run["plan"],
        "changed_share": _share(run),
        "gpu": card,
        "words": [
            *sentences.describe(
                summary,
                role=request.role,
                other=other,
                flags=flags,
                isolation=fingerprint["isolation"],
                unchecked=None if equivalence.get("equal") is True else str(equivalence.get("words", ""))[:500],
                other_types=_other_types(run),
                precision_percent=None if request.precision_percent is None else float(request.precision_percent),
            ),
            *sentences.describe_card(card, other=other),
        ],
    }


def _data(request: MeasureRequest, summary: Summary, result: dict[str, Any], digest: str, node: str) -> dict[str, Any]:
    interval = summary.judgement.interval
    gpu = result["fingerprint"].get("gpu")
    data: dict[str, Any] = {
        "result": digest,
        "verdict": summary.judgement.verdict,
        "speedup": decimal(summary.judgement.speedup),
        "ci95": [decimal(interval[0]), decimal(interval[1])] if interval else None,
        "humanPerformance": decimal(summary.human_performance),
        "equivalent": result["equivalent"],
        "coldSpeedup": decimal(summary.cold.speedup if summary.cold else None),
        "cpuSpeedup": decimal(summary.cpu.speedup if summary.cpu else None),
        "changedShare": decimal(result["changed_share"]),
        "flags": result["flags"],
        "samples": len(summary.other_ms),
        "medianMs": decimal(summary.other_median_ms),
        "baseMedianMs": decimal(summary.base_median_ms),
        "node": node,
        "gpu": str(gpu.get("name"))[:64] if isinstance(gpu, dict) and gpu.get("name") else None,
    }
    if request.role == "base":
        data["noiseFloorPercent"] = decimal(summary.noise_floor_percent)
    return {name: value for name, value in data.items() if value is not None}
