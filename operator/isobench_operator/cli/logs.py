"""`isobench logs COMMIT STAGE`: what a stage has said, wherever that is by now."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isobench_operator.cli.cluster_options import (
    EXIT_FAILED,
    carry_out,
    cluster_options,
    kind_and_name,
    resource_of_folder,
)

if TYPE_CHECKING:
    from isobench_operator.local.logs import Wanted
    from isobench_operator.local.pulling import Blobs

CONTROLS = bytes(one for one in range(32) if one not in b"\t\n\r") + b"\x7f"


@click.command()
@click.argument("resource", metavar="COMMIT")
@click.argument("stage")
@click.option("--attempt", type=click.IntRange(min=1), metavar="N", help="Default: the one that counts.")
@click.option("-f", "--follow", is_flag=True, help="Go on until the stage has ended.")
@click.option(
    "--out", "--from", "folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path), metavar="DIR",
    help="A folder that `isobench run --out` made, instead of a cluster.",
)  # fmt: skip
@cluster_options
def command(
    resource: str, stage: str, attempt: int | None, follow: bool, folder: Path | None, namespace: str | None, context: str | None, kubeconfig: Path | None
) -> None:  # fmt: skip
    """Show what the containers of one stage have said.

    \b
    isobench logs vllm-0f40557a prepare-head      a build: fetch, the lines of setup and install, report
    isobench logs vllm-0f40557a base -f           a measurement, while it runs
    isobench logs dataset/all collect             a Dataset's collection
    isobench logs packaging base --out out        of a folder that `isobench run --out out` made

    Stages of a Commit: prepare-base, prepare-head, prepare-main, generate, base, head, main. While the stage's pod is there, its
    containers are asked; after that, the store, where every stage's last container leaves what was said before it, whatever came of it.
    That takes a pod of the runner's image, which is started in the namespace with your own rights and deleted at the end. Keys are in
    neither. A test can print what it likes: nothing in a log is evidence.

    \b
    Exit codes: 0 shown · 1 the cluster failed, or the store has lost the log · 2 no such Commit or stage, or it has not started
    """
    kind, name = kind_and_name(resource)
    where = (kubeconfig, context, namespace)
    if folder is not None:
        carry_out(_of_folder(folder, kind, name, stage, attempt, follow=follow))
    else:
        carry_out(_of_cluster(where, kind, name, stage, attempt, follow=follow))


def _write(text: bytes) -> None:
    sys.stdout.buffer.write(text.translate(None, CONTROLS) if sys.stdout.isatty() else text)
    sys.stdout.buffer.flush()


async def _shown(words: AsyncIterator[bytes]) -> bool:
    """Print as it comes; returns whether there was anything."""
    last = b""
    async for data in words:
        if data:
            # A heading stands on a line of its own, whatever was said before it.
            _write(b"\n" + data if last and data.startswith(b"==> ") and not last.endswith(b"\n") else data)
            last = data
    return bool(last)


async def _of_folder(folder: Path, kind: str, name: str, stage: str, attempt: int | None, *, follow: bool) -> None:
    from isobench_operator.local.logs import choose, from_folder
    from isobench_operator.local.pulling import FolderBlobs

    resource = resource_of_folder(folder, kind, name)
    wanted = choose(resource, stage, attempt)
    if await _shown(from_folder(folder, wanted, follow=follow)):
        return
    await _from_store(FolderBlobs(folder), resource, wanted)


async def _of_cluster(
    where: tuple[Path | None, str | None, str | None], kind: str, name: str, stage: str, attempt: int | None, *, follow: bool
) -> None:  # fmt: skip
    from isobench_operator.cluster.ports import ClusterError
    from isobench_operator.local.logs import absent, choose, from_pods
    from isobench_operator.local.visitor import connect

    async with connect(*where) as visitor:
        resource = await visitor.get(kind, name)
        wanted = choose(resource, stage, attempt)
        try:
            if await _shown(from_pods(visitor, kind, name, wanted, follow=follow)):
                return
        except ClusterError as error:
            if not wanted.over:
                raise
            click.echo(f"{error}; asking the store", err=True)
        if not wanted.over:
            raise absent(resource, wanted)
        async with visitor.store() as pod:
            await _from_store(pod, resource, wanted)


async def _from_store(source: Blobs, resource: dict[str, Any], wanted: Wanted) -> None:
    from isobench_operator.local.logs import absent
    from isobench_runner.store import Store, StoreError
    from isobench_runner.transcript import log_name

    digest = (await source.resolve([log_name(wanted.name)])).get(log_name(wanted.name))
    if digest is None:
        raise absent(resource, wanted)
    with tempfile.TemporaryDirectory(prefix="isobench-logs-") as scratch:
        store, path = Store(Path(scratch) / "store"), Path(scratch) / "log"
        await source.bring([digest], store)
        try:
            store.take_file(digest, path)
        except StoreError as error:
            click.echo(f"Error: {error}", err=True)
            raise SystemExit(EXIT_FAILED) from error
        _write(path.read_bytes())
