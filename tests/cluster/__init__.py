"""A real single-node Kubernetes for tests: real API server, kubelet, containerd and runc, on a bare Debian machine as root.

Its devices and its NetworkPolicy enforcer stand in for hardware and a network plugin, and say so; nothing else is a fake.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import yaml

from . import build, images, leftovers, network, objects, pki, processes, supervise
from .layout import NODE, Layout

__all__ = ["Cluster", "Layout"]


class Cluster:
    """One test cluster."""

    def __init__(self, layout: Layout | None = None) -> None:
        self.layout = layout or Layout()

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.layout.kubeconfig

    @property
    def bin(self) -> Path:
        """Folder of kubectl, helm and the rest."""
        return self.layout.bin

    def up(self) -> float:
        """Bring it up, or what of it is down; returns the seconds until the node was ready.

        Raises:
            SystemExit: something is missing or failed; with what to do, or the last lines of its log.
        """
        if os.geteuid() != 0:
            raise SystemExit("a node needs root: run it as root, or set KUBECONFIG to a cluster of your own")
        layout = self.layout
        binaries = build.build_all(layout)
        pause = images.pause(layout)
        started = time.monotonic()
        for folder in (layout.bin, layout.run, layout.logs, layout.etc / "cni", *layout.volumes()):
            folder.mkdir(parents=True, exist_ok=True)
        for folder in layout.volumes():
            folder.chmod(0o777)
        for name, binary in binaries.items():
            link = layout.bin / name
            link.unlink(missing_ok=True)
            link.symlink_to(binary)
        pki.make(layout)
        network.up(layout)
        for name, content in processes.configuration(layout).items():
            (layout.etc / name).write_text(content)
        if not (layout.run / "gpus.json").exists():
            self.gpus()
        for process in processes.processes(layout):
            supervise.start(layout, process)
            supervise.wait_ready(layout, process)
            if process.name == "containerd":
                images.bring(layout, pause)
        self._await_node()
        self._apply(objects.everything(layout))
        labels = [f"{name}={value}" for name, value in objects.GPU_LABELS.items()]
        self.kubectl("label", "node", NODE, "--overwrite", *labels)
        return time.monotonic() - started

    def _await_node(self) -> None:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            ready = self.kubectl(
                "get", "node", NODE, "-o", 'jsonpath={.status.conditions[?(@.type=="Ready")].status}', check=False
            )
            account = self.kubectl("get", "serviceaccount", "default", "-o", "name", check=False)
            if ready.strip() == "True" and account.strip() == "serviceaccount/default":
                return
            time.sleep(0.1)
        raise SystemExit(f"the node did not become ready; see {self.layout.logs}")

    def _apply(self, documents: list[dict[str, Any]]) -> None:
        self.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))

    def images(self) -> list[str]:
        """Build and bring in what the end-to-end tests need; returns the names."""
        layout = self.layout
        wanted = [
            images.python(layout),
            images.venv(layout),
            images.old_python(layout),
            *(images.product(layout, name) for name in ("operator", "runner")),
        ]
        found = [image for image in wanted if image is not None]
        for image in found:
            images.bring(layout, image)
        return [image.name for image in found]

    def image(self, name: str, program: Path) -> str:
        """Build and bring in an image whose `python3` is this program; returns its name."""
        images.bring(self.layout, found := images.with_program(self.layout, name, program))
        return found.name

    def kubectl(self, *arguments: str, stdin: str = "", check: bool = True) -> str:
        """kubectl as the administrator; returns what it printed to standard output."""
        done = subprocess.run(
            [str(self.bin / "kubectl"), "--kubeconfig", str(self.kubeconfig), *arguments],
            input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise SystemExit(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def gpus(self, *, count: int = 2, sick: int = 0) -> None:
        """How many devices there are, and how many of them are unhealthy."""
        control = self.layout.run / "gpus.json"
        control.with_suffix(".new").write_text(json.dumps({"count": count, "sick": sick}))
        control.with_suffix(".new").rename(control)

    def restart(self, name: str, *, kill: bool = False) -> None:
        """Stop a process of the list and start it again; `apiserver` and the like are understood too."""
        every = {one.name: one for one in processes.processes(self.layout)}
        process = every.get(name) or every.get(f"kube-{name}")
        if process is None:
            raise SystemExit(f"{name} is no process of the cluster: {', '.join(every)}")
        supervise.stop(self.layout, process.name, seconds=process.gentle, kill=kill)
        supervise.start(self.layout, process)
        supervise.wait_ready(self.layout, process)

    def status(self) -> dict[str, int | None]:
        """The pid of every process, None where it does not run."""
        return {one.name: supervise.pid_of(self.layout, one.name) for one in processes.processes(self.layout)}

    def audit(self) -> list[dict[str, Any]]:
        """Every write to our kinds, Jobs and events, by whom."""
        path = self.layout.logs / "audit.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def enter(self, *command: str) -> list[str]:
        """A command inside of the cluster's network."""
        return network.enter(self.layout, *command)

    def down(self) -> None:
        """Stop everything and leave nothing behind but the cache."""
        layout = self.layout
        for process in reversed(processes.processes(layout)):
            supervise.stop(layout, process.name, seconds=process.gentle)
        leftovers.remove(layout)
        network.down(layout)
        subprocess.run(["nft", "delete", "table", "ip", "isobench_policies"], capture_output=True, check=False)
