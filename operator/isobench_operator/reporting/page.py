"""Puts the page together: what the overview counts, and the one file that comes of it."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import jinja2

from isobench_runner.contract import Explanation
from isobench_runner.store import write_atomic

from . import words
from .commit import CommitView, Row, commit_view
from .folder import CommitRun, RunFolder, mapping, number, read_folder
from .pictures import forest_axis

REPORT = "report.html"
SOURCE_BUDGET = 12_000_000
"""Characters of patches and tests that a page shows, shared by its Commits; a browser stays quick with this much."""
DOT_BUDGET = 60_000
"""Samples that a page draws, likewise."""


@dataclass(frozen=True)
class Step:
    """A step of the funnel."""

    label: str
    count: int
    percent: float


@dataclass(frozen=True)
class FailureGroup:
    """Commits that ended for one reason."""

    reason: str
    explanation: Explanation | None
    commits: list[CommitView]


def _funnel(commits: tuple[CommitRun, ...]) -> list[Step]:
    counts = [
        ("commits in", len(commits)),
        ("environments ready", sum(commit.holds("Prepared") for commit in commits)),
        ("tests ready", sum(commit.holds("TestReady") for commit in commits)),
        ("measured", sum(commit.holds("Measured") for commit in commits)),
        ("verdict reached", sum(commit.holds("Succeeded") for commit in commits)),
    ]
    whole = max(1, len(commits))
    return [Step(label, count, round(100 * count / whole, 2)) for label, count in counts]


def _failures(views: list[CommitView]) -> list[FailureGroup]:
    groups: defaultdict[str, list[CommitView]] = defaultdict(list)
    for view in views:
        if view.kind == "failed":
            groups[view.reason].append(view)
    ordered = sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return [FailureGroup(reason, words.explanation(reason), members) for reason, members in ordered]


def _when(folder: RunFolder) -> str:
    times = [str(commit.condition("Finished").get("lastTransitionTime") or "") for commit in folder.commits]
    try:
        return datetime.fromisoformat(max(times)).strftime("%-d %B %Y, %H:%M UTC")
    except ValueError:
        return ""


def _datasets(folder: RunFolder) -> list[Row]:
    rows = []
    for body in folder.datasets:
        status = mapping(body.get("status"))
        count = status.get("records")
        counted = f"{count} record{'' if count == 1 else 's'}" if count is not None else "not collected yet"
        rows.append(Row(str(mapping(body.get("metadata")).get("name")), counted))
    return rows


def render(folder: RunFolder, *, title: str) -> str:
    """The page as HTML; equal folders give equal pages."""
    commits = folder.commits
    share = min(64_000, max(2_000, SOURCE_BUDGET // (2 * max(1, len(commits)))))
    dots = min(700, max(32, DOT_BUDGET // max(1, len(commits))))
    values: list[float] = []
    for commit in commits:
        speedup = number(commit.result.get("speedup"))
        if speedup and words.outcome(commit) not in ("failed", "pending"):
            values += [speedup, *(words.interval(commit) or ())]
    axis = forest_axis(values)
    views = [commit_view(commit, index, axis, share=share, dots=dots) for index, commit in enumerate(commits, 1)]
    order = list(words.VERDICTS)
    counts = Counter(view.kind for view in views)
    speedups = {commit.name: number(commit.result.get("speedup")) or 0.0 for commit in commits}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(__package__ or __name__),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2").render(
        title=title,
        when=_when(folder),
        datasets=_datasets(folder),
        commits=views,
        forest=sorted((view for view in views if view.bar), key=lambda view: (-speedups[view.name], view.name)),
        axis=axis,
        funnel=_funnel(commits),
        outcomes=[(kind, *words.VERDICTS[kind], counts[kind], 100 * counts[kind] / max(1, len(views))) for kind in order if counts[kind]],
        failures=_failures(views),
    )  # fmt: skip


def write_report(directory: Path) -> Path:
    """Write `report.html` into an output folder, replacing the one that is there.

    Raises:
        FileNotFoundError: nothing was run there.
    """
    path = directory / REPORT
    write_atomic(path, render(read_folder(directory), title=directory.resolve().name).encode("utf-8", "replace"))
    return path
