"""`isobench new commit`: a manifest to start from."""

from __future__ import annotations

import click


@click.group()
def command() -> None:
    """Print a commented manifest to start from."""


@command.command("commit")
@click.option("--url", help="Repository: a URL, or a path relative to the manifest.")
@click.option("--head", metavar="SHA", help="The commit that should be faster, all 40 digits.")
@click.option("--name", help="Default: made of repository and sha.")
@click.option("--package", help="What has to be imported from the revision.")
@click.option("--script", default="test_case_generator.py", show_default=True, help="Path of the test.")
@click.option("--provider", type=click.Choice(["openai", "anthropic"]), help="With --model: have the test written.")
@click.option("--model", help="Model that writes the test.")
@click.option("--key", "variable", metavar="NAME", help="Environment variable with its key.")
def commit(
    url: str | None, head: str | None, name: str | None, package: str | None, script: str,
    provider: str | None, model: str | None, variable: str | None,
) -> None:  # fmt: skip
    """Print a Commit; what is not given stands there in capitals.

    \b
    isobench new commit --url https://github.com/pypa/packaging.git --head $(git rev-parse HEAD) > commit.yaml
    """
    from isobench_operator.documents import new_commit

    text = new_commit(
        url=url, head=head, name=name, package=package, script=script, provider=provider, model=model, variable=variable
    )  # fmt: skip
    click.echo(text, nl=False)
