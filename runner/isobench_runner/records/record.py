"""The canonical record v1 of one finished Commit, assembled from its status and from artifacts by digest.

A record holds only what can be checked: finite numbers, full shas, samples of one Job on both sides of every ratio. A Commit that
does not give that is refused with its reason; it never stops the others.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from statistics import fmean
from typing import Any

from isobench_runner.contract import Reason
from isobench_runner.store import Store, StoreError, dump_json

VERDICTS = ("faster", "slower", "negligible", "no_change", "inconclusive")
"""The verdicts that give a record."""
_SHA = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_ARCHITECTURE = re.compile(r"x86_64|amd64|aarch64|arm64|ppc64le|s390x|riscv64|i[3-6]86", re.IGNORECASE)
Json = Mapping[str, Any]


class RecordRefusedError(Exception):
    """A Commit that gives no record; `reason` is of the closed list, the message names the field and what it held."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Artifacts:
    """The store as records read it: JSON by digest, with the few that many Commits share kept in memory."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.shared = lru_cache(maxsize=64)(self.json)

    def text(self, digest: Any, field: str) -> str:
        """An artifact as text.

        Raises:
            RecordRefusedError: StoreUnavailable, where it is missing, damaged or was never named.
        """
        try:
            return self._store.get(str(digest)).decode()
        except (StoreError, OSError, UnicodeDecodeError) as error:
            raise RecordRefusedError(Reason.STORE_UNAVAILABLE, f"{field}: {error}") from error

    def json(self, digest: Any, field: str) -> Json:
        """An artifact that is a JSON object; raises as `text` does, and ResultInvalid for what is no object."""
        try:
            value = json.loads(self.text(digest, field))
        except (ValueError, RecursionError) as error:
            raise RecordRefusedError(Reason.RESULT_INVALID, f"{field} is not JSON: {error}") from error
        if not isinstance(value, dict):
            raise RecordRefusedError(Reason.RESULT_INVALID, f"{field} is not a JSON object")
        return value


def condition(commit: Json, kind: str) -> Json:
    """A condition of the Commit's status by its type, or an empty object."""
    conditions = (commit.get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item.get("type") == kind), {})


def finished(commit: Json) -> bool:
    """Whether the Commit came to its end, either way."""
    return condition(commit, "Finished").get("status") == "True"


def succeeded(commit: Json) -> bool:
    """Whether the Commit ended with a verdict."""
    return finished(commit) and condition(commit, "Succeeded").get("status") == "True"


def device_names(fingerprint: Json) -> tuple[str | None, str | None]:
    """The models of GPU and CPU that a result's fingerprint names."""

    gpu = (fingerprint.get("gpu") or {}).get("name")
    cpu = (fingerprint.get("cpu") or {}).get("model")
    return (str(gpu) if gpu else None), (str(cpu) if cpu else None)


def utc(text: Any, field: str) -> str:
    """An ISO 8601 instant in UTC, to the second: equal instants are equal strings, and strings sort as instants do.

    Raises:
        RecordRefusedError: InputInvalid, where it is none or names no offset.
    """
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise RecordRefusedError(Reason.INPUT_INVALID, f"{field}: {text!r} is no ISO 8601 date") from error
    if moment.tzinfo is None:
        raise RecordRefusedError(Reason.INPUT_INVALID, f"{field}: {text!r} names no offset from UTC")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sha(value: Any, field: str) -> str:
    if not isinstance(value, str) or not _SHA.fullmatch(value):
        raise RecordRefusedError(Reason.RESULT_INVALID, f"{field}: {value!r} is no full commit sha")
    return value


def _samples(result: Json, name: str, field: str) -> list[float]:
    samples = (result.get("samples_ms") or {}).get(name)
    if not isinstance(samples, list) or not samples:
        raise RecordRefusedError(Reason.RESULT_INVALID, f"{field}.{name}: no samples")
    for index, value in enumerate(samples):
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise RecordRefusedError(
                Reason.RESULT_INVALID, f"{field}.{name}[{index}]: {value!r} is no finite time above zero"
            )
    return [float(value) for value in samples]


def _number(value: Any, field: str) -> float | None:
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError) as error:
        raise RecordRefusedError(Reason.RESULT_INVALID, f"{field}: {value!r} is no number") from error
    if not math.isfinite(number):
        raise RecordRefusedError(Reason.RESULT_INVALID, f"{field}: {value!r} is not finite")
    return number


def _required(value: Any, field: str) -> float:
    number = _number(value, field)
    if number is None:
        raise RecordRefusedError(Reason.RESULT_INVALID, f"{field}: a number is wanted, there is none")
    return number


def _word(value: Any, field: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise RecordRefusedError(Reason.RESULT_INVALID, f"{field}: {value!r} is no text")


def _truth(value: Any, field: str) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise RecordRefusedError(Reason.RESULT_INVALID, f"{field}: {value!r} is neither true nor false")


def _interval(statistics: Json, name: str) -> list[float]:
    return [_required(end, f"statistics.{name}") for end in statistics.get(name) or []]


def _count(value: Any, field: str) -> int:
    number = _required(value, field)
    if not number.is_integer() or not 0 <= number < 1 << 31:
        raise RecordRefusedError(Reason.RESULT_INVALID, f"{field}: {value!r} is no count")
    return int(number)


def _strings(value: Any) -> list[str]:
    return [str(item) for item in value or []]


def _main(revision: Json, artifacts: Artifacts) -> tuple[list[float], list[float], str | None]:
    """Samples of main and of base beside it, and why there are none; main alone never costs a record."""
    if revision.get("result") is None:
        return [], [], _word(revision.get("reason"), "revisions[main].reason")
    field = "revisions[main].result"
    try:
        result = artifacts.json(revision["result"], field)
        return _samples(result, "main", field), _samples(result, "base", field), None
    except RecordRefusedError as error:
        return [], [], error.reason.value


def _provenance(status: Json, result: Json, artifacts: Artifacts, version: str) -> dict[str, Any]:
    test = status.get("test") or {}
    digest = (status.get("artifacts") or {}).get("generation")
    generation = artifacts.json(digest, "artifacts.generation") if digest else {}
    prompt = (generation.get("prompt") or {}).get("digest")
    asked = [str(item["model"]) for item in generation.get("attempts") or [] if item.get("model")]
    models = dict.fromkeys([*asked, *([str(test["model"])] if test.get("model") else [])])
    seed = (result.get("plan") or {}).get("seed")
    return {
        "tool_version": version,
        "test_origin": str(test.get("origin") or "given"),
        "models": list(models),
        "prompts": [str(prompt)] if prompt else [],
        "generation": _word(digest, "artifacts.generation"),
        "attempts": _count(test.get("attempts") or 0, "test.attempts"),
        "seed": None if seed is None else str(seed),
    }


def _version(environment: Json, fingerprint: Json, spec: Json, image: str | None) -> str:
    """`python==3.9;arch=x86_64;image=…;install_sha=…`; install_sha is of setup and install lines together."""
    measured = ((fingerprint.get("pythons") or {}).get("head") or {}).get("python")
    python = str((environment.get("python") or {}).get("version") or measured or "unknown").split()[0]
    machine = fingerprint.get("machine") or environment.get("platform") or ""
    found = _ARCHITECTURE.search(str(machine))
    lines = dump_json([_strings(spec.get("setup")), _strings(spec.get("install"))])
    return ";".join(
        (
            f"python=={'.'.join(python.split('.')[:2])}",
            f"arch={found[0].lower() if found else 'unknown'}",
            f"image={image or 'none'}",
            f"install_sha={hashlib.sha256(lines).hexdigest()[:8]}",
        )
    )


def assemble(commit: Json, artifacts: Artifacts, *, tool_version: str) -> dict[str, Any]:
    """The record of a Commit that Succeeded; `instance_id` is empty until the whole dataset is known.

    Times are milliseconds per call. `base` and `head` are all kept samples of the head Job, `main` and `main_base` of the main Job.

    Raises:
        RecordRefusedError: an artifact is missing, or holds what no record may hold.
    """
    status, spec = commit.get("status") or {}, commit.get("spec") or {}
    revisions = {item.get("name"): item for item in status.get("revisions") or []}
    head, test = revisions.get("head") or {}, status.get("test") or {}
    inputs = artifacts.json((status.get("artifacts") or {}).get("inputs"), "artifacts.inputs")
    result = artifacts.json(head.get("result"), "revisions[head].result")
    statistics, fingerprint = result.get("statistics") or {}, result.get("fingerprint") or {}
    outcome, environment = status.get("result") or {}, spec.get("environment") or {}
    verdict = result.get("verdict")
    if verdict not in VERDICTS or verdict != outcome.get("verdict"):
        words = (
            f"status says {outcome.get('verdict')!r}, the result {verdict!r}: a record has one of {', '.join(VERDICTS)}"
        )
        raise RecordRefusedError(Reason.RESULT_INVALID, f"result.verdict: {words}")
    base_ms, head_ms = (_samples(result, name, "revisions[head].result") for name in ("base", "head"))
    main_ms, main_base_ms, main_reason = _main(revisions.get("main") or {}, artifacts)
    prepared = artifacts.shared(head["environment"], "revisions[head].environment") if head.get("environment") else {}
    gpu, cpu = device_names(fingerprint)
    image_digest = _word(head.get("imageID") or None, "revisions[head].imageID")
    extra = spec.get("record") or {}
    return {
        "repo": str(inputs["repo"]) if inputs.get("repo") else str((spec.get("repository") or {}).get("name")),
        "instance_id": "",
        "created_at": utc(inputs.get("commit_date"), "inputs.commit_date"),
        "base_commit": _sha(inputs.get("base"), "inputs.base"),
        "head_commit": _sha(inputs.get("head"), "inputs.head"),
        "patch": str(inputs.get("patch") or ""),
        "test_patch": str(inputs.get("test_patch") or ""),
        "patch_functions": _strings(inputs.get("patch_functions")),
        "test_functions": _strings(inputs.get("test_functions")),
        "efficiency_test": [artifacts.text(test.get("digest"), "test.digest")],
        "duration_changes": [{"base": base_ms, "head": head_ms, "main": main_ms, "main_base": main_base_ms}],
        "human_performance": fmean(base_ms) / fmean(head_ms),
        "version": _version(prepared, fingerprint, environment, image_digest or environment.get("image")),
        "setup_commands": _strings(environment.get("setup")),
        "install_commands": _strings(environment.get("install")),
        "api": _word(extra.get("api"), "record.api"),
        "gt_commit_message": str(inputs.get("message") or inputs.get("subject") or ""),
        "notes": _word(extra.get("notes"), "record.notes"),
        "commit": str((commit.get("metadata") or {}).get("name")),
        "category": _word(spec.get("category"), "spec.category"),
        "verdict": verdict,
        "speedup": _required(statistics.get("speedup"), "statistics.speedup"),
        "ci95": _interval(statistics, "ci95"),
        "ci_level": _number(statistics.get("ci_level"), "statistics.ci_level"),
        "rounds": _count(statistics.get("rounds"), "statistics.rounds"),
        "noise_floor_percent": _number(outcome.get("noiseFloorPercent") or result.get("noise_floor_percent"), "noise_floor_percent"),
        "minimum_effect_percent": _number(statistics.get("minimum_effect_percent"), "statistics.minimum_effect_percent"),
        "cold_speedup": _number(statistics.get("cold_speedup"), "statistics.cold_speedup"),
        "cold_ci95": _interval(statistics, "cold_ci95"),
        "cpu_speedup": _number(statistics.get("cpu_speedup"), "statistics.cpu_speedup"),
        "cpu_ci95": _interval(statistics, "cpu_ci95"),
        "headline": str(statistics.get("headline") or "warm"),
        "lower_bound": _truth(statistics.get("lower_bound"), "statistics.lower_bound") or False,
        "changed_share": _number(outcome.get("changedShare"), "changedShare"),
        "equivalent": _truth(result.get("equivalent"), "equivalent"),
        "granularity": str(result.get("granularity") or "function"),
        "flags": list(dict.fromkeys([*_strings(result.get("flags")), *_strings(outcome.get("flags"))])),
        "main_commit": _word((revisions.get("main") or {}).get("sha"), "revisions[main].sha"),
        "main_reason": main_reason,
        "isolation": str(fingerprint.get("isolation") or "none"),
        "gpu": gpu,
        "cpu": cpu,
        "image": _word(environment.get("image"), "environment.image"),
        "image_digest": image_digest,
        "test_digest": str(test["digest"]),
        "environments": {name: _word((revisions.get(name) or {}).get("environment"), f"revisions[{name}].environment") for name in ("base", "head", "main")},
        "fingerprint": _canonical_json(fingerprint),
        "provenance": _provenance(status, result, artifacts, tool_version),
        "finished_at": utc(condition(commit, "Finished").get("lastTransitionTime"), "conditions[Finished].lastTransitionTime"),
    }  # fmt: skip


def _canonical_json(value: Json) -> str:
    try:
        return dump_json(value).decode()
    except ValueError as error:
        raise RecordRefusedError(Reason.RESULT_INVALID, f"fingerprint: {error}") from error
