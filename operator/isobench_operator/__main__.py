"""`python -m isobench_operator`: the operator's command line."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click

from isobench_operator.core.settings import RELEASE

EXIT_BAD_INPUT = 2


@click.command(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config",
    envvar="ISOBENCH_CONFIG",
    show_envvar=True,
    default="/etc/isobench/config.yaml",
    show_default=True,
    type=click.Path(path_type=Path),
    help="The configuration, as the chart renders it.",
)
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path),
    help="Outside a cluster. Default: the pod's service account, else KUBECONFIG, else ~/.kube/config.",
)
@click.option("-v", "--verbose", is_flag=True, help="Tell each decision, also the ones to do nothing.")
@click.version_option(RELEASE, prog_name="isobench operator")
def main(config: Path, kubeconfig: Path | None, verbose: bool) -> None:  # noqa: FBT001 - click's way
    """Run the operator: watch Commits and Datasets, create their Jobs, write their status.

    It keeps nothing but caches: it may be killed at any time, and goes on where the cluster stands. It needs the CRDs and the rights
    that the chart of isobench brings, and a configuration, of which every field has a default but the file with the key of nonces:

    \b
      openssl rand -hex 32 > key
      echo "nonceKeyFile: $PWD/key" > config.yaml
      python -m isobench_operator --config config.yaml --kubeconfig ~/.kube/config

    /metrics is on port 9090 and /healthz on 8080, where the configuration does not say otherwise.

    \b
    Exit codes: 0 asked to stop · 1 something broke, start it again · 2 the configuration cannot be used
    """
    # Late, so that --help and a wrong configuration are answered at once.
    from isobench_operator import logs
    from isobench_operator.errors import IsobenchError
    from isobench_operator.settings import load

    try:
        settings = load(config)
        logs.setup("debug" if verbose else settings.log_level, "text" if sys.stderr.isatty() else settings.log_format)
        from isobench_operator.cluster.kube import Login
        from isobench_operator.handlers.process import run

        code = asyncio.run(run(settings, Login(kubeconfig)))
    except IsobenchError as error:
        click.echo(error, err=True)
        code = EXIT_BAD_INPUT
    sys.exit(code)


if __name__ == "__main__":
    main()
