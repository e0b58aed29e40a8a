"""Which model is asked on a laptop: flag, environment, .env, default; keys never shown; prices by the table."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from isobench_runner.contract import Model, Reason, StageError
from isobench_runner.llm.answers import KeyMissing
from isobench_runner.llm.keys import redact
from isobench_runner.llm.prices import price, total
from isobench_runner.llm.settings import DEFAULT_MODELS, OPENROUTER_URL, Flags, resolve

OPENAI, ANTHROPIC = "sk-openai-0123456789", "sk-ant-0123456789"
BOTH = {"OPENAI_API_KEY": OPENAI, "ANTHROPIC_API_KEY": ANTHROPIC}


def providers(flags: Flags, environ: dict[str, str]) -> list[str]:
    return [model.provider for model in resolve(flags, environ=environ).models]


@pytest.mark.parametrize(
    ("flags", "environ", "expected"),
    [
        (Flags(), {}, []),
        (Flags(), {"OPENAI_API_KEY": OPENAI}, ["openai"]),
        (Flags(), {"ANTHROPIC_API_KEY": ANTHROPIC}, ["anthropic"]),
        (Flags(), BOTH, ["openai", "anthropic"]),
        (Flags(), {**BOTH, "LLM_PROVIDER": "anthropic"}, ["anthropic", "openai"]),
        (Flags(provider="anthropic"), {**BOTH, "LLM_PROVIDER": "openai"}, ["anthropic"]),
        (Flags(), {"OPENAI_BASE_URL": "http://localhost:1234/v1"}, ["openai"]),
        (Flags(), {"OPENAI_API_KEY": ""}, []),
    ],
)
def test_the_order_of_models_follows_flags_keys_and_provider(
    flags: Flags, environ: dict[str, str], expected: list[str]
) -> None:
    assert providers(flags, environ) == expected


def test_a_flag_wins_over_the_environment_that_over_dotenv_that_over_the_default(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"OPENAI_API_KEY={OPENAI}\nOPENAI_MODEL=from-dotenv\nTEST_CASE_GENERATOR_PROMPT=/p/mine.md\n")
    assert resolve(Flags(), environ={}, dotenv=dotenv).models[0].model == "from-dotenv"
    assert resolve(Flags(), environ={"OPENAI_MODEL": "from-env"}, dotenv=dotenv).models[0].model == "from-env"
    typed = resolve(Flags(model="typed", temperature=0.3, max_tokens=9), environ={"OPENAI_MODEL": "e"}, dotenv=dotenv)
    assert (typed.models[0].model, typed.models[0].temperature, typed.models[0].max_tokens) == ("typed", "0.3", 9)
    assert typed.prompt == Path("/p/mine.md")
    assert resolve(Flags(), environ={"OPENAI_API_KEY": OPENAI}).models[0].model == DEFAULT_MODELS["openai"]


def test_openrouter_is_an_openai_endpoint_of_its_own() -> None:
    settings = resolve(Flags(), environ={"OPENROUTER_API_KEY": "sk-or-0123456789abc"})
    (model,) = settings.models
    assert (model.provider, model.base_url) == ("openai", OPENROUTER_URL)
    assert settings.key(model) == "sk-or-0123456789abc"


def test_a_typed_model_is_the_first_ones_alone() -> None:
    first, second = resolve(Flags(model="typed"), environ=BOTH).models
    assert (first.model, second.model) == ("typed", DEFAULT_MODELS["anthropic"])


def test_what_was_taken_from_where_is_told_with_keys_masked(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    dotenv.write_text(f"ANTHROPIC_API_KEY={ANTHROPIC}\n")
    settings = resolve(Flags(temperature=0.5), environ={"OPENAI_API_KEY": OPENAI}, dotenv=dotenv)
    rows = {row.name: (row.shown, row.source) for row in settings.explain()}
    assert rows["OPENAI_API_KEY"] == ("…6789", "environment")
    assert rows["ANTHROPIC_API_KEY"][1] == ".env"
    assert rows["OPENAI_MODEL"] == ("", "not set")
    assert rows["--temperature"] == ("0.5", "flag")
    everything = repr(settings) + str(settings.explain())
    assert OPENAI not in everything
    assert ANTHROPIC not in everything


def test_a_missing_key_names_its_variable_and_a_server_of_ones_own_needs_none() -> None:
    named = resolve(Flags(provider="anthropic"), environ={})
    with pytest.raises(KeyMissing, match="ANTHROPIC_API_KEY"):
        named.key(named.models[0])
    local = resolve(Flags(), environ={"OPENAI_BASE_URL": "http://localhost:1/v1"})
    assert local.key(local.models[0]) is None


@pytest.mark.parametrize(("flags", "environ"), [(Flags(provider="gpt"), {}), (Flags(), {"LLM_PROVIDER": "gpt"})])
def test_an_unknown_provider_is_refused_with_those_known(flags: Flags, environ: dict[str, str]) -> None:
    with pytest.raises(StageError, match="openai, anthropic, openrouter") as raised:
        resolve(flags, environ=environ)
    assert raised.value.reason is Reason.SPEC_INVALID


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (Model(provider="openai", model="gpt-4.1"), Decimal("0.006")),
        (Model(provider="openai", model="gpt-4.1-2025-04-14"), Decimal("0.006")),
        (Model(provider="anthropic", model="claude-sonnet-4-5-20250929"), Decimal("0.0105")),
        (Model(provider="openai", model="gpt-4.1", base_url="http://localhost:1/v1"), None),
        (Model(provider="openai", model="nobody-knows"), None),
    ],
)
def test_prices_are_the_tables_or_unknown(model: Model, expected: Decimal | None) -> None:
    assert price(model, 1000, 500) == expected
    assert price(model, None, 500) is None


def test_a_sum_with_an_unknown_part_is_unknown() -> None:
    assert total([Decimal("0.00123"), Decimal(1)]) == "1.0012"
    assert total([Decimal(1), None]) is None


def test_a_key_is_taken_out_of_words() -> None:
    assert redact(f"bad key {OPENAI}.", OPENAI) == "bad key [key]."
    assert redact("fine", None) == "fine"
