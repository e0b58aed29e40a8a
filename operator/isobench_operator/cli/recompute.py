"""`isobench recompute DIR [COMMIT]`: verdicts anew from the raw samples of a folder that `run` or `pull` made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isobench_operator.cli import EXIT_BAD_INPUT

if TYPE_CHECKING:
    from isobench_operator.reporting.folder import CommitRun, Json
    from isobench_runner.stats.summary import Rule, Summary

EXIT_DIFFERS = 1


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("commit", required=False)
@click.option(
    "--minimum-effect", type=click.FloatRange(0, 1000), metavar="PERCENT", help="Judge by this minimum effect too."
)
@click.option("--alpha", type=click.FloatRange(0.0001, 0.2), help="Judge by one interval of level 1 - ALPHA too.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    directory: Path, commit: str | None, minimum_effect: float | None, alpha: float | None, output: str
) -> None:
    """Compute every result in DIR anew from its raw samples, and compare it with what is written.

    Exit code 0 where all agree, 1 where one does not. With a rule of your own its verdicts stand beside the written ones; they
    never change the exit code.
    """
    from isobench_operator.reporting.folder import read_folder

    try:
        commits = [one for one in read_folder(directory).commits if commit in (None, one.name)]
    except FileNotFoundError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(EXIT_BAD_INPUT) from error
    if commit is not None and not commits:
        click.echo(f"Error: {directory} has no Commit {commit!r}", err=True)
        raise SystemExit(EXIT_BAD_INPUT)
    rows = [row for one in commits for row in _rows(one, minimum_effect, alpha)]
    if output == "json":
        click.echo(json.dumps(rows, indent=2))
    else:
        _print(rows, own=minimum_effect is not None or alpha is not None)
    raise SystemExit(EXIT_DIFFERS if any(row["differences"] for row in rows) else 0)


def _rows(commit: CommitRun, minimum_effect: float | None, alpha: float | None) -> list[dict[str, Any]]:
    from isobench_runner.contract import StageError
    from isobench_runner.stats.recompute import recompute, stored_rule

    rows = []
    for name in ("base", "head", "main"):
        result = commit.results[name] if name in commit.results else _refused(commit.evidence.get(name))
        if result is None:
            continue
        row: dict[str, Any] = {
            "commit": commit.name,
            "revision": name,
            "written": None,
            "recomputed": None,
            "differences": [],
        }
        rows.append(row)
        if not result:
            row["differences"].append(
                {"field": "result", "stored": "named by status", "recomputed": "not in the store"}
            )
            continue
        try:
            found = recompute(result, rule=_own(stored_rule(result), minimum_effect, alpha))
        except StageError as error:
            row["differences"].append({"field": "rounds", "stored": "a verdict", "recomputed": str(error)})
            continue
        row["written"], row["recomputed"] = str(result.get("verdict") or result.get("reason")), _told(found.summary)
        if found.why is not None:
            row["recomputed"] = {"verdict": found.verdict, "why": found.why}
        row["differences"] += [vars(one) for one in found.differences]
        if name == "head" and name in commit.results and commit.result.get("verdict") != found.verdict:
            row["differences"].append(
                {
                    "field": "status.result.verdict",
                    "stored": commit.result.get("verdict"),
                    "recomputed": found.verdict,
                }
            )
        if found.by_rule is not None and found.why is None:
            row["by_rule"] = _told(found.by_rule)
    return rows


def _refused(evidence: Json | None) -> Json | None:
    """Evidence that holds the rounds which were found to be no comparison, or None: every other failure has no verdict to doubt."""
    return evidence if evidence and evidence.get("reason") == "Incomparable" and "rounds" in evidence else None


def _own(rule: Rule, minimum_effect: float | None, alpha: float | None) -> Rule | None:
    from dataclasses import replace

    if minimum_effect is None and alpha is None:
        return None
    return replace(rule, delta=rule.delta if minimum_effect is None else minimum_effect / 100, alpha=alpha)


def _told(summary: Summary | None) -> dict[str, Any]:
    assert summary is not None, "without one there are words on why"
    judgement = summary.judgement
    return {
        "verdict": judgement.verdict,
        "speedup": judgement.speedup,
        "ci": list(judgement.interval) if judgement.interval else None,
        "level": judgement.level,
        "rounds": judgement.rounds,
        "human_performance": summary.human_performance,
    }


def _line(told: dict[str, Any]) -> str:
    if "why" in told:
        return f"{told['verdict']:12} {told['why']}"
    interval = f" [{told['ci'][0]:.4f}, {told['ci'][1]:.4f}] at {told['level'] * 100:g} %" if told["ci"] else ""
    return f"{told['verdict']:12} {told['speedup']:.4f}x{interval}, {told['rounds']} rounds"


def _print(rows: list[dict[str, Any]], *, own: bool) -> None:
    if not rows:
        click.echo("No results: no Commit here came to a measurement.")
    for row in rows:
        mark = click.style("differs", fg="red") if row["differences"] else click.style("agrees ", fg="green")
        told = _line(row["recomputed"]) if row["recomputed"] else ""
        click.echo(f"{mark} {row['commit']} {row['revision']:5} {told}")
        for one in row["differences"]:
            click.echo(f"        {one['field']}: written {one['stored']!r}, the samples give {one['recomputed']!r}")
        if own and "by_rule" in row:
            click.echo(f"        by your rule: {_line(row['by_rule'])}")
    if rows:
        different = sum(bool(row["differences"]) for row in rows)
        click.echo(f"{len(rows) - different} of {len(rows)} results agree with their raw samples.")
