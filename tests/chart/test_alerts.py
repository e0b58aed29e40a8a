"""The alerts: checked and unit-tested by Prometheus's own tool, and each with a page that says what to do."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.helm import CHART, ROOT, pick, render
from support.tools import tool

pytestmark = pytest.mark.chart
Json = dict[str, Any]
RULES = CHART / "rules" / "isobench.yaml"
ALERTS: list[Json] = [
    rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
CASES = Path(__file__).with_name("alerts_test.yaml")


def promtool(*arguments: str) -> None:
    done = subprocess.run([tool("promtool"), *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_are_rules() -> None:
    promtool("check", "rules", "--lint-fatal", str(RULES))


def test_each_fires_for_its_cause_alone() -> None:
    promtool("test", "rules", str(CASES))


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])
def test_each_is_seen_firing_and_has_a_page(alert: Json) -> None:
    assert f'alertname="{alert["alert"]}"' in CASES.read_text(encoding="utf-8")
    page, anchor = alert["annotations"]["runbook_url"].rsplit("/main/", 1)[1].split("#")
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}
    assert anchor == alert["alert"].lower()
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert {"summary", "description"} < set(alert["annotations"])


def test_the_chart_wraps_them_and_changes_no_word() -> None:
    rule = pick(render({"metrics": {"rules": {"enabled": True}}}), "PrometheusRule", "isobench")
    assert [one for group in rule["spec"]["groups"] for one in group["rules"]] == ALERTS


def test_some_can_be_left_out_and_all_can_be_routed() -> None:
    values = {
        "enabled": True,
        "disabled": ["IsobenchNoProgress"],
        "alertLabels": {"team": "bench"},
        "labels": {"release": "prometheus"},
    }
    rule = pick(render({"metrics": {"rules": values}}), "PrometheusRule", "isobench")
    found = [one for group in rule["spec"]["groups"] for one in group["rules"]]
    assert {one["alert"] for one in found} == {one["alert"] for one in ALERTS} - {"IsobenchNoProgress"}
    assert all(one["labels"]["team"] == "bench" and "severity" in one["labels"] for one in found)
    assert rule["metadata"]["labels"]["release"] == "prometheus"
