"""Something that answers chat: the one schema of a model's endpoint, shared by every kind that names one."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from .fields import ApiModel, KeyRef, Word

Temperature = Annotated[str, Field(pattern=r"^([01](\.[0-9]{1,3})?|2(\.0{1,3})?)$", max_length=5)]
"""0 to 2, as a string: the range that both protocols accept."""
MaxTokens = Annotated[StrictInt, Field(ge=1, le=1_000_000)]
BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s@]+$", max_length=1024)]
"""Without credentials: a key belongs in a Secret."""


class Endpoint(ApiModel):
    """A model to ask.

    Attributes:
        provider: the protocol: `openai` (any server that speaks it) or `anthropic`.
        base_url: where it answers; null for the provider's own.
        secret_key_ref: its key (in a manifest on disk also `env: NAME`); null for a server that wants none.
        temperature: null for the server's default; some models refuse any other.
        max_tokens: the most tokens of one answer.
    """

    provider: Literal["openai", "anthropic"]
    model: Word
    base_url: BaseUrl | None = Field(default=None, alias="baseURL")
    secret_key_ref: KeyRef | None = None
    temperature: Temperature | None = None
    max_tokens: MaxTokens | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
