"""`isobench gc`: what the store holds and nothing refers to any more."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from isobench_operator.cli.cluster_options import carry_out, cluster_options

if TYPE_CHECKING:
    from isobench_operator.local.collecting import Found
    from isobench_runner.garbage import Garbage

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType[float]):
    """90m, 24h, 7d."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds."""
        if isinstance(value, int | float):
            return float(value)
        match = re.fullmatch(r"(\d+)([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is no duration; write for instance 90m, 24h or 7d", param, ctx)
        return float(int(match[1]) * UNITS[match[2]])


@click.command()
@click.option("--delete", "--yes", "delete", is_flag=True, help="Delete what is listed.")
@click.option("--dry-run", is_flag=True, help="List, and delete nothing; what happens without --delete.")
@click.option(
    "--grace", type=Duration(), default="24h", show_default=True, help="What was stored or used since is spared: 90m, 24h, 7d."
)  # fmt: skip
@click.option(
    "--environments", is_flag=True,
    help="Let environments go, too, that only the records of a Dataset name: the next Commit on such a revision builds anew.",
)  # fmt: skip
@click.option(
    "--from", "--out", "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
    help="A folder that `isobench run --out` made, instead of a cluster.",
)  # fmt: skip
@cluster_options
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    delete: bool, dry_run: bool, grace: float, environments: bool, folder: Path | None, namespace: str | None, context: str | None, kubeconfig: Path | None, output: str
) -> None:  # fmt: skip
    """List what the artifact store holds and no Commit, Dataset or environment in use refers to any more; with --delete, delete it.

    \b
    isobench gc -n bench                   what could go of the store that namespace bench sees
    isobench gc -n bench --delete          let it go
    isobench gc --from out --grace 0s      of a folder that `isobench run --out out` made

    Kept is everything that a Commit or Dataset of any namespace of the cluster names, all that this refers to in turn, and what was
    stored or used within --grace. Where that cannot be told for sure (a namespace that may not be listed, a status of another release,
    a damaged blob), nothing is deleted and it is said why. A bucket that several clusters share must not be collected from one of them.
    On a cluster a pod of the runner's image does it, started in the namespace with your own rights (list commits and datasets in all
    namespaces, create pods, pods/exec).

    \b
    Exit codes: 0 done · 1 the cluster or the store failed · 2 bad input, or a doubt
    """
    if delete and dry_run:
        raise click.UsageError("--delete and --dry-run exclude each other")
    if folder is not None:
        carry_out(_of_folder(folder, grace=grace, delete=delete, environments=environments, output=output))
    else:
        where = (kubeconfig, context, namespace)
        carry_out(_of_cluster(where, grace=grace, delete=delete, environments=environments, output=output))


async def _of_folder(folder: Path, *, grace: float, delete: bool, environments: bool, output: str) -> None:
    from isobench_operator.local.collecting import collect_folder

    found, gone = collect_folder(folder, grace_seconds=grace, delete=delete, environments=environments)
    _tell(found, gone, grace=grace, delete=delete, output=output)


async def _of_cluster(
    where: tuple[Path | None, str | None, str | None], *, grace: float, delete: bool, environments: bool, output: str
) -> None:
    from isobench_operator.local.collecting import known_in_cluster, look_in_cluster, take_away_in_cluster
    from isobench_operator.local.visitor import connect
    from isobench_runner.garbage import Garbage

    async with connect(*where) as visitor:
        await known_in_cluster(visitor, grace_seconds=grace)  # a doubt needs no pod
        async with visitor.store(write=delete) as pod:
            found = await look_in_cluster(visitor, pod, grace_seconds=grace, environments=environments)
            gone = await take_away_in_cluster(pod, found) if delete else Garbage()
    _tell(found, gone, grace=grace, delete=delete, output=output)


def _size(count: float) -> str:
    power = next((one for one in range(4) if count < 1000 ** (one + 1)), 4)
    return f"{count / 1000**power:.{1 if power else 0}f} {('B', 'KB', 'MB', 'GB', 'TB')[power]}"


def _tell(found: Found, gone: Garbage, *, grace: float, delete: bool, output: str) -> None:
    from isobench_operator.local.collecting import described

    if output == "json":
        click.echo(json.dumps(described(found, gone, delete=delete, grace_seconds=grace), indent=2))
        return
    shown = gone if delete else found.garbage
    meaning = {one.digest: one.name for one in shown.names}
    for blob in shown.blobs:
        _line(blob.digest, blob.size, blob.written, meaning.get(blob.digest, ""))
    for one in shown.unfinished:
        _line(one.file, one.size, one.written, "never finished")
    left = found.blobs - len(shown.blobs)
    total = f"{len(shown.blobs)} of {found.blobs} blobs, {_size(sum(blob.size for blob in shown.blobs))} of {_size(found.size)}"
    if shown.unfinished:
        total += f", and {_size(sum(one.size for one in shown.unfinished))} that were never finished"
    if delete:
        click.echo(f"Deleted {total}; {left} blobs are kept.")
    elif shown != type(shown)():
        click.echo(f"Nothing refers to {total}. Nothing was deleted: --delete does it.")
    else:
        click.echo(
            f"Nothing to delete: all of {found.blobs} blobs ({_size(found.size)}) are needed or younger than the grace."
        )


def _line(what: str, size: int, written: float, meaning: str) -> None:
    day = datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%d")
    click.echo(f"{what}  {_size(size):>9}  {day}  {meaning}".rstrip())
