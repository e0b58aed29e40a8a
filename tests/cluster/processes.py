"""The cluster as a list: which processes with which arguments, in which order, and how each says that it is ready. Pure.

Everything runs inside of the network namespace; the flags that are not obvious have their reason beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from .layout import API_PORT, HERE, NODE, NODE_IP, POD_CIDR, SERVICE_CIDR, Layout

FAST = ["--kube-api-qps=2000", "--kube-api-burst=4000"]
"""The defaults of 20 and 30 requests a second would be what is measured."""


@dataclass(frozen=True)
class Process:
    """One process of the cluster.

    Attributes:
        ready: a URL that answers 200 or `ok`, or a file that appears; None where starting is enough.
        gentle: seconds between TERM and KILL when it is stopped.
    """

    name: str
    argv: list[str]
    ready: str | Path | None = None
    gentle: float = 5.0
    environment: Mapping[str, str] = field(default_factory=dict)


def processes(layout: Layout) -> list[Process]:
    """Every process, in the order in which they start; they stop in the reverse one."""
    pki, run, etc, binaries = layout.pki, layout.run, layout.etc, layout.bin
    path = f"{binaries}:/usr/sbin:/usr/bin:/sbin:/bin"
    python = {"PYTHONPATH": str(HERE.parent), "PATH": path, "PYTHONUNBUFFERED": "1"}
    return [
        Process(
            "etcd",
            [
                str(binaries / "etcd"), f"--data-dir={layout.state}/etcd", "--listen-client-urls=http://127.0.0.1:2379",
                "--advertise-client-urls=http://127.0.0.1:2379", "--listen-peer-urls=http://127.0.0.1:2380",
                # A cluster for tests may lose its last second when the machine dies.
                "--unsafe-no-fsync", "--heartbeat-interval=20", "--election-timeout=200", "--log-level=warn",
            ],
            ready="http://127.0.0.1:2379/health",
        ),
        Process(
            "containerd",
            [str(binaries / "containerd"), "--config", str(etc / "containerd.toml")],
            ready=layout.containerd_socket,
            environment={"PATH": path},
        ),
        Process(
            "kube-apiserver",
            [
                str(binaries / "kube-apiserver"), "--etcd-servers=http://127.0.0.1:2379", f"--service-cluster-ip-range={SERVICE_CIDR}",
                f"--advertise-address={NODE_IP}", f"--secure-port={API_PORT}", f"--tls-cert-file={pki}/apiserver.crt",
                f"--tls-private-key-file={pki}/apiserver.key", f"--client-ca-file={pki}/ca.crt", f"--cert-dir={run}",
                "--service-account-issuer=https://kubernetes.default.svc", f"--service-account-key-file={pki}/service-account.pub",
                f"--service-account-signing-key-file={pki}/service-account.key", "--authorization-mode=Node,RBAC",
                "--enable-admission-plugins=NodeRestriction", f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
                f"--kubelet-client-key={pki}/apiserver-kubelet.key", f"--kubelet-certificate-authority={pki}/ca.crt",
                "--kubelet-preferred-address-types=InternalIP", "--allow-privileged", "--endpoint-reconciler-type=lease",
                "--max-requests-inflight=800", "--max-mutating-requests-inflight=400",
                # Without these the controller-manager complains for ever.
                f"--requestheader-client-ca-file={pki}/ca.crt", "--requestheader-allowed-names=front-proxy",
                "--requestheader-extra-headers-prefix=X-Remote-Extra-", "--requestheader-group-headers=X-Remote-Group",
                "--requestheader-username-headers=X-Remote-User",
                # One line per write: who writes how often is counted here, not believed from the writer.
                f"--audit-policy-file={etc}/audit.yaml", f"--audit-log-path={layout.logs}/audit.jsonl",
            ],
            ready=f"https://127.0.0.1:{API_PORT}/readyz",
            gentle=1.0,
        ),
        Process(
            "kube-controller-manager",
            [
                str(binaries / "kube-controller-manager"), f"--kubeconfig={etc}/controller-manager.kubeconfig",
                f"--authentication-kubeconfig={etc}/controller-manager.kubeconfig",
                f"--authorization-kubeconfig={etc}/controller-manager.kubeconfig", f"--cert-dir={run}",
                f"--service-account-private-key-file={pki}/service-account.key", f"--root-ca-file={pki}/ca.crt",
                "--use-service-account-credentials", "--leader-elect=false", *FAST, "--concurrent-job-syncs=50",
                "--concurrent-gc-syncs=50", "--terminated-pod-gc-threshold=100000",
                "--controllers=*,-node-ipam-controller,-cloud-node-lifecycle-controller,-service-lb-controller,-node-route-controller",
            ],
        ),
        Process(
            "kube-scheduler",
            [
                str(binaries / "kube-scheduler"), f"--kubeconfig={etc}/scheduler.kubeconfig", f"--cert-dir={run}",
                f"--authentication-kubeconfig={etc}/scheduler.kubeconfig", f"--authorization-kubeconfig={etc}/scheduler.kubeconfig",
                "--leader-elect=false", *FAST,
            ],
        ),
        Process(
            "kubelet",
            [
                str(binaries / "kubelet"), f"--config={etc}/kubelet.yaml", f"--kubeconfig={etc}/kubelet-client.kubeconfig",
                f"--hostname-override={NODE}", f"--node-ip={NODE_IP}", f"--root-dir={layout.state}/kubelet", f"--cert-dir={run}",
            ],
            ready="http://127.0.0.1:10248/healthz",
            environment={"PATH": path},
        ),
        Process(
            "kube-proxy",
            [str(binaries / "kube-proxy"), f"--config={etc}/proxy.yaml", f"--hostname-override={NODE}"],
            environment={"PATH": path},
        ),
        Process("gpus", [sys.executable, "-m", "cluster.gpus", str(run / "gpus.json")], environment=python),
        Process("policies", [sys.executable, "-m", "cluster.policies", str(layout.kubeconfig)], environment=python),
    ]  # fmt: skip


def configuration(layout: Layout) -> dict[str, str]:
    """Every configuration file, by name below `etc`."""
    return {
        "containerd.toml": _containerd(layout),
        "cni/10-isobench.conflist": _json(_cni(layout)),
        "kubelet.yaml": yaml.safe_dump(_kubelet(layout)),
        "proxy.yaml": yaml.safe_dump(_proxy(layout)),
        "audit.yaml": yaml.safe_dump(audit_policy()),
    }


def _json(value: Any) -> str:
    import json

    return json.dumps(value, indent=2)


def audit_policy() -> dict[str, Any]:
    """What the API server writes down: a line for every write that somebody counts."""
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [
            {
                "level": "Metadata",
                "verbs": ["create", "update", "patch", "delete"],
                "resources": [
                    {"group": "isobench.dev"},
                    {"group": "batch", "resources": ["jobs"]},
                    {"group": "", "resources": ["events", "configmaps"]},
                    {"group": "events.k8s.io", "resources": ["events"]},
                ],
            },
            {"level": "None"},
        ],
    }


def _kubelet(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": NODE_IP,
        "authentication": {"anonymous": {"enabled": False}, "webhook": {"enabled": True}, "x509": {"clientCAFile": f"{layout.pki}/ca.crt"}},
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{layout.pki}/kubelet.crt",
        "tlsPrivateKeyFile": f"{layout.pki}/kubelet.key",
        "containerRuntimeEndpoint": f"unix://{layout.containerd_socket}",
        "cgroupDriver": "cgroupfs",
        "cgroupsPerQOS": True,
        "failCgroupV1": False,
        "failSwapOn": False,
        "enforceNodeAllocatable": ["pods"],
        "seccompDefault": True,
        "podPidsLimit": 256,
        "maxPods": 200,
        "serializeImagePulls": False,
        "oomScoreAdj": 0,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%", "nodefs.inodesFree": "1%"},
        "imageGCHighThresholdPercent": 100,
        "podLogsDir": f"{layout.state}/pod-logs",
        "resolvConf": "/etc/resolv.conf",
        "clusterDomain": "cluster.local",
        "nodeStatusUpdateFrequency": "2s",
        "containerLogMaxSize": "5Mi",
        # No clusterDNS: there is no DNS server here, and pods then get the node's.
    }  # fmt: skip


def _proxy(layout: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": f"{layout.etc}/proxy.kubeconfig"},
        "mode": "nftables",
        "clusterCIDR": POD_CIDR,
        "conntrack": {"maxPerCore": 0, "min": 0},
    }


def _cni(layout: Layout) -> dict[str, Any]:
    ipam = {
        "type": "host-local",
        "ranges": [[{"subnet": POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dataDir": f"{layout.state}/cni",
    }
    # Routed, not bridged: one forward hook sees all traffic between pods.
    plugins = [
        {"type": "ptp", "ipMasq": True, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ]
    return {"cniVersion": "0.4.0", "name": "isobench", "plugins": plugins}


def _containerd(layout: Layout) -> str:
    return f"""
version = 3
root = "{layout.state}/containerd"
state = "{layout.run}/containerd"
temp = "{layout.state}/containerd-tmp"
imports = []
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.erofs", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "{layout.containerd_socket}"
[plugins."io.containerd.internal.v1.opt"]
  path = "{layout.state}/opt"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
  [plugins."io.containerd.cri.v1.images".pinned_images]
    sandbox = "localhost/pause:dev"
[plugins."io.containerd.cri.v1.runtime"]
  # A machine without CAP_SYS_RESOURCE kills every sandbox otherwise.
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.cri.v1.runtime".cni]
    bin_dirs = ["/usr/lib/cni"]
    conf_dir = "{layout.etc}/cni"
  [plugins."io.containerd.cri.v1.runtime".containerd]
    default_runtime_name = "runc"
    [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
        SystemdCgroup = false
        BinaryName = "{layout.bin}/runc"
"""
