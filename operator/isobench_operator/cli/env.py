"""`isobench env`: what this machine offers and where each setting comes from."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from isobench_operator.cli.folders import cache_folder


@click.command()
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(output: str) -> None:
    """Show settings with their source (keys masked), interpreters, the sandbox, GPUs and folders."""
    from isobench_operator.cluster import sandbox
    from isobench_runner.interpreters import find_all
    from isobench_runner.llm import settings

    rows = settings.resolve(settings.Flags(), environ=os.environ, dotenv=Path(".env")).explain()
    isolation = sandbox.detect()
    facts: dict[str, Any] = {
        "settings": [{"name": row.name, "value": row.shown, "source": row.source} for row in rows],
        "isolation": {"kind": isolation.kind, "words": isolation.words},
        "interpreters": [{"version": found.version, "path": str(found.path)} for found in find_all()],
        "gpus": [str(device) for device in sandbox.gpu_devices()],
        "index": os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("PIP_INDEX_URL") or "pip's configuration",
        "cache": str(cache_folder()),
    }
    if output == "json":
        click.echo(json.dumps(facts, indent=2))
        return
    click.echo(click.style("Models (isobench generate; a manifest names its own)", bold=True))
    for row in rows:
        click.echo(f"  {row.name:28} {row.shown or '-':32} {row.source}")
    click.echo(click.style("Sandbox", bold=True) + f"\n  {isolation.kind}: {isolation.words}")
    click.echo(click.style("Interpreters", bold=True))
    for item in facts["interpreters"]:
        click.echo(f"  {item['version']:10} {item['path']}")
    click.echo(click.style("GPUs", bold=True) + f"\n  {', '.join(facts['gpus']) or 'none'}")
    click.echo(
        click.style("Folders", bold=True) + f"\n  cache: {facts['cache']} (environments, mirrors, pip; ISOBENCH_CACHE)"
    )
    click.echo(click.style("Package index", bold=True) + f"\n  {facts['index']}")
