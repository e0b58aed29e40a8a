"""`isobench report DIR`: the HTML report of a folder that `isobench run` made."""

from __future__ import annotations

from pathlib import Path

import click

from isobench_operator.cli import EXIT_BAD_INPUT


@click.command()
@click.argument("directory", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
def command(directory: Path) -> None:
    """Write DIR/report.html, one self-contained file, from the statuses and artifacts in DIR."""
    from isobench_operator.reporting import write_report

    if not (directory / "status").is_dir():
        click.echo(
            f"Error: {directory} has no status folder; name the folder that `isobench run --out` was given", err=True
        )
        raise SystemExit(EXIT_BAD_INPUT)
    click.echo(str(write_report(directory)))
