"""`isobench validate FILE…`: everything that is wrong with manifests, without starting anything."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from isobench_operator.cli import EXIT_BAD_INPUT


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(files: tuple[Path, ...], output: str) -> None:
    """Check FILES and list every error with its file, line, field, value and remedy. Exit code 2 where there is one."""
    from isobench_operator.documents import DocumentErrors, load

    try:
        bundle = load(files, environ=os.environ)
    except DocumentErrors as errors:
        if output == "json":
            rows = [
                {
                    "file": str(error.file), "line": error.line, "column": error.column, "path": error.path,
                    "message": error.message, "remedy": error.remedy, "text": str(error),
                }
                for error in errors.errors
            ]  # fmt: skip
            click.echo(json.dumps(rows, indent=2))
        else:
            for error in errors.errors:
                click.echo(str(error), err=True)
            click.echo(f"{len(errors.errors)} error{'s' if len(errors.errors) > 1 else ''}", err=True)
        raise SystemExit(EXIT_BAD_INPUT) from errors
    if output == "json":
        click.echo("[]")
    else:
        click.echo(f"Valid. Commits: {len(bundle.commits)}, Datasets: {len(bundle.datasets)}")
