"""Enforces NetworkPolicies by nftables, for tests: the node has no network plugin that would.

    python -m cluster.policies KUBECONFIG

What it proves, it proves against this project's own reading of the semantics, and it says so at its start. Fail closed: an address of
the pods' range that belongs to no pod that is known yet reaches nothing.
"""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .layout import POD_CIDR, host_tool

Json = dict[str, Any]
TABLE = "isobench_policies"
WATCHED = {
    "pods": "/api/v1/pods",
    "namespaces": "/api/v1/namespaces",
    "policies": "/apis/networking.k8s.io/v1/networkpolicies",
}


def selects(selector: Json | None, labels: Mapping[str, str]) -> bool:
    """A LabelSelector; an empty one selects everything, none selects nothing."""
    if selector is None:
        return False
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    for one in selector.get("matchExpressions") or ():
        value, operator = labels.get(one["key"]), one["operator"]
        holds = {
            "In": value in (one.get("values") or ()),
            "NotIn": value not in (one.get("values") or ()),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[operator]
        if not holds:
            return False
    return True


def _labels(body: Json) -> Mapping[str, str]:
    return body["metadata"].get("labels") or {}


class World:
    """What is known of pods, namespaces and policies."""

    def __init__(self, pods: Iterable[Json], namespaces: Iterable[Json], policies: Iterable[Json]) -> None:
        self.pods = [
            pod
            for pod in pods
            if (pod.get("status") or {}).get("podIP")
            and not pod["spec"].get("hostNetwork")
            and pod["status"].get("phase") not in ("Succeeded", "Failed")
        ]
        self.namespaces = {one["metadata"]["name"]: _labels(one) for one in namespaces}
        self.policies = list(policies)

    def addresses(self, peer: Json, namespace: str) -> tuple[list[str], list[str]]:
        """What a peer names: addresses or ranges, and the ranges excepted."""
        if "ipBlock" in peer:
            return [peer["ipBlock"]["cidr"]], list(peer["ipBlock"].get("except") or ())
        pod_selector = peer.get("podSelector") or {}
        found = []
        for pod in self.pods:
            where = pod["metadata"]["namespace"]
            there = (
                selects(peer["namespaceSelector"], self.namespaces.get(where, {}))
                if "namespaceSelector" in peer
                else where == namespace
            )
            if there and selects(pod_selector, _labels(pod)):
                found.append(pod["status"]["podIP"])
        return found, []

    def rules(self, pod: Json, direction: str) -> list[Json] | None:
        """The rules of every policy that isolates a pod in a direction; None where none does."""
        found: list[Json] | None = None
        for policy in self.policies:
            spec = policy["spec"]
            types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
            if (
                policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
                and direction in types
                and selects(spec.get("podSelector") or {}, _labels(pod))
            ):
                found = [*(found or []), *(spec.get(direction.lower()) or ())]
        return found


def _set(addresses: Iterable[str]) -> str:
    """Merged ranges, IPv4 alone: nft refuses overlapping elements."""
    networks = [ipaddress.ip_network(one, strict=False) for one in addresses if ":" not in one]
    return ", ".join(str(one) for one in ipaddress.collapse_addresses(networks))  # type: ignore[type-var]


def _matches(rule: Json, direction: str, world: World, namespace: str) -> list[str]:
    field = "daddr" if direction == "Egress" else "saddr"
    peers = rule.get("to" if direction == "Egress" else "from")
    where = [""]
    if peers:
        where = []
        for peer in peers:
            allowed, excepted = world.addresses(peer, namespace)
            if allowed and _set(allowed):
                words = f"ip {field} {{ {_set(allowed)} }} "
                where.append(words + (f"ip {field} != {{ {_set(excepted)} }} " if excepted and _set(excepted) else ""))
    ports = [""]
    if rule.get("ports"):
        ports = []
        for port in rule["ports"]:
            protocol, number = port.get("protocol", "TCP").lower(), port.get("port")
            if number is None:
                ports.append(f"meta l4proto {protocol} ")
            elif isinstance(number, int):
                ports.append(f"{protocol} dport {number}{'-' + str(port['endPort']) if 'endPort' in port else ''} ")
    return [f"{place}{port}return" for place in where for port in ports]


def render(world: World) -> str:
    """The whole table, replaced at once."""
    chains, egress, ingress = [], [], []
    for number, pod in enumerate(world.pods):
        for direction, jumps in (("Egress", egress), ("Ingress", ingress)):
            rules = world.rules(pod, direction)
            if rules is None:
                continue
            name = f"{direction.lower()}{number}"
            lines = [line for rule in rules for line in _matches(rule, direction, world, pod["metadata"]["namespace"])]
            chains.append(f"  chain {name} {{\n" + "".join(f"    {line}\n" for line in lines) + "    counter drop\n  }")
            jumps.append(f"{pod['status']['podIP']} : jump {name}")
    known = ", ".join(pod["status"]["podIP"] for pod in world.pods)
    body = ["    ct state established,related accept"]
    unknown = f" ip saddr != {{ {known} }}" if known else ""
    body.append(f"    ip saddr {POD_CIDR}{unknown} counter drop")
    if egress:
        body.append(f"    ip saddr vmap {{ {', '.join(egress)} }}")
    if ingress:
        body.append(f"    ip daddr vmap {{ {', '.join(ingress)} }}")
    hooks = [
        f"  chain {hook} {{\n    type filter hook {hook} priority 10; policy accept;\n" + "\n".join(body) + "\n  }"
        for hook in ("forward", "input")
    ]
    return "\n".join(
        [f"table ip {TABLE} {{}}", f"delete table ip {TABLE}", f"table ip {TABLE} {{", *chains, *hooks, "}\n"]
    )


class Watcher:
    """Lists and watches, in one thread per kind."""

    def __init__(self, kubeconfig: Path) -> None:
        from support.kube import Kube

        self._kube = Kube(kubeconfig)
        self.objects: dict[str, dict[str, Json]] = {name: {} for name in WATCHED}
        self.changed = threading.Event()

    def start(self) -> None:
        """Begin."""
        for name, path in WATCHED.items():
            threading.Thread(target=self._forever, args=(name, path), daemon=True).start()

    def _forever(self, name: str, path: str) -> None:
        while True:
            try:
                listed = self._kube.read(path)
                self.objects[name] = {one["metadata"]["uid"]: one for one in listed["items"]}
                self.changed.set()
                version = listed["metadata"]["resourceVersion"]
                with self._kube.stream(f"{path}?watch=1&resourceVersion={version}") as lines:
                    for line in lines:
                        event = json.loads(line)
                        if event["type"] == "ERROR":
                            break
                        uid = event["object"]["metadata"]["uid"]
                        if event["type"] == "DELETED":
                            self.objects[name].pop(uid, None)
                        else:
                            self.objects[name][uid] = event["object"]
                        self.changed.set()
            except (OSError, ValueError, KeyError) as error:
                print(f"watching {name}: {error}; again", flush=True)
                time.sleep(0.5)


def main() -> None:
    """Enforce until it is told to stop."""
    print("NetworkPolicies are enforced by this test suite's own reading of their semantics", flush=True)
    watcher, last = Watcher(Path(sys.argv[1])), ""
    watcher.start()
    while True:
        watcher.changed.wait(30)
        watcher.changed.clear()
        parts = {name: list(found.values()) for name, found in watcher.objects.items()}
        table = render(World(parts["pods"], parts["namespaces"], parts["policies"]))
        if table == last:
            continue
        done = subprocess.run([host_tool("nft"), "-f", "-"], input=table, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(done.stderr, flush=True)
        else:
            last = table


if __name__ == "__main__":
    main()
