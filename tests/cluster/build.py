"""Builds the cluster's tools from pinned Go modules, once: each module's binaries lie in the cache under the hash of what makes them.

Kubernetes requires its staging modules at v0.0.0, which no proxy has: its go.mod replaces each by the published module.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .layout import HERE, Layout, host_tool

KUBERNETES = "v1.36.3"
_VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True)
class Tool:
    """One Go module of `tools/` and the commands built from it.

    Attributes:
        module: its folder.
        commands: package path by binary name.
        cgo: whether C is needed; `tags` of the build.
        everything: only for `e2e-all`.
    """

    module: str
    commands: dict[str, str]
    cgo: bool = False
    tags: str = ""
    ldflags: str = "-s -w"
    everything: bool = False

    def key(self) -> str:
        """Equal where and only where the binaries would be."""
        content = b"".join((HERE / "tools" / self.module / name).read_bytes() for name in ("go.mod", "go.sum"))
        words = repr((sorted(self.commands.items()), self.cgo, self.tags, self.ldflags))
        return hashlib.sha256(content + words.encode()).hexdigest()[:16]


TOOLS = (
    Tool(
        "kubernetes",
        {
            name: f"k8s.io/kubernetes/cmd/{name}"
            for name in (
                "kubectl",
                "kube-apiserver",
                "kube-controller-manager",
                "kube-scheduler",
                "kube-proxy",
                "kubelet",
            )
        },
        ldflags=f"-s -w -X {_VERSION}.gitVersion={KUBERNETES} -X {_VERSION}.gitMajor=1 -X {_VERSION}.gitMinor=36",
    ),
    Tool("etcd", {"etcd": "go.etcd.io/etcd/server/v3"}),
    Tool(
        "containerd",
        {
            name: f"github.com/containerd/containerd/v2/cmd/{name}"
            for name in ("containerd", "containerd-shim-runc-v2", "ctr")
        },
    ),
    Tool("runc", {"runc": "github.com/opencontainers/runc"}, cgo=True, tags="seccomp"),
    Tool("helm", {"helm": "helm.sh/helm/v3/cmd/helm"}),
    Tool("kwok", {"kwok": "sigs.k8s.io/kwok/cmd/kwok"}, everything=True),
)


def folder(layout: Layout, tool: Tool) -> Path:
    """Where a tool's binaries are or will be."""
    return layout.cache / "bin" / f"{tool.module}-{tool.key()}"


def build(layout: Layout, tool: Tool, *, only: str | None = None) -> Path:
    """Build what is missing of a tool, or of it one command; returns the folder of its binaries.

    Raises:
        SystemExit: the compiler failed; its words are printed.
    """
    target = folder(layout, tool)
    missing = {
        name: package
        for name, package in tool.commands.items()
        if not (target / name).exists() and only in (None, name)
    }
    if not missing:
        return target
    target.mkdir(parents=True, exist_ok=True)
    environment = {**os.environ, "CGO_ENABLED": "1" if tool.cgo else "0", "GOTOOLCHAIN": "local"}
    for name, package in missing.items():
        started = time.monotonic()
        print(f"building {name}", flush=True)
        command = [
            host_tool("go"),
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            tool.ldflags,
            "-o",
            str(target / f".{name}"),
        ]
        if tool.tags:
            command += ["-tags", tool.tags]
        done = subprocess.run([*command, package], cwd=HERE / "tools" / tool.module, env=environment, check=False)
        if done.returncode != 0:
            needs = "; it takes C headers: apt-get install gcc libc6-dev pkg-config libseccomp-dev" if tool.cgo else ""
            raise SystemExit(f"{name} did not build; see above{needs}")
        (target / f".{name}").rename(target / name)
        print(f"built {name} in {time.monotonic() - started:.0f} s", flush=True)
    return target


def build_all(layout: Layout, *, only: tuple[str, ...] = (), everything: bool = False) -> dict[str, Path]:
    """Build the tools; returns every binary by name."""
    found: dict[str, Path] = {}
    for tool in TOOLS:
        if (only and tool.module not in only) or (not only and tool.everything and not everything):
            continue
        place = build(layout, tool)
        found |= {name: place / name for name in tool.commands}
    return found


def binary(layout: Layout, name: str) -> Path:
    """One command, its module built where it is not yet.

    Raises:
        KeyError: no tool brings a command of that name.
        SystemExit: it did not build.
    """
    tool = next((tool for tool in TOOLS if name in tool.commands), None)
    if tool is None:
        raise KeyError(name)
    return build(layout, tool, only=name) / name
