"""Where everything of the test cluster is: names, addresses and folders, and nothing that does anything.

Addresses are the cluster's own, inside of a network namespace; the host reaches the API server through one veth pair.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]

NODE = "node"
NODE_IP = "10.87.0.2"
HOST_IP = "10.87.0.1"
POD_CIDR = "10.88.0.0/24"
SERVICE_CIDR = "10.96.0.0/16"
API_SERVICE_IP = "10.96.0.1"
API_PORT = 6443


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback)


@dataclass(frozen=True)
class Layout:
    """The folders of one cluster.

    Attributes:
        state: everything that it writes; removed by `down`.
        cache: tools and images that outlive it.
        netns: its network namespace, also the name of the veth pair.
    """

    state: Path = field(
        default_factory=lambda: Path(
            os.environ.get("ISOBENCH_CLUSTER_STATE") or _xdg("XDG_STATE_HOME", ".local/state") / "isobench-cluster"
        )
    )
    cache: Path = field(default_factory=lambda: _xdg("XDG_CACHE_HOME", ".cache") / "isobench-cluster")
    netns: str = "isobench"

    @property
    def bin(self) -> Path:
        """The tools, as links into the cache."""
        return self.state / "bin"

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.state / "pki"

    @property
    def run(self) -> Path:
        """Sockets and pid files."""
        return self.state / "run"

    @property
    def logs(self) -> Path:
        """One file per process."""
        return self.state / "logs"

    @property
    def etc(self) -> Path:
        """Configuration files."""
        return self.state / "etc"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.state / "kubeconfig"

    @property
    def containerd_socket(self) -> Path:
        """Of our own containerd."""
        return self.run / "containerd.sock"

    def volumes(self) -> list[Path]:
        """Folders behind the PersistentVolumes."""
        return [self.state / "volumes" / f"pv{number}" for number in range(8)]


def host_tool(name: str) -> str:
    """A tool of the machine; sbin is looked into as well.

    Raises:
        SystemExit: naming the package.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise SystemExit(f"{name} is not on this machine; as root: apt-get install {PACKAGES.get(name, name)}")
    return found


PACKAGES = {
    "nft": "nftables", "ip": "iproute2", "iptables": "iptables", "conntrack": "conntrack", "buildah": "buildah",
    "mmdebstrap": "mmdebstrap", "nsenter": "util-linux", "openssl": "openssl", "gcc": "gcc libc6-dev", "promtool": "prometheus",
}  # fmt: skip
