"""`isobench explain REASON`: what a reason means and what to do about it."""

from __future__ import annotations

import difflib
import json

import click

from isobench_runner.contract import EXPLANATIONS, Reason, Retry

CONTRACT = """\
A test is one Python file with six functions:

  setup() or setup(seed)                 the input, made outside of the clock
  experiment(data)                       the work that is timed; called many times in one process and in fresh ones
  store_result(result, filepath)         keep a result
  load_result(filepath)                  read it back
  check_equivalence(current, reference)  raise AssertionError or return False where they differ; a parameter whose
                                         name begins with `ref` takes the reference, else the first one does
  run_test(eqcheck=False, reference=False, prefix="") -> float
                                         one run on its own, in seconds; for people, its number is only logged

experiment must do the same work at every call, give the same result under any hash seed, and finish its work before
it returns. 0.05 to 0.5 seconds on base is a good size. A check that accepts a changed result is refused."""

_RETRY_WORDS = {
    Retry.NEVER: "not tried again by itself",
    Retry.BACKOFF: "tried again by itself, with growing pauses, a bounded number of times",
    Retry.REPAIR: "a generated test is repaired by the model a bounded number of times; a given one fails",
}


def _complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    return [
        name
        for name in [*(reason.value for reason in Reason), "contract"]
        if name.lower().startswith(incomplete.lower())
    ]


@click.command()
@click.argument("reason", required=False, shell_complete=_complete)
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(reason: str | None, output: str) -> None:
    """Say what REASON means, what happens next, and what to do. Without REASON, list them all.

    `isobench explain contract` shows what a test has to look like.
    """
    if reason is not None and reason.lower() == "contract":
        click.echo(CONTRACT)
        return
    chosen = list(Reason)
    if reason is not None:
        chosen = [item for item in Reason if item.value.lower() == reason.lower()]
        if not chosen:
            near = difflib.get_close_matches(reason, [item.value for item in Reason], n=3, cutoff=0.4)
            hint = f"did you mean {', '.join(near)}?" if near else "`isobench explain` lists them all"
            raise click.BadParameter(f"{reason!r} is no reason; {hint}", param_hint="REASON")
    if output == "json":
        rows = [
            {"reason": i.value, "stage": e.stage, "retry": e.retry.value, "meaning": e.meaning, "remedy": e.remedy}
            for i in chosen
            for e in [EXPLANATIONS[i]]
        ]
        click.echo(json.dumps(rows, indent=2))
        return
    for item in chosen:
        explanation = EXPLANATIONS[item]
        if reason is None:
            click.echo(f"{item.value:24} {explanation.stage:9} {explanation.meaning}")
        else:
            click.echo(f"{click.style(item.value, bold=True)} (stage: {explanation.stage})\n")
            click.echo(
                f"{explanation.meaning}\n\nWhat to do: {explanation.remedy}\nRetry: {_RETRY_WORDS[explanation.retry]}."
            )
