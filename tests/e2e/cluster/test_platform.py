"""The release as a platform engineer has it: metrics that a real Prometheus reads, rights that are few, upgrades and goodbyes that lose nothing."""

from __future__ import annotations

import json
import re
import urllib.parse

import pytest

from support.kube import is_true, until

from .lab import ROOT, Lab
from .operator import Operator


def test_a_real_prometheus_scrapes_the_operator_and_every_panel_has_data(lab: Lab, prometheus) -> None:
    lab.commit("scraped")
    lab.ended_as("scraped", "Faster")
    until("the operator is scraped", lambda: prometheus.query("up{job='isobench'}") == [1.0])
    until("the verdict is counted", lambda: sum(prometheus.query('isobench_verdicts_total{verdict="faster"}')) >= 1)
    empty = []
    for title, query in prometheus.panels(ROOT / "helm" / "isobench" / "dashboards"):
        try:
            until(title, lambda query=query: prometheus.query(query), seconds=45)
        except AssertionError:
            empty.append(f"{title}: {query}")
    assert not empty, "\n".join(empty)


def test_an_operator_may_do_what_it_does_and_nothing_else(lab: Lab) -> None:
    account = f"system:serviceaccount:{lab.release}:isobench-operator"
    for verb, what in (
        ("get", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
        ("create", "roles"),
        ("escalate", "roles"),
        ("impersonate", "users"),
        ("delete", "commits"),
    ):
        printed = lab.kube.kubectl("auth", "can-i", verb, what, "-n", lab.namespace, f"--as={account}", check=False)
        assert printed.strip().endswith("no"), (verb, what, printed)
    for name in ("isobench-run",):
        printed = lab.kube.kubectl(
            "auth", "can-i", "--list", "-n", lab.namespace, f"--as=system:serviceaccount:{lab.namespace}:{name}"
        )
        rights = [
            line
            for line in printed.splitlines()[1:]
            if line.strip() and "selfsubject" not in line and not line.startswith(" ")
        ]
        assert not rights, printed


def test_bad_pods_are_refused_in_a_work_namespace(lab: Lab) -> None:
    bad = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad"},
        "spec": {"hostNetwork": True, "containers": [{"name": "a", "image": "a"}]},
    }
    assert "violates PodSecurity" in lab.kube.apply(bad, namespace=lab.namespace, check=False)


def test_the_operators_writes_per_commit_are_few(lab: Lab, model) -> None:
    from .test_main_job import generate

    def writes() -> int:
        text = lab.kube.read("/metrics", text=True)
        found = re.findall(
            r'^apiserver_request_total\{[^}]*resource="(jobs|commits|events)"[^}]*verb="(POST|PATCH|PUT|DELETE|APPLY)"[^}]*\} (\d+)',
            text,
            re.MULTILINE,
        )
        return sum(int(count) for _, _, count in found)

    assert writes() >= 0
    lab.commit(
        "counted",
        script=None,
        test=generate(model),
        measurement={"budgetSeconds": 6, "minimumEffectPercent": "10"},
        main=lab.main,
    )
    lab.finished("counted", seconds=400)
    counted = operator_writes(lab, "counted")
    assert counted <= 16, counted


def operator_writes(lab: Lab, name: str) -> int:
    """Jobs created, status writes and events of one Commit, from what the API server keeps of each."""
    jobs = len(lab.kube.jobs_of(name, lab.namespace))
    events = len(
        [
            event
            for event in lab.kube.events_of(name, lab.namespace)
            if event.get("reportingComponent", "").startswith("isobench")
            or event.get("source", {}).get("component", "").startswith("isobench")
        ]
    )
    logs = [json.loads(line) for line in Operator(lab.kube, lab.release).logs().splitlines() if line.startswith("{")]
    statuses = len([line for line in logs if line.get("name") == name and line.get("event") == "status written"])
    return jobs + events + statuses


@pytest.mark.everything
def test_an_upgrade_under_way_disturbs_no_commit(lab: Lab, helm) -> None:
    lab.commit("upgraded")
    lab.running("upgraded", "base")
    helm.upgrade({"operator": {"podAnnotations": {"e2e": "upgraded"}}})
    lab.ended_as("upgraded", "Faster", seconds=400)
    assert set(lab.roles_run("upgraded").values()) == {1}


@pytest.mark.everything
def test_uninstalling_keeps_resources_and_data(lab: Lab, helm, operator: Operator) -> None:
    lab.commit("kept")
    before = lab.ended_as("kept", "Faster")
    helm.uninstall()
    try:
        after = lab.get("kept")
        assert after is not None
        assert after["status"] == before["status"]
        assert lab.kube.list("PersistentVolumeClaim", lab.namespace)
    finally:
        helm.install()
        operator.ready()
    lab.commit("after")
    assert is_true(lab.finished("after"), "Succeeded")


def quoted(query: str) -> str:
    """A query in a URL."""
    return urllib.parse.quote(query)
