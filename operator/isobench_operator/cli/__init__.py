"""The command line: one module per command, each loaded only when it is called, so that `--help` stays instant.

Commands parse and print; whatever decides or does lives in the rooms below. Exit codes: 0 all is well, 2 bad input, 3 some
Commits did not succeed, 130 interrupted (and resumable).
"""

from __future__ import annotations

import importlib
from typing import Any

import click

EXIT_BAD_INPUT = 2
EXIT_SOME_FAILED = 3
EXIT_INTERRUPTED = 130

_COMMANDS = {
    "run": ("run", "Run manifests here, without a cluster: Commits in, a dataset and a report out."),
    "validate": ("validate", "Check manifests and say everything that is wrong with them."),
    "new": ("new", "Print a manifest to start from."),
    "report": ("report", "Write report.html for a folder that `run` made."),
    "recompute": (
        "recompute",
        "Compute verdicts anew from the raw samples of a folder, by the written rule or your own.",
    ),
    "selftest": ("selftest", "Say what this machine, or each node of a cluster, can tell apart."),
    "pull": ("pull", "Copy what a Commit or a Dataset has in the store into a folder."),
    "logs": ("logs", "Show what a stage has said, live or from the store."),
    "gc": ("gc", "List, or delete, what of the store nothing refers to any more."),
    "explain": ("explain", "Say what a reason or the test contract means, and what to do."),
    "generate": ("generate", "Write performance tests for a folder of commit extractions."),
    "import": ("import_", "Turn an experiments.yaml or a folder of extractions into manifests."),
    "bundle": ("bundle", "Write a manifest out for kubectl apply, with the ConfigMaps of its files."),
    "env": ("env", "Show where each setting comes from, interpreters, isolation and folders."),
    "completion": ("completion", "Print the shell's completion script."),
}


class _LazyGroup(click.Group):
    """Lists every command without importing any."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(f".{_COMMANDS[cmd_name][0]}", __name__)
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], _COMMANDS, n=1)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise click.UsageError(error.message + hint, ctx=ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with: isobench new commit > commit.yaml; isobench run commit.yaml --out out",
)
@click.version_option(package_name="isobench")
def cli() -> None:
    """Turn performance commits into benchmark datasets that can be trusted."""


def main(argv: list[str] | None = None, **kwargs: Any) -> None:
    """The console script."""
    cli.main(argv, prog_name="isobench", **kwargs)
