"""The options of commands that look at a cluster or, with `--from`, at the folder of a run; and how their failures are told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from isobench_operator.cli import EXIT_BAD_INPUT, EXIT_INTERRUPTED

Json = dict[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])
EXIT_FAILED = 1
KINDS = {
    "commit": "Commit",
    "commits": "Commit",
    "pc": "Commit",
    "dataset": "Dataset",
    "datasets": "Dataset",
    "pds": "Dataset",
}


def cluster_options(command: Command) -> Command:
    """--namespace, --context and --kubeconfig, as kubectl has them."""
    options = (
        click.option("-n", "--namespace", help="Default: the context's."),
        click.option("--context", help="Of the kubeconfig. Default: the current one."),
        click.option(
            "--kubeconfig",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            help="Default: KUBECONFIG, else ~/.kube/config.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def from_option(command: Command) -> Command:
    """--from DIR."""
    option = click.option(
        "--from",
        "folder",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        help="A folder that `isobench run --out` made, instead of a cluster.",
    )
    return option(command)


def kind_and_name(text: str, *, default: str = "Commit") -> tuple[str, str]:
    """KIND/NAME; a name alone is a Commit's.

    Raises:
        click.BadParameter: an unknown kind.
    """
    word, slash, name = text.partition("/")
    if not slash:
        return default, word
    kind = KINDS.get(word.lower().partition(".")[0])
    if kind is None or not name:
        raise click.BadParameter(f"{text!r}: write commit/NAME or dataset/NAME", param_hint="KIND/NAME")
    return kind, name


def resource_of_folder(folder: Path, kind: str, name: str) -> Json:
    """A resource as `isobench run` left it.

    Raises:
        click.UsageError: it is not there.
    """
    import yaml

    from isobench_operator.core.naming import file_stem

    path = folder / "status" / f"{kind.lower()}-{file_stem(name)}.yaml"
    if not path.exists():
        there = sorted(one.stem.partition("-")[2] for one in (folder / "status").glob(f"{kind.lower()}-*.yaml"))
        raise click.UsageError(f"{path} is not there; {folder} has {', '.join(there[:20]) or 'no ' + kind}")
    found: Json = yaml.safe_load(path.read_bytes())
    return found


def carry_out(work: Coroutine[Any, Any, None]) -> None:
    """Run a command's work; what the user or the cluster did wrong is one line, never a stack trace."""
    from isobench_operator.cluster.ports import ClusterError
    from isobench_operator.errors import IsobenchError

    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
    except ClusterError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(EXIT_FAILED) from error
    except IsobenchError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(EXIT_BAD_INPUT) from error
