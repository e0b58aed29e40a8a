"""The dataset card: what the records are, how they were measured, and what became of every Commit that went in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from isobench_runner.contract import EXPLANATIONS

from .parquet import SCHEMA

COLUMNS: dict[str, str] = {
    "repo": "`owner/name`",
    "instance_id": "`owner__repo-PR-<n>`, or `owner__repo-<commit7>` without a pull request or where two commits name the same one",
    "created_at": "date of the head commit, UTC",
    "base_commit": "full sha before the change",
    "head_commit": "full sha after it",
    "patch": "unified diff of files that are no tests",
    "test_patch": "unified diff of test files",
    "patch_functions": "functions that the patch touches",
    "test_functions": "functions that the test patch touches",
    "efficiency_test": "the script that was timed",
    "duration_changes": "every kept sample in milliseconds per call: `base` and `head` of one Job, `main` and `main_base` of another",
    "human_performance": "mean(base) / mean(head) over the record's own samples",
    "version": "`python==…;arch=…;image=…;install_sha=…`",
    "setup_commands": "run once per environment, before install",
    "install_commands": "run once per revision",
    "api": "API concerned, as given",
    "gt_commit_message": "message of the head commit",
    "notes": "as given",
    "commit": "name of the Commit that the record comes from",
    "category": "as given",
    "verdict": "`faster`, `slower`, `negligible`, `no_change` or `inconclusive`",
    "speedup": "Hodges-Lehmann estimate of base / head over rounds; above 1 head is faster",
    "ci95": "its exact signed-rank interval; empty where too few rounds were measured",
    "ci_level": "level of that interval, at least 0.95",
    "rounds": "rounds that it rests on",
    "noise_floor_percent": "what base beside itself came out apart on that node: half-width of the interval, or the ratio itself where that is more",
    "minimum_effect_percent": "effects below this are `negligible`",
    "cold_speedup": "the ratio of first calls of fresh processes",
    "cold_ci95": "its interval, of the level `ci_level`",
    "cpu_speedup": "the ratio of CPU time",
    "cpu_ci95": "its interval, of the level `ci_level`",
    "headline": "what speedup and verdict are about: `warm` calls, or the `first_call` of a process where later ones live on it or may do",
    "lower_bound": "whether head's samples are so short that the true speedup is higher",
    "changed_share": "share of the test's time that is spent in the changed functions; null for compiled code",
    "equivalent": "whether head's results pass the test's own check against base's",
    "granularity": "`function`, or `process` for scripts timed as a whole",
    "flags": "warnings; see the reference of flags",
    "main_commit": "the revision measured as main",
    "main_reason": "why main has no samples",
    "isolation": "how the untrusted test was kept apart; `none`: not at all",
    "gpu": "model, null without one",
    "cpu": "model",
    "image": "container image that was asked for",
    "image_digest": "its digest as the kubelet reported it",
    "test_digest": "sha256 of the script",
    "environments": "digests of the environments' manifests",
    "fingerprint": "hardware, kernel, clocks and libraries, as JSON text",
    "provenance": "who wrote the test: origin, models, digests of prompts and of all attempts; seed of the plan; release of the tool",
    "finished_at": "when the Commit finished, UTC",
}  # fmt: skip
"""What each column means, in the order of the schema."""


def _cell(text: str, limit: int = 160) -> str:
    """Text that cannot break out of a Markdown table or into HTML."""
    line = " ".join(text.split())
    line = line if len(line) <= limit else line[: limit - 1] + "…"
    return "".join(f"&#{ord(character)};" if character in "|<>&`*_[]\\!" else character for character in line)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


def _failures(failures: list[dict[str, Any]]) -> str:
    if not failures:
        return "Every Commit that finished gave a record.\n"
    counts = Counter(item["reason"] for item in failures)
    meanings = {reason.value: explanation.meaning for reason, explanation in EXPLANATIONS.items()}
    by_reason = [(reason, str(count), meanings.get(reason, "")) for reason, count in sorted(counts.items())]
    shown = failures[:1000]
    each = [(_cell(item["commit"]), item["reason"], _cell(item["message"].rpartition("\n")[2])) for item in shown]
    more = (
        f"\n{len(failures) - len(shown)} more are in `collected.json` of the Job.\n"
        if len(shown) < len(failures)
        else ""
    )
    reasons = _table(("reason", "commits", "meaning"), by_reason)
    return f"{reasons}\n{_table(('commit', 'reason', 'last line'), each)}{more}"


def card(name: str, funnel: Mapping[str, Any], *, records: int, kept: int, repositories: int, files: list[str]) -> str:
    """The card as Markdown with the Hub's front matter.

    Args:
        name: the dataset's.
        funnel: `Funnel.body()`.
        records: in the files.
        kept: of those, how many come from Commits of earlier collections.
        repositories: how many the records come from.
        files: names of the data files beside the card.
    """
    verdicts = funnel["verdicts"]
    steps = [
        ("commits in", funnel["commits"]),
        ("tests ready", funnel["tests"]),
        ("measured", funnel["measured"]),
        ("verdict reached", funnel["succeeded"]),
        *((f"verdict `{verdict}`", count) for verdict, count in verdicts.items()),
        ("not finished", funnel["pending"]),
        ("records kept from earlier collections", kept),
        ("records", records),
    ]
    assert list(COLUMNS) == SCHEMA.names
    columns = [(f"`{field.name}`", str(field.type), COLUMNS[field.name]) for field in SCHEMA]
    bucket = "n<1K" if records < 1000 else "1K<n<10K" if records < 10_000 else "10K<n<100K"
    data = next((file for file in files if file.endswith(".parquet")), f"{name}.jsonl")
    return f"""---
pretty_name: {name}
size_categories: ["{bucket}"]
tags: [performance, code, benchmark, isobench]
configs:
- config_name: default
  data_files:
  - split: test
    path: {data}
---

# {name}

{records} performance commits of {repositories} repositories, each with the script that times it, every sample, and a verdict.

## Funnel

{_table(("step", "count"), [(step, str(count)) for step, count in steps])}
## Without a record

{_failures(funnel["failures"])}
## How it was measured

A parent process that never imports repository code starts one fresh worker per revision and round, lets them take turns sample by
sample in random order on the same CPUs and GPU, and reads the clock around a device-wide synchronise. `speedup` is the
Hodges-Lehmann estimate over per-round log ratios with its exact signed-rank interval, at planned looks; `human_performance` is the
plain ratio of means, recomputable to the last digit. Base measured beside itself gives the noise floor. A revision that could not
be run has no number: there is no timeout written as a time, no infinity and no NaN.

Trust `verdict` before either number, read `flags`, and prefer records whose `isolation` is not `none`. Times of two Jobs have no
meaning beside each other: compare `head` with `base`, and `main` with `main_base`. Times of another machine have none either.

## Files

{chr(10).join(f"- `{file}`" for file in files)}

## Columns

{_table(("column", "type", "meaning"), columns)}"""
