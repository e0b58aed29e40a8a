"""What the page shows of one Commit: every number worded, every text made safe to look at, every picture placed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from isobench_runner.contract import Explanation

from . import source, words
from .folder import CommitRun, Json, items, mapping, number
from .pictures import TIMES, Bar, ForestAxis, RatioPlot, SamplePlot, ratio_plot, sample_plot

TAIL_LINES = 40


@dataclass(frozen=True)
class Row:
    """A label and its value."""

    label: str
    value: str


@dataclass(frozen=True)
class RevisionRow:
    """One line of a Commit's table of revisions."""

    name: str
    sha: str
    median: str
    samples: str
    ratio: str
    where: str
    note: str


@dataclass(frozen=True)
class Attempt:
    """One answer of a model."""

    number: int
    model: str
    kind: str
    verdict: str
    tokens: str
    seconds: str
    words: str


@dataclass(frozen=True)
class CommitView:
    """Everything the template shows of one Commit; all of it text, numbers or geometry."""

    anchor: str
    name: str
    subject: str
    message: str
    repository: str
    base: str
    head: str
    kind: str
    symbol: str
    label: str
    sentence: str
    speedup: str
    interval: str
    bar: Bar | None
    reason: str
    explanation: Explanation | None
    tail: str
    tail_cut: int
    flags: list[tuple[str, str]]
    warnings: list[str]
    numbers: list[Row]
    revisions: list[RevisionRow]
    plots: list[SamplePlot]
    ratios: RatioPlot | None
    checks: list[tuple[bool, str, str]]
    test: source.Source
    test_origin: str
    patch: source.Source
    test_patch: source.Source
    environment: list[Row]
    distributions: list[str]
    fingerprint: list[Row]
    attempts: list[Attempt]


def _number_rows(commit: CommitRun) -> list[Row]:
    result, head = commit.result, mapping(commit.results.get("head"))
    statistics = mapping(head.get("statistics"))

    def times(key: str) -> str:
        value = number(result.get(key))
        return f"{words.factor(value)}{TIMES}" if value else ""

    floor, share, level = (
        number(result.get("noiseFloorPercent")),
        number(result.get("changedShare")),
        number(statistics.get("ci_level")),
    )
    equivalent = result.get("equivalent")
    rows = [
        Row("Speedup", times("speedup")),
        Row("95 % interval", words.short_interval(commit)),
        Row("Ratio of means", times("humanPerformance")),
        Row("Noise floor", f"±{floor:.2g} %" if floor is not None else ""),
        Row("Time in changed code", f"{share * 100:.0f} %" if share is not None else ""),
        Row("Same results", "" if equivalent is None else "yes" if equivalent else "no"),
        Row("Rounds", str(statistics.get("rounds") or "")),
        Row("Level of the last look", f"{level * 100:.0f} %" if level else ""),
        Row("Timed", "whole processes" if head.get("granularity") == "process" else ""),
    ]
    return [row for row in rows if row.value]


def _plots(commit: CommitRun, dots: int, floor: float | None) -> list[SamplePlot]:
    """The rounds of head, and those of main, each beside base; the budget of dots is shared."""
    names = [name for name in ("head", "main") if commit.results.get(name)]
    shown = (
        sample_plot(
            mapping(commit.results[name]),
            name,
            most_dots=dots // len(names),
            floor_percent=floor if name == "head" else None,
        )
        for name in names
    )
    return [plot for plot in shown if plot is not None]


def _revision_rows(commit: CommitRun) -> list[RevisionRow]:
    rows = []
    for name in ("base", "head", "main"):
        revision = commit.revisions.get(name)
        if revision is None:
            continue
        statistics = mapping(mapping(commit.results.get(name)).get("statistics"))
        ratio, median = number(statistics.get("speedup")), number(revision.get("medianMs"))
        against = "beside itself" if name == "base" else "against base"
        ends = words.both_ends(statistics.get("ci95"))
        against += f" ({words.factor(ends[0])} to {words.factor(ends[1])})" if ends else ""
        rows.append(
            RevisionRow(
                name=name,
                sha=str(revision.get("sha") or "")[:12],
                median=words.milliseconds(median) if median else "",
                samples=str(revision.get("samples") or ""),
                ratio=f"{words.factor(ratio)}{TIMES} {against}" if ratio else "",
                where=" · ".join(str(revision[key]) for key in ("node", "gpu") if revision.get(key)),
                note=words.revision_note(revision),
            )
        )
    return rows


def _flat(value: Any, prefix: str = "") -> list[Row]:
    rows: list[Row] = []
    for key, item in sorted(mapping(value).items(), key=lambda pair: str(pair[0])):
        label = f"{prefix}{key}"
        if isinstance(item, dict):
            rows += _flat(item, f"{label}.")
        elif isinstance(item, list):
            rows.append(Row(label, source.plain(", ".join(map(str, item))[:400])))
        elif item is not None and item != "":
            rows.append(Row(label, source.plain(str(item)[:400])))
    return rows


def _environment_rows(manifest: Json, spec: Json) -> list[Row]:
    package, python = mapping(manifest.get("package")), mapping(manifest.get("python"))
    proof = ""
    if package:
        proof = f"{package.get('name')} from {package.get('origin')}"
        if package.get("blobs"):
            proof += f"; {package.get('blobs_matching')} of {package['blobs']} Python files are the revision's own"
    rows = [
        Row("Python", " ".join(str(python[key]) for key in ("implementation", "version") if python.get(key))),
        Row("Platform", str(manifest.get("platform") or "")),
        Row("Image", str(mapping(spec.get("environment")).get("image") or "")),
        Row("Packages as of", str(manifest.get("as_of") or "")),
        Row("Inherits", str(manifest.get("inherit") or "")),
        Row("Set up", "\n".join(map(str, items(manifest.get("setup"))))),
        Row("Installed by", "\n".join(map(str, items(manifest.get("install"))))),
        Row("Package", proof),
    ]
    return [Row(row.label, source.plain(row.value)) for row in rows if row.value]


def _attempts(commit: CommitRun) -> list[Attempt]:
    attempts = []
    for index, raw in enumerate(items(commit.generation.get("attempts")), 1):
        attempt = mapping(raw)
        usage = mapping(attempt.get("usage"))
        tokens = [usage.get(key) for key in ("promptTokens", "completionTokens")]
        seconds = number(attempt.get("latency_seconds"))
        attempts.append(
            Attempt(
                number=index,
                model=str(attempt.get("model") or ""),
                kind=str(attempt.get("kind") or ""),
                verdict=str(attempt.get("verdict") or "accepted"),
                tokens=f"{tokens[0]} in, {tokens[1]} out" if None not in tokens else "",
                seconds=f"{seconds:.1f} s" if seconds is not None else "",
                words=source.plain(str(attempt.get("words") or "")[:400]),
            )
        )
    return attempts


def _checks(commit: CommitRun) -> list[tuple[bool, str, str]]:
    """What validation found on base, then what was checked beside the timing of head."""
    checks: list[tuple[bool, str, str]] = []
    for name in ("base", "head"):
        found = mapping(mapping(commit.results.get(name) or commit.evidence.get(name)).get("checks"))
        for check, body in found.items():
            said = source.plain(str(mapping(body).get("words") or "")[:600])
            checks.append((mapping(body).get("ok") is not False, str(check).replace("_", " "), said))
    return checks


def commit_view(commit: CommitRun, index: int, axis: ForestAxis, *, share: int, dots: int) -> CommitView:
    """Everything that the page shows of a Commit.

    Args:
        index: its place, for the anchor.
        axis: that all Commits share.
        share: characters of source that may be shown.
        dots: samples that may be drawn.
    """
    kind = words.outcome(commit)
    symbol, label = words.VERDICTS[kind]
    reason, message = words.failure(commit) if kind == "failed" else ("", "")
    tail = source.plain(message).rstrip("\n").split("\n") if message else []
    head, inputs = mapping(commit.results.get("head")), commit.inputs
    speedup = number(commit.result.get("speedup")) if kind not in ("failed", "pending") else None
    test = mapping(commit.status.get("test"))
    repository = mapping(commit.spec.get("repository"))
    shas = {
        name: str(mapping(commit.revisions.get(name)).get("sha") or inputs.get(name) or "") for name in ("base", "head")
    }
    manifest = mapping(commit.environments.get("head") or commit.environments.get("base"))
    floor = number(commit.result.get("noiseFloorPercent"))
    written = {"given": "given", "generated": f"written by {test.get('model') or 'a model'}"}
    return CommitView(
        anchor=f"commit-{index}",
        name=commit.name,
        subject=source.plain(str(inputs.get("subject") or commit.name)).replace("\n", " "),
        message=source.plain(str(inputs.get("message") or "").partition("\n")[2].strip()),
        repository=source.plain(str(inputs.get("repo") or repository.get("name") or repository.get("url") or "")),
        base=shas["base"][:10],
        head=(shas["head"] or str(commit.spec.get("head") or ""))[:10],
        kind=kind,
        symbol=symbol,
        label=label,
        sentence=words.sentence(commit),
        speedup=f"{words.factor(speedup)}{TIMES}" if speedup else "",
        interval=words.short_interval(commit),
        bar=axis.bar(speedup, words.interval(commit), floor) if speedup else None,
        reason=reason,
        explanation=words.explanation(reason),
        tail="\n".join(tail[-TAIL_LINES:]),
        tail_cut=max(0, len(tail) - TAIL_LINES),
        flags=words.flags(commit),
        warnings=words.warnings(commit),
        numbers=_number_rows(commit) if speedup else [],
        revisions=_revision_rows(commit),
        plots=_plots(commit, dots, floor),
        ratios=ratio_plot(words.ratios(commit), floor) if speedup else None,
        checks=_checks(commit),
        test=source.python(commit.script, share),
        test_origin=written.get(str(test.get("origin")), ""),
        patch=source.diff(str(inputs.get("patch") or ""), share),
        test_patch=source.diff(str(inputs.get("test_patch") or ""), share // 4),
        environment=_environment_rows(manifest, commit.spec),
        distributions=[source.plain(f"{mapping(item).get('name')} {mapping(item).get('version')}") for item in items(manifest.get("distributions"))],
        fingerprint=_flat(head.get("fingerprint")),
        attempts=_attempts(commit),
    )  # fmt: skip
