"""`isobench selftest`: what this machine, or each node of a cluster, can tell apart."""

from __future__ import annotations

import json
import os
import platform
import random
import tempfile
from pathlib import Path

import click

from isobench_operator.cli import EXIT_BAD_INPUT

EXIT_NOT_GOOD = 1
LEAST_BUDGET = 4


@click.command()
@click.option(
    "--budget",
    type=click.IntRange(LEAST_BUDGET, 3600),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="Measuring time, half for each of two runs.",
)
@click.option("--seed", type=int, help="Of orders and inputs; drawn, and told in the JSON, where it is not given.")
@click.option(
    "--json", "as_json", is_flag=True, help="One JSON line on standard output; the words go to standard error."
)
@click.option("--manifest", is_flag=True, help="Print Jobs that run it on a cluster's nodes, for kubectl apply.")
@click.option(
    "--node", "nodes", multiple=True, metavar="NAME", help="With --manifest: a Job for this node; may be repeated."
)
@click.option(
    "--nodes",
    "count",
    type=click.IntRange(1, 5000),
    default=1,
    show_default=True,
    help="With --manifest and no --node: how many nodes, a pod each.",
)
@click.option("--image", metavar="IMAGE", help="With --manifest: the runner image.")
@click.option("--namespace", "-n", metavar="NAME", help="With --manifest: the Jobs' namespace.")
@click.option("--gpu", is_flag=True, help="With --manifest: ask for one nvidia.com/gpu.")
def command(
    budget: int,
    seed: int | None,
    as_json: bool,
    manifest: bool,
    nodes: tuple[str, ...],
    count: int,
    image: str | None,
    namespace: str | None,
    gpu: bool,
) -> None:
    """Ask this machine what it can tell apart, before any verdict of it is believed.

    Two runs, measured as Commits are: the same code twice, which has to come out equal, and exactly 5 % more work, which has to be found.

    Exit code 0 where both do, 1 where not. What to do about it is printed last.

    \b
    On a cluster:
      isobench selftest --manifest --nodes 3 -n bench | kubectl apply -f -
      kubectl logs -n bench -l app.kubernetes.io/name=isobench-selftest
    """  # fmt: skip
    if manifest:
        _print_manifests(budget, nodes, count, image, namespace, gpu=gpu)
        return
    given = {"--node": nodes, "--image": image, "--namespace": namespace, "--gpu": gpu}
    for option, value in given.items():
        if value:
            click.echo(f"Error: {option} belongs to --manifest", err=True)
            raise SystemExit(EXIT_BAD_INPUT)
    from isobench_operator.cluster import sandbox
    from isobench_operator.local.selftest import shut_in
    from isobench_runner import selftest, selftest_words

    in_pod = os.environ.get("ISOBENCH_ISOLATION") == "pod"
    isolation = sandbox.none("the pod is the sandbox") if in_pod else sandbox.detect()
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="isobench-selftest-") as scratch:
        folder = Path(scratch).resolve()
        folder.chmod(0o755)
        try:
            found = selftest.run(
                folder,
                budget_seconds=budget,
                seed=seed,
                isolation=("pod", isolation.words) if in_pod else (isolation.kind, isolation.words),
                node=os.environ.get("ISOBENCH_NODE") or platform.node(),
                shut=shut_in(isolation, folder),
                tell=lambda line: click.echo(line, err=True),
            )
        except selftest.SelftestError as error:
            click.echo(f"Error: the self-test came to nothing: {error}", err=True)
            raise SystemExit(EXIT_NOT_GOOD) from error
    for line in selftest_words.in_words(found):
        click.echo(line, err=as_json)
    if as_json:
        click.echo(json.dumps({**selftest_words.as_json(found), "seed": seed}, sort_keys=True))
    raise SystemExit(0 if found.good else EXIT_NOT_GOOD)


def _print_manifests(
    budget: int, nodes: tuple[str, ...], count: int, image: str | None, namespace: str | None, *, gpu: bool
) -> None:
    import yaml

    from isobench_operator.core.settings import PodSettings
    from isobench_operator.local.selftest import Asked, jobs

    asked = Asked(
        image=image or PodSettings().runner_image, budget_seconds=budget, nodes=nodes, count=count, namespace=namespace, gpu=gpu
    )  # fmt: skip
    click.echo(yaml.safe_dump_all(jobs(asked), sort_keys=False), nl=False)
