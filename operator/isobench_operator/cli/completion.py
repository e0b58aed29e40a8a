"""`isobench completion SHELL`: the completion script, made by click for the program as installed."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    bash:  eval "$(isobench completion bash)"
    zsh:   eval "$(isobench completion zsh)"
    fish:  isobench completion fish | source
    """
    from isobench_operator.cli import cli

    completion = get_completion_class(shell)
    if completion is None:
        raise click.ClickException(f"click has no completion for {shell}")
    click.echo(completion(cli, {}, "isobench", "_ISOBENCH_COMPLETE").source())
