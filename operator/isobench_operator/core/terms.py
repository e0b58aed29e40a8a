"""What a spec allows, as the few values that policies look at: they stay small and are tested without a manifest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Terms:
    """The bounds of one Commit.

    Attributes:
        generated: whether a model writes the test.
        main: whether main is measured too.
        same_as: the revision that main is known to equal from the spec alone, `head` or `base`.
        regenerate, repair: answers asked for again inside the generate stage, over the Commit's life.
        execute: repairs of a test that fell on base.
        incomparable: how often a role is measured again for Incomparable.
    """

    generated: bool = False
    main: bool = True
    same_as: str | None = None
    regenerate: int = 2
    repair: int = 2
    execute: int = 2
    incomparable: int = 1
