"""`isobench run FILE… --out DIR`: the main job on this machine."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from isobench_operator.cli import EXIT_BAD_INPUT, EXIT_INTERRUPTED, EXIT_SOME_FAILED
from isobench_operator.cli.folders import cache_folder

if TYPE_CHECKING:
    from isobench_operator.cluster.sandbox import Isolation

Json = dict[str, Any]


def _isolation(asked: str) -> Isolation:
    from isobench_operator.cluster import sandbox

    if asked == "none":
        return sandbox.none("--isolation none was typed")
    found = sandbox.detect()
    if asked == "bubblewrap" and found.kind != "bubblewrap":
        raise click.UsageError(f"--isolation bubblewrap: {found.words}")
    return found


def _fail(lines: list[str]) -> None:
    for line in lines:
        click.echo(line, err=True)
    click.echo("Nothing was started.", err=True)
    raise SystemExit(EXIT_BAD_INPUT)


def _named(commit: Json) -> Json:
    """A local repository gets the name that its origin has, in the record and in every key."""
    from isobench_runner.git.names import local_path, local_repository_name

    repository = commit["spec"]["repository"]
    if repository.get("name") or local_path(repository["url"]) is None:
        return commit
    name = local_repository_name(repository["url"])
    return {**commit, "spec": {**commit["spec"], "repository": {**repository, "name": name}}}


def _with_seeds(commit: Json, tests: Path, config_maps: dict[str, Mapping[str, str]]) -> Json:
    """A Commit that would generate its test finds the pre-generated one of its head first."""
    from isobench_runner.llm.seeds import find_seed

    generate = commit["spec"]["test"].get("generate")
    seed = find_seed(tests, commit["spec"]["head"]) if generate and not generate.get("seeds") else None
    if seed is None:
        return commit
    name = f"{commit['metadata']['name']}-seeds"
    config_maps[name] = {seed.name: seed.read_text()}
    test = {"generate": {**generate, "seeds": {"configMapRef": {"name": name}}}}
    return {**commit, "spec": {**commit["spec"], "test": test}}


def _summary(resources: list[Json], out: Path) -> None:
    from isobench_operator.local.display import sentence, succeeded

    for resource in resources:
        mark = click.style("✓", fg="green") if succeeded(resource) else click.style("✗", fg="red")
        click.echo(f"{mark} {resource['kind'].lower()}/{resource['metadata']['name']}: {sentence(resource)[:300]}")
    click.echo(f"\nReport: {out / 'report.html'}")


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Output folder; the same one continues.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 2,
    show_default="CPUs",
    help="Builds at once. Measuring is alone.",
)
@click.option(
    "--isolation",
    type=click.Choice(["auto", "bubblewrap", "none"]),
    default="auto",
    show_default=True,
    help="How untrusted code is shut in.",
)
@click.option(
    "--tests",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Pre-generated scripts that win over generation.",
)
@click.option("--retry-failed", is_flag=True, help="Try again what has failed; what succeeded stays.")
@click.option(
    "--ignore-image",
    is_flag=True,
    help="Build on this machine's interpreter where an image is named; the record says so.",
)
@click.option(
    "--publish",
    is_flag=True,
    help="Push Datasets that have a publish block to the Hub. Without it, say what a push would add and replace.",
)
@click.option(
    "-o",
    "--output",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: the resources as they ended, on stdout.",
)
def command(
    files: tuple[Path, ...], out: Path, jobs: int, isolation: str, tests: Path | None, retry_failed: bool, ignore_image: bool, publish: bool, output: str
) -> None:  # fmt: skip
    """Run the Commits and Datasets of FILES here, without a cluster.

    \b
    DIR/dataset.jsonl, dataset.parquet, dataset.md   the records and their card
    DIR/report.html                                  speedups, samples, tests, patches, failures
    DIR/status/<kind>-<name>.yaml                    every resource with its conditions
    DIR/artifacts/                                   scripts, prompts, raw samples, logs, by digest

    Without a Dataset among FILES there is one over all Commits. An interrupted run goes on when the same command is given again.

    \b
    Exit codes: 0 every Commit succeeded · 2 bad input, nothing was started
                3 some did not succeed · 130 interrupted or the disk is full, everything resumable
    """
    import asyncio

    from isobench_operator.cluster.ports import ClusterError
    from isobench_operator.documents import DocumentErrors, load
    from isobench_operator.local import display, gpus, preflight, session
    from isobench_operator.reporting import write_report

    try:
        bundle = load(files, environ=os.environ, publishing=publish)
    except DocumentErrors as errors:
        _fail([str(error) for error in errors.errors])
        return
    shut = _isolation(isolation)
    asked = any(preflight.requires(commit).words() for commit in bundle.commits)
    found = preflight.problems(
        bundle.commits, isolated=shut.kind != "none", isolation_words=shut.words, none_typed=isolation == "none",
        ignore_image=ignore_image, gpus=gpus.here() if asked else (),
    )  # fmt: skip
    if found:
        _fail(found)
    if shut.kind == "none":
        click.echo(
            f"Warning: untrusted code runs without a sandbox ({shut.words}); every record will say isolation: none",
            err=True,
        )
    config_maps: dict[str, Mapping[str, str]] = dict(bundle.config_maps)
    commits = [_named(preflight.without_image(commit)) for commit in bundle.commits]
    if tests is not None:
        commits = [_with_seeds(commit, tests, config_maps) for commit in commits]
    datasets = [preflight.published(one, publish=publish) for one in bundle.datasets or [preflight.default_dataset()]]
    job = session.Job(
        resources=[*commits, *datasets], config_maps=config_maps, secrets=bundle.secrets, out=out, cache=cache_folder(),
        isolation=shut, parallelism=jobs, retry_failed=retry_failed,
    )  # fmt: skip
    shown = display.make(live=output == "text" and sys.stderr.isatty(), quiet=output == "json")
    try:
        resources = asyncio.run(session.run(job, shown))
    except ClusterError as error:
        _fail([f"{out}: {error}"])
        return
    except session.StoppedError as error:
        click.echo(f"Stopped: {error}", err=True)
        raise SystemExit(EXIT_INTERRUPTED) from error
    finally:
        shown.close()
    _finish(resources, out, output=output, report=write_report)


def _finish(resources: list[Json], out: Path, *, output: str, report: Any) -> None:
    from isobench_operator.local.display import finished, succeeded

    report(out)
    if output == "json":
        click.echo(json.dumps(resources, indent=2))
    else:
        _summary(resources, out)
    if not all(finished(resource) for resource in resources):
        click.echo("Interrupted; the same command goes on from here.", err=True)
        raise SystemExit(EXIT_INTERRUPTED)
    if not all(succeeded(resource) for resource in resources):
        raise SystemExit(EXIT_SOME_FAILED)
