"""`isobench pull KIND/NAME`: what a Commit or a Dataset has in the store, as files."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from isobench_operator.cli.cluster_options import (
    EXIT_FAILED,
    carry_out,
    cluster_options,
    from_option,
    kind_and_name,
    resource_of_folder,
)


@click.command()
@click.argument("resource", metavar="KIND/NAME")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder. Default: ./NAME.")
@from_option
@cluster_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    resource: str, out: Path | None, folder: Path | None, namespace: str | None, context: str | None, kubeconfig: Path | None, output: str
) -> None:  # fmt: skip
    """Copy what a Commit or a Dataset has in the artifact store into a folder.

    \b
    isobench pull dataset/all                 all.jsonl, all.parquet, views, card
    isobench pull commit/vllm-0f40557a        commit.yaml, test.py, patch.diff, attempts/, results/ (every raw
                                              sample), environments/, logs/ of every stage, evidence/
                                              of what failed
    isobench pull dataset/dataset --from out  the same of a folder that `isobench run --out out` made

    Every file is proved against its digest. On a cluster a pod of the runner's image is started in the namespace with
    your own rights (create pods, pods/exec), sees the store read-only, and is deleted at the end.

    \b
    Exit codes: 0 everything was there · 1 the cluster failed, or the store has lost something · 2 bad input
    """
    kind, name = kind_and_name(resource)
    target = out or Path(name)
    carry_out(_pull(kind, name, target, folder=folder, where=(kubeconfig, context, namespace), output=output))


async def _pull(
    kind: str, name: str, out: Path, *, folder: Path | None, where: tuple[Path | None, str | None, str | None], output: str
) -> None:  # fmt: skip
    from isobench_operator.local.pulling import FolderBlobs, named, pull
    from isobench_runner.store import Store

    with tempfile.TemporaryDirectory(prefix="isobench-pull-") as scratch:
        store = Store(Path(scratch))
        if folder is not None:
            body = resource_of_folder(folder, kind, name)
            files = tuple(named(body)) if kind == "Dataset" else ()
            pulled = await pull(body, FolderBlobs(folder, files), store, out)
        else:
            from isobench_operator.local.visitor import connect

            async with connect(*where) as visitor:
                body = await visitor.get(kind, name)
                async with visitor.store() as pod:
                    pulled = await pull(body, pod, store, out)
    if output == "json":
        click.echo(json.dumps({"out": str(out), "files": pulled.files, "missing": pulled.missing}, indent=2))
    else:
        for file in pulled.files:
            click.echo(out / file)
    for file, digest in pulled.missing.items():
        click.echo(f"Missing: {file} ({digest}): the store no longer has it", err=True)
    if pulled.missing:
        raise SystemExit(EXIT_FAILED)
