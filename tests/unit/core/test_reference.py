"""The page of reasons is what the contract says."""

from __future__ import annotations

from pathlib import Path

from isobench_operator.core import reference
from isobench_runner.contract import EXPLANATIONS, Reason

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "reasons.md"


def test_the_committed_page_is_the_generated_one() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference.reasons_page(), (
        "run: python -m isobench_operator.core.reference docs/reference/"
    )


def test_every_reason_is_explained_once() -> None:
    assert set(EXPLANATIONS) == set(Reason)
    page = reference.reasons_page()
    assert all(page.count(f"\n| `{reason.value}` |") == 1 for reason in Reason)


def test_the_page_is_written_into_the_folder_that_is_named(tmp_path: Path) -> None:
    assert reference.main([str(tmp_path / "new")]) == 0
    assert (tmp_path / "new" / "reasons.md").read_text() == reference.reasons_page()
    assert reference.main([]) == 2
