"""The release as a platform engineer has it: metrics that a real Prometheus reads, rights that are few, upgrades and goodbyes that lose nothing."""

from __future__ import annotations

import pytest

from cluster import Cluster
from support.dashboard import queries
from support.kube import is_true, until

from .helm import Helm
from .lab import BUDGET, Lab
from .operator import Operator
from .prometheus import Prometheus
from .servers import ModelServer
from .test_main_job import generate


def test_a_real_prometheus_scrapes_the_operator_and_every_panel_has_data(
    lab: Lab, prometheus: Prometheus, model: ModelServer
) -> None:
    lab.commit("scraped", script=None, test=generate(model, name="scraped-writer"))
    lab.ended_as("scraped", "Faster")
    until("the operator is scraped", lambda: prometheus.query("up{job='isobench'}") == [1.0])
    until("the verdict is counted", lambda: sum(prometheus.query('isobench_verdicts_total{verdict="faster"}')) >= 1)
    empty = []
    for panel in queries():
        try:
            until(panel.panel, lambda panel=panel: prometheus.query(panel.expr), seconds=30)
        except AssertionError:
            empty.append(f"{panel.panel}: {panel.expr}")
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


def test_helms_own_test_passes(helm: Helm) -> None:
    assert "Succeeded" in helm.test()


def test_bad_pods_are_refused_in_a_work_namespace(lab: Lab) -> None:
    bad = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "bad"},
        "spec": {"hostNetwork": True, "containers": [{"name": "a", "image": "a"}]},
    }
    assert "violates PodSecurity" in lab.kube.apply(bad, namespace=lab.namespace, check=False)


def test_the_operators_writes_per_commit_are_few(lab: Lab, node: Cluster | None, model: ModelServer) -> None:
    """Seven Jobs, eight status writes and one event, counted by the API server; other Commits stand still meanwhile."""
    assert node is not None, "the audit log is the test cluster's: unset KUBECONFIG"
    account = f"system:serviceaccount:{lab.release}:isobench-operator"

    def writes() -> list[str]:
        return [
            f"{one['verb']} {one['objectRef']['resource']}/{one['objectRef'].get('subresource', '')} {one['responseStatus']['code']}"
            for one in node.audit()
            if one["user"]["username"] == account and one["objectRef"].get("namespace") == lab.namespace
        ]

    before = len(writes())
    measurement = {"budgetSeconds": BUDGET, "minimumEffectPercent": "10"}
    lab.commit(
        "counted", script=None, test=generate(model, name="counted-writer"), measurement=measurement, main=lab.main
    )
    lab.finished("counted", seconds=400)
    until("its event is written", lambda: lab.kube.events_of("counted", lab.namespace))
    counted = [line for line in writes()[before:] if "datasets" not in line]
    assert len(counted) <= 16, counted


@pytest.mark.everything
def test_an_upgrade_under_way_disturbs_no_commit(lab: Lab, helm: Helm) -> None:
    lab.commit("upgraded")
    lab.running("upgraded", "base")
    helm.upgrade({"operator": {"podAnnotations": {"e2e": "upgraded"}}})
    lab.ended_as("upgraded", "Faster", seconds=400)
    assert set(lab.roles_run("upgraded").values()) == {1}


@pytest.mark.everything
def test_uninstalling_keeps_resources_and_data(lab: Lab, helm: Helm, operator: Operator) -> None:
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
