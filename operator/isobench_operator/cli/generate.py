"""`isobench generate EXTRACTIONS --out DIR`: a test script per extraction, without a cluster or a repository."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

import click

from isobench_operator.cli import EXIT_BAD_INPUT, EXIT_SOME_FAILED


@click.command()
@click.argument("extractions", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the scripts and their index.",
)
@click.option("--only-hash", metavar="SHA", help="Only the extraction of this commit; a beginning is enough.")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many; those that are there already do not count.")
@click.option(
    "--provider",
    type=click.Choice(["openai", "anthropic", "openrouter"]),
    help="Default: LLM_PROVIDER, else whose key is set.",
)
@click.option("--model", help="Default: OPENAI_MODEL or ANTHROPIC_MODEL.")
@click.option("--temperature", type=click.FloatRange(0, 2))
@click.option("--max-tokens", type=click.IntRange(min=256))
@click.option(
    "--prompt",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A prompt of your own. Default: TEST_CASE_GENERATOR_PROMPT.",
)
@click.option(
    "--tests",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Pre-generated scripts that win over any request.",
)
@click.option("--regenerate", is_flag=True, help="Ask again for what is there already.")
@click.option("-o", "--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def command(
    extractions: Path, out: Path, only_hash: str | None, limit: int | None, provider: str | None, model: str | None,
    temperature: float | None, max_tokens: int | None, prompt: Path | None, tests: Path | None, regenerate: bool, output: str,
) -> None:  # fmt: skip
    """Write a performance test for every extraction in EXTRACTIONS (a folder of JSON files, or one).

    \b
    DIR/<hash8>_test_case_generator.py   one script per commit
    DIR/index.json, index.csv            commit_hash, script_path, category, message
    DIR/attempts/, errors.json           every prompt and answer; what failed and why

    One failure never stops the others, and a rerun asks only for what is missing. Scripts are checked by reading them; `isobench run`
    is what executes them. Models and keys come from flags, the environment and .env: see `isobench env`.
    """
    from isobench_runner.contract import StageError
    from isobench_runner.dumpable import not_dumpable
    from isobench_runner.llm import settings
    from isobench_runner.llm.asking import Asker
    from isobench_runner.llm.batch import BatchItem, generate_batch
    from isobench_runner.prompts_folder import read_prompt, release_prompt

    def progress(item: BatchItem, done: int, total: int) -> None:
        if output == "text":
            end = item.script_path or f"{item.reason}: {item.words}"
            click.echo(f"[{done}/{total}] {(item.commit_hash or item.extraction)[:12]} {item.status}: {end}")

    flags = settings.Flags(
        provider=provider, model=model, temperature=temperature, max_tokens=max_tokens, prompt=prompt
    )
    try:
        chosen = settings.resolve(flags, environ=os.environ, dotenv=Path(".env"))
        if not chosen.models and tests is None:
            raise click.UsageError(
                "no model to ask: set OPENAI_API_KEY, ANTHROPIC_API_KEY, OPENROUTER_API_KEY or OPENAI_BASE_URL (see `isobench env`)"
            )
        text = read_prompt(chosen.prompt) if chosen.prompt else release_prompt("generate")
        with not_dumpable():
            report = generate_batch(
                extractions, out, ask=Asker(chosen.models, keys=chosen.key), prompt=text, only_hash=only_hash, limit=limit,
                seeds=tests, regenerate=regenerate, progress=progress,
            )  # fmt: skip
    except StageError as error:
        click.echo(f"Error: {error.reason.value}: {error}", err=True)
        raise SystemExit(EXIT_BAD_INPUT) from error
    if output == "json":
        click.echo(json.dumps([asdict(item) for item in report.items], indent=2))
    else:
        written = len(report.items) - len(report.failures)
        price = "price unknown" if report.usd is None else f"{report.usd} USD"
        click.echo(f"{written} scripts in {out}, {len(report.failures)} failed ({price})")
    if report.failures:
        raise SystemExit(EXIT_SOME_FAILED)
