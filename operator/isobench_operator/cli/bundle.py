"""`isobench bundle FILE…`: manifests with the ConfigMaps of their files, ready for kubectl apply."""

from __future__ import annotations

import os
from pathlib import Path

import click

from isobench_operator.cli import EXIT_BAD_INPUT


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(files: tuple[Path, ...]) -> None:
    """Print FILES as one document for `kubectl apply -f -`.

    Every `file:` becomes a ConfigMap (extractions without old file contents, which the repository gives back), every `env:` a reference
    to a Secret that has to exist; the header names those, and their values are never written.
    """
    from isobench_operator.documents import BundleError, DocumentErrors, bundle, load

    try:
        click.echo(bundle(load(files, environ=os.environ, secrets_required=False)), nl=False)
    except DocumentErrors as errors:
        for error in errors.errors:
            click.echo(str(error), err=True)
        raise SystemExit(EXIT_BAD_INPUT) from errors
    except BundleError as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(EXIT_BAD_INPUT) from error
