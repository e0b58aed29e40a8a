"""A real control plane whose nodes and pods are fakes: API server, controllers, scheduler, and KWOK for nodes, all on the loopback.

For what a machine cannot run for real: hundreds of Commits at once, on a hundred nodes with GPUs. Nodes are kept alive by KWOK; what
pods come to is said by `fake_kubelet`. No container runs, and no time that a container would take passes.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import yaml

from cluster.processes import FAST, audit_policy

from .apiserver import ApiServer, _end, free_ports
from .operators import ROOT, rights

Json = dict[str, Any]
ANNOTATION = ("kwok.x-k8s.io/node", "fake")
STAGES = Path(__file__).with_name("kwok.yaml")
CONTROLLERS = "*,-node-ipam-controller,-cloud-node-lifecycle-controller,-service-lb-controller,-node-route-controller"


class ControlPlane(ApiServer):
    """etcd, API server, controller manager, scheduler and KWOK below a folder; a context manager."""

    def __init__(self, folder: Path) -> None:
        self.audit_log = folder / "audit.jsonl"
        (folder / "audit.yaml").write_text(yaml.safe_dump(audit_policy()))
        flags = {
            "max-requests-inflight": 800,
            "max-mutating-requests-inflight": 400,
            "audit-policy-file": folder / "audit.yaml",
            "audit-log-path": self.audit_log,
        }
        super().__init__(folder, flags=flags)
        self._others: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        super().__enter__()
        try:
            manager, scheduler = free_ports(2)
            loopback = {"kubeconfig": self.kubeconfig, "leader-elect": "false", "bind-address": "127.0.0.1"}
            fast = dict(flag.removeprefix("--").split("=") for flag in FAST)
            self._others.append(
                self._run(
                    "kube-controller-manager",
                    {
                        **loopback, **fast, "secure-port": manager, "cert-dir": self.ca.parent, "controllers": CONTROLLERS,
                        "concurrent-job-syncs": 50, "concurrent-gc-syncs": 50, "terminated-pod-gc-threshold": 100_000,
                        "service-account-private-key-file": self._key, "root-ca-file": self.ca,
                    },
                )
            )  # fmt: skip
            self._others.append(
                self._run("kube-scheduler", {**loopback, **fast, "secure-port": scheduler, "cert-dir": self.ca.parent})
            )
            nodes = {
                "kubeconfig": self.kubeconfig,
                "config": STAGES,
                "manage-nodes-with-annotation-selector": "=".join(ANNOTATION),
                "node-lease-duration-seconds": 40,
                "node-ip": "10.87.1.1",
            }
            self._others.append(self._run("kwok", nodes))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._others):
            _end(process)
        super().__exit__()

    def audit(self) -> list[Json]:
        """Every write to our kinds, Jobs and events, by whom."""
        return [json.loads(line) for line in self.audit_log.read_text().splitlines()]

    def nodes(self, count: int, *, gpus: int = 8) -> None:
        """Make nodes with GPUs, and wait until all are ready."""
        amounts = {"cpu": "64", "memory": "512Gi", "ephemeral-storage": "4Ti", "pods": "110", "nvidia.com/gpu": str(gpus)}  # fmt: skip
        found = [
            {
                "apiVersion": "v1",
                "kind": "Node",
                "metadata": {
                    "name": f"fake-{number}",
                    "annotations": dict([ANNOTATION]),
                    "labels": {"kubernetes.io/hostname": f"fake-{number}", "nvidia.com/gpu.product": "fake"},
                },
                "status": {"allocatable": amounts, "capacity": amounts},
            }
            for number in range(count)
        ]
        self.ok("create", "-f", "-", stdin=found)
        self.ok("wait", "--for=condition=Ready", "nodes", "--all", "--timeout=60s")

    def prepare(self, *names: str) -> None:
        """Our kinds, the operator's rights as the chart gives them, and namespaces with their service accounts."""
        group = "rbac.authorization.k8s.io"
        role = {"apiVersion": f"{group}/v1", "kind": "ClusterRole", "metadata": {"name": "operator"}, "rules": rights()}
        binding = {
            "apiVersion": f"{group}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "operator"},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "operator"},
            "subjects": [{"kind": "User", "name": "operator", "apiGroup": group}],
        }
        crds = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
        self.ok("apply", "--server-side", "-f", "-", stdin=[*crds, role, binding])
        for name in names:
            self.namespace(name)
            accounts = [
                {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": name}}
                for account in ("isobench-run", "isobench-collect")
            ]
            self.ok("create", "-f", "-", stdin=accounts)
        self.ok("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")


@contextmanager
def running(folder: Path) -> Iterator[ControlPlane]:
    """Start a control plane below a folder; it is gone at the end."""
    with ControlPlane(folder) as found:
        yield found
