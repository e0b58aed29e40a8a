"""`isobench import`: ISO-Bench's experiments.yaml, or a folder of extractions, as manifests."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from isobench_operator.cli import EXIT_BAD_INPUT, EXIT_SOME_FAILED


@click.command("import")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder for the manifests."
)
@click.option(
    "--run-commands", is_flag=True, help="Run the setup and install commands; else they go into the records alone."
)
@click.option(
    "--tests", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Folder of pre-generated scripts."
)
@click.option("--repository", help="A URL or path, instead of the file's repo_path.")
@click.option(
    "--budget-seconds", type=click.IntRange(min=1), help="Measuring time of every Job, instead of the default."
)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    source: Path,
    out: Path,
    run_commands: bool,
    tests: Path | None,
    repository: str | None,
    budget_seconds: int | None,
    output: str,
) -> None:
    """Turn SOURCE into one Commit manifest per extraction and a Dataset.

    SOURCE is an experiments.yaml or a folder of extraction JSONs. Scripts are matched by the full hash first, then by its first eight
    digits. Nothing is run and no repository is opened for writing; what `isobench run` would later execute is listed here.
    """
    from isobench_operator.importing import ImportFailure, import_experiments

    try:
        report = import_experiments(
            source, out, run_commands=run_commands, tests=tests, repository=repository, budget_seconds=budget_seconds
        )
    except ImportFailure as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(EXIT_BAD_INPUT) from error
    if output == "json":
        click.echo(
            json.dumps(
                {"items": [asdict(item) for item in report.items], "written": [str(path) for path in report.written]},
                indent=2,
            )
        )
    else:
        if report.commands:
            click.echo(
                "Commands that will run:"
                if run_commands
                else "Commands that are noted and not run (--run-commands runs them):"
            )
        for line in report.commands:
            warning = click.style(f"   look first: {', '.join(line.remarks)}", fg="yellow") if line.remarks else ""
            click.echo(f"  {line.kind}: {line.line}{warning}")
        for item in report.items:
            click.echo(
                f"{item.outcome:8} {item.source}{f' -> {item.name}' if item.name else ''}{f': {item.words}' if item.words else ''}"
            )
        for note in report.notes:
            click.echo(f"Note: {note}")
        click.echo(
            f"{report.count('written')} written, {report.count('refused')} refused, {report.count('skipped')} skipped in {out}"
        )
    if report.count("refused"):
        raise SystemExit(EXIT_SOME_FAILED)
