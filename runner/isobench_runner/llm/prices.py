"""What an answer cost, by a dated table of list prices (`prices.json`); None, and said as unknown, for whatever is not in it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from isobench_runner.contract import Model

_DATED = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2})$")
_MILLION = Decimal(1_000_000)
_CENT_OF_CENT = Decimal("0.0001")


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(__file__).with_name("prices.json").read_text(encoding="utf-8"))
    return table


def price(model: Model, prompt_tokens: int | None, completion_tokens: int | None) -> Decimal | None:
    """US dollars, or None: a model that is not in the table, an endpoint that is not the maker's own, or tokens that nobody counted."""
    if prompt_tokens is None or completion_tokens is None or model.base_url is not None:
        return None
    row = _table()[model.provider].get(_DATED.sub("", model.model))
    if row is None:
        return None
    return (Decimal(row[0]) * prompt_tokens + Decimal(row[1]) * completion_tokens) / _MILLION


def total(prices: Iterable[Decimal | None]) -> str | None:
    """The sum as a decimal string with four places, or None as soon as one part is unknown."""
    known: list[Decimal] = []
    for part in prices:
        if part is None:
            return None
        known.append(part)
    return str(sum(known, Decimal(0)).quantize(_CENT_OF_CENT))
