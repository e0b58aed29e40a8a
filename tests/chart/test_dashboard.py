"""The dashboard: every query parses and asks for metrics that the operator has; what they return is the end-to-end tests' to see."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml

from isobench_operator.control.queue import WorkQueue
from isobench_operator.control.roster import Roster
from isobench_operator.metrics import Metrics
from support.dashboard import DASHBOARD, Query, panels, queries
from support.helm import CHART, ROOT, pick, render
from support.tools import tool

pytestmark = pytest.mark.chart


def metrics() -> set[str]:
    """Every metric of the operator, as its queries name it."""
    found = Metrics(queue=WorkQueue(), roster=Roster()).registry.collect()
    return {f"{one.name}_total" if one.type == "counter" else one.name for one in found}


METRICS = metrics()
OURS = {name for name in METRICS if name.startswith("isobench_")}


def names(expr: str) -> set[str]:
    found = set(re.findall(r"\b(?:isobench|process)_[a-z_]+", expr))
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in found}


@pytest.mark.parametrize("query", queries(), ids=lambda query: query.panel)
def test_a_query_asks_for_metrics_of_the_operator(query: Query) -> None:
    assert names(query.expr)
    assert names(query.expr) <= METRICS
    assert "$" not in query.expr


def test_every_metric_of_the_operator_is_somewhere_on_it() -> None:
    assert {name for query in queries() for name in names(query.expr)} >= OURS


def test_every_alert_asks_for_metrics_of_the_operator() -> None:
    groups = yaml.safe_load((CHART / "rules" / "isobench.yaml").read_text(encoding="utf-8"))["groups"]
    for rule in (rule for group in groups for rule in group["rules"]):
        assert names(rule["expr"]), rule["alert"]
        assert names(rule["expr"]) <= METRICS, rule["alert"]


def test_every_query_parses(tmp_path: Path) -> None:
    rules = [{"record": f"panel:{number}", "expr": query.expr} for number, query in enumerate(queries())]
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([tool("promtool"), "check", "rules", str(path)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_do_not_overlap_and_each_says_what_it_shows() -> None:
    taken: set[tuple[int, int]] = set()
    found = list(panels(json.loads(DASHBOARD.read_text(encoding="utf-8"))))
    for panel in found:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["description"]
    assert len({panel["id"] for panel in found}) == len(found)


def test_the_chart_hands_it_to_grafana_as_it_is() -> None:
    values = {"metrics": {"dashboard": {"enabled": True, "annotations": {"grafana_folder": "Batch"}}}}
    given = pick(render(values), "ConfigMap", "isobench-dashboard")
    assert given["data"]["isobench.json"] == DASHBOARD.read_text(encoding="utf-8")
    assert given["metadata"]["labels"]["grafana_dashboard"] == "1"
    assert given["metadata"]["annotations"] == {"grafana_folder": "Batch"}


def test_every_metric_of_the_operator_is_explained() -> None:
    page = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert {name for name in OURS if f"`{name}`" not in page} == set()
