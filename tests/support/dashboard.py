"""The queries of the Grafana dashboard as Prometheus takes them: what a panel would ask, with its variables filled in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

DASHBOARD = Path(__file__).resolve().parents[2] / "helm" / "isobench" / "dashboards" / "isobench.json"


class Query(NamedTuple):
    """One query of a panel."""

    panel: str
    expr: str


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, those inside rows included."""
    for panel in dashboard["panels"]:
        yield panel
        yield from panel.get("panels", ())


def queries(*, namespace: str = ".*", rate_interval: str = "5m") -> list[Query]:
    """Every query of every panel, ready for `/api/v1/query`.

    Args:
        namespace: a regular expression, as the dashboard's variable has it.
        rate_interval: at least four scrape intervals, as Grafana computes it.
    """
    dashboard = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return [
        Query(
            panel["title"],
            target["expr"].replace("$namespace", namespace).replace("$__rate_interval", rate_interval),
        )
        for panel in panels(dashboard)
        for target in panel.get("targets", ())
    ]
