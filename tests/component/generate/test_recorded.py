"""Answers of a real language model, recorded once as they came, go through the same reading and checks as any other."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench_runner.llm import markdown
from isobench_runner.llm.script_contract import granularity, inspect_script, meets_contract

RECORDED = Path(__file__).resolve().parents[2] / "data" / "recorded"


@pytest.mark.parametrize(("name", "package"), [("packaging-26.0", "packaging"), ("sqlparse-0.5.0", "sqlparse")])
def test_a_recorded_answer_holds_a_test_that_meets_the_contract(name: str, package: str) -> None:
    source = markdown.python_of((RECORDED / f"{name}.md").read_text(), accepts=meets_contract)
    assert source is not None
    assert granularity(source) == "function"
    findings = inspect_script(source, patch="", package=package, origin="generated")
    assert [finding for finding in findings if finding.fatal] == []
