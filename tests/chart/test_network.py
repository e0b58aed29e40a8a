"""The network policies: who may speak to whom, and that what they leave open is the public internet at most."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest

from isobench_operator.core import naming
from support.helm import pick, render

pytestmark = pytest.mark.chart
Json = dict[str, Any]
ROLES = {naming.network(role) for role in ("prepare-base", "generate", "base", "head", "main", "collect-0123")}
DNS = {"to": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
       "ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}  # fmt: skip
HERE = [{"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}], "ports": [{"port": 8443, "protocol": "TCP"}]}]


def egress(role: str, values: Json | None = None) -> list[Json]:
    spec = pick(render(values), "NetworkPolicy", f"isobench-{role}")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec
    assert spec["podSelector"] == {"matchLabels": {"isobench.dev/network": role}}
    rules: list[Json] = spec.get("egress", [])
    return rules


def ports(rules: list[Json]) -> set[int]:
    return {port["port"] for rule in rules for port in rule["ports"]}


def reaches(rules: list[Json], address: str, port: int) -> bool:
    """Whether some rule by address allows this connection."""
    found = ipaddress.ip_address(address)

    def inside(cidr: str) -> bool:
        network = ipaddress.ip_network(cidr)
        return network.version == found.version and found in network

    return any(
        inside(peer["ipBlock"]["cidr"]) and not any(inside(hole) for hole in peer["ipBlock"].get("except", ()))
        for rule in rules
        if port in {one["port"] for one in rule["ports"]}
        for peer in rule.get("to", ())
        if "ipBlock" in peer
    )


def test_measuring_pods_reach_nothing() -> None:
    assert egress("measure") == []


def test_measuring_pods_reach_the_store_where_it_is_remote_and_nothing_else() -> None:
    values = {"artifacts": {"url": "s3://bucket/a"}, "networkPolicy": {"store": HERE}}
    assert egress("measure", values) == [DNS, *HERE]


@pytest.mark.parametrize(
    ("role", "open_ports"), [("prepare", {53, 443, 22}), ("generate", {53, 443, 22}), ("collect", {53, 443, 6443})]
)
def test_a_role_has_the_ports_of_its_servers(role: str, open_ports: set[int]) -> None:
    assert DNS in egress(role)
    assert ports(egress(role)) == open_ports


@pytest.mark.parametrize("role", ["prepare", "generate"])
@pytest.mark.parametrize(
    ("address", "port", "allowed"),
    [
        ("140.82.121.4", 443, True), ("140.82.121.4", 22, True), ("140.82.121.4", 80, False), ("140.82.121.4", 6443, False),
        ("10.96.0.1", 443, False), ("172.20.3.4", 443, False), ("192.168.1.1", 22, False), ("100.64.1.1", 443, False),
        ("169.254.169.254", 443, False), ("127.0.0.1", 443, False), ("0.0.0.0", 443, False), ("255.255.255.255", 443, False),
        ("2606:50c0:8000::153", 443, True), ("fd00:ec2::254", 443, False), ("fe80::1", 443, False), ("::1", 443, False),
        ("64:ff9b::a00:1", 443, False), ("203.0.113.7", 443, True),
    ],
)  # fmt: skip
def test_what_is_open_by_default_is_public(role: str, address: str, port: int, allowed: bool) -> None:
    assert reaches(egress(role), address, port) is allowed


def test_ranges_of_the_cluster_that_are_public_are_kept_out() -> None:
    values = {"networkPolicy": {"clusterRanges": ["203.0.113.0/24", "2606:50c0::/32"]}}
    for role in ("prepare", "generate", "collect"):
        assert not reaches(egress(role, values), "203.0.113.7", 443)
        assert not reaches(egress(role, values), "2606:50c0:8000::153", 443)
        assert reaches(egress(role, values), "140.82.121.4", 443)


def test_a_rule_given_takes_the_place_of_the_default_and_an_empty_one_closes() -> None:
    assert egress("prepare", {"networkPolicy": {"git": HERE, "index": [], "dns": []}}) == HERE
    assert egress("generate", {"networkPolicy": {"git": [], "model": HERE}}) == [DNS, *HERE]
    assert egress("collect", {"networkPolicy": {"hub": HERE, "apiServer": []}}) == [DNS, *HERE]


def test_whatever_the_operator_makes_is_shut_off_whatever_its_role() -> None:
    spec = pick(render(), "NetworkPolicy", "isobench-deny")["spec"]
    assert spec == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "isobench", "app.kubernetes.io/managed-by": "isobench"}},
        "policyTypes": ["Ingress", "Egress"],
    }  # fmt: skip


def test_every_work_namespace_has_every_policy() -> None:
    objects = render({"workNamespaces": ["a", "b"]})
    for namespace in ("a", "b"):
        found = {
            one["metadata"]["name"]
            for one in objects
            if one["kind"] == "NetworkPolicy" and one["metadata"]["namespace"] == namespace
        }
        assert found == {"isobench-deny", *(f"isobench-{role}" for role in ROLES)}


def test_the_operator_is_scraped_and_speaks_to_the_api_server_alone() -> None:
    spec = pick(
        render({"networkPolicy": {"metricsFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}]}}),
        "NetworkPolicy",
        "isobench-operator",
    )["spec"]
    scraped, tested = spec["ingress"]
    assert scraped == {
        "from": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
        "ports": [{"port": 9090, "protocol": "TCP"}],
    }
    assert tested["from"] == [
        {"podSelector": {"matchLabels": {"app.kubernetes.io/name": "isobench", "app.kubernetes.io/component": "test"}}}
    ]
    assert ports(spec["egress"]) == {53, 443, 6443}


def test_none_is_made_where_they_are_off() -> None:
    assert not [one for one in render({"networkPolicy": {"enabled": False}}) if one["kind"] == "NetworkPolicy"]
