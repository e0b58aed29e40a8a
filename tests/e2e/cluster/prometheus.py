"""Debian's real Prometheus, scraping the operator from the node."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from cluster import Cluster
from cluster.layout import NODE_IP, host_tool
from support.kube import until

PORT = 9099


class Prometheus:
    """A running server."""

    def query(self, expression: str) -> list[float]:
        """The values of an instant query, without those that are not a number."""
        url = f"http://{NODE_IP}:{PORT}/api/v1/query?query={urllib.parse.quote(expression)}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            body = json.load(answer)
        assert body["status"] == "success", body
        return [float(one["value"][1]) for one in body["data"]["result"]]


@contextmanager
def running(node: Cluster, folder: Path, *, target: str) -> Iterator[Prometheus]:
    """Scrape `host:port` every second."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    scrape = {"job_name": "isobench", "static_configs": [{"targets": [target]}]}
    config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    command = [
        host_tool("prometheus"), f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={NODE_IP}:{PORT}",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(node.enter(*command), stdout=log, stderr=log)
        try:
            until(
                "Prometheus answers",
                lambda: urllib.request.urlopen(f"http://{NODE_IP}:{PORT}/-/ready", timeout=2).status == 200,
            )
            yield Prometheus()
        finally:
            process.terminate()
            process.wait(10)
