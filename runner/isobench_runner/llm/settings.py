"""Which models the one-liners on a laptop ask: flags, then the environment, then `.env`, then defaults; and what was taken from where.

For `isobench generate` and its kin alone: a manifest names its models and keys itself and means the same everywhere. Reads nothing by
itself: environment and files are passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from dotenv import dotenv_values

from isobench_runner.contract import Model, Reason, StageError

from .answers import KeyMissing, name_of
from .keys import mask

VARIABLES = (
    "LLM_PROVIDER",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "OPENAI_MODEL",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_MODEL",
    "OPENROUTER_API_KEY",
    "TEST_CASE_GENERATOR_PROMPT",
)
OPENROUTER_URL = "https://openrouter.ai/api/v1"
DEFAULT_MODELS = {"openai": "gpt-5.4", "anthropic": "claude-sonnet-4-6", "openrouter": "openai/gpt-5.4"}
DEFAULT_MAX_TOKENS = 10_000
Provider = Literal["openai", "anthropic", "openrouter"]
_ORDER: tuple[Provider, ...] = ("openai", "anthropic", "openrouter")


@dataclass(frozen=True, kw_only=True)
class Flags:
    """What was typed. None where a flag was not."""

    provider: str | None = None
    model: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    prompt: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One row of `explain`: a value as people may see it, and where it comes from (flag, environment, .env, default or not set)."""

    name: str
    shown: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the flags and variables come to.

    Attributes:
        models: in order of fallback; a provider named by a flag stands alone.
        prompt: the prompt file, or None for the release's own.
    """

    models: tuple[Model, ...]
    prompt: Path | None
    rows: tuple[Setting, ...]
    secrets: Mapping[Model, str] = field(repr=False)

    def key(self, model: Model) -> str | None:
        """The key of one of `models`; None for a server of one's own that wants none. An `answers.KeySource`.

        Raises:
            KeyMissing: names the variable to set.
        """
        if model in self.secrets:
            return self.secrets[model]
        if model.base_url is not None and model.base_url != OPENROUTER_URL:
            return None
        variable = "ANTHROPIC_API_KEY" if model.provider == "anthropic" else "OPENAI_API_KEY"
        variable = "OPENROUTER_API_KEY" if model.base_url == OPENROUTER_URL else variable
        raise KeyMissing(f"there is no key for {name_of(model)}: set {variable}")

    def explain(self) -> tuple[Setting, ...]:
        """What was taken from where, keys masked."""
        return self.rows


class _Lookup:
    def __init__(self, environ: Mapping[str, str], dotenv: Mapping[str, str | None]) -> None:
        self._sources = (("environment", environ), (".env", dotenv))

    def get(self, name: str) -> str | None:
        return self.where(name)[0]

    def where(self, name: str) -> tuple[str | None, str]:
        for source, values in self._sources:
            value = values.get(name)
            if value:
                return value, source
        return None, "not set"


def _provider(word: str, source: str) -> Provider:
    for provider in _ORDER:
        if word.strip().lower() == provider:
            return provider
    raise StageError(Reason.SPEC_INVALID, f"provider {word!r} ({source}) is unknown; known are {', '.join(_ORDER)}")


def _available(look: _Lookup) -> list[Provider]:
    has: dict[Provider, bool] = {
        "openai": bool(look.get("OPENAI_API_KEY") or look.get("OPENAI_BASE_URL")),
        "anthropic": bool(look.get("ANTHROPIC_API_KEY")),
        "openrouter": bool(look.get("OPENROUTER_API_KEY")),
    }
    return [provider for provider in _ORDER if has[provider]]


def _chosen(flags: Flags, look: _Lookup) -> list[Provider]:
    if flags.provider is not None:
        return [_provider(flags.provider, "--provider")]
    available = _available(look)
    word, source = look.where("LLM_PROVIDER")
    if word is None:
        return available
    first = _provider(word, f"LLM_PROVIDER in {source}")
    return [first, *(provider for provider in available if provider != first)]


def _model(provider: Provider, name: str | None, flags: Flags, look: _Lookup) -> Model:
    variable = "ANTHROPIC_MODEL" if provider == "anthropic" else "OPENAI_MODEL"
    urls = {"openai": look.get("OPENAI_BASE_URL"), "anthropic": None, "openrouter": OPENROUTER_URL}
    return Model(
        provider="anthropic" if provider == "anthropic" else "openai",
        model=name or look.get(variable) or DEFAULT_MODELS[provider],
        base_url=urls[provider],
        temperature=None if flags.temperature is None else f"{flags.temperature:g}",
        max_tokens=flags.max_tokens or DEFAULT_MAX_TOKENS,
    )


def resolve(flags: Flags, *, environ: Mapping[str, str], dotenv: Path | None = None) -> Settings:
    """Settle what is asked.

    Args:
        environ: the process's environment.
        dotenv: a `.env` file, which may be missing; it never changes the environment.

    Raises:
        StageError: SpecInvalid, for a provider that is not known.
    """
    values = dotenv_values(dotenv) if dotenv is not None and dotenv.is_file() else {}
    look = _Lookup(environ, values)
    models: list[Model] = []
    secrets: dict[Model, str] = {}
    for place, provider in enumerate(_chosen(flags, look)):
        model = _model(provider, flags.model if place == 0 else None, flags, look)
        key = look.get(f"{provider.upper()}_API_KEY")
        if model in models:
            continue
        models.append(model)
        if key:
            secrets[model] = key
    typed = flags.prompt
    path = look.get("TEST_CASE_GENERATOR_PROMPT")
    prompt = typed if typed is not None else Path(path) if path else None
    return Settings(models=tuple(models), prompt=prompt, rows=_rows(flags, look, models), secrets=secrets)


def _rows(flags: Flags, look: _Lookup, models: list[Model]) -> tuple[Setting, ...]:
    rows = []
    for name in VARIABLES:
        value, source = look.where(name)
        shown = "" if value is None else mask(value) if name.endswith("_KEY") else value
        rows.append(Setting(name=name, shown=shown, source=source))
    typed = {
        "--provider": flags.provider,
        "--model": flags.model,
        "--temperature": None if flags.temperature is None else f"{flags.temperature:g}",
        "--max-tokens": None if flags.max_tokens is None else str(flags.max_tokens),
        "--prompt": None if flags.prompt is None else str(flags.prompt),
    }
    rows += [Setting(name=name, shown=value, source="flag") for name, value in typed.items() if value is not None]
    order = ", then ".join(name_of(model) for model in models)
    rows.append(Setting(name="models", shown=order or "none: set a key or OPENAI_BASE_URL", source="all of these"))
    return tuple(rows)
