"""One cluster, one release and one prepared namespace for the whole session; every case brings its own Commits.

With KUBECONFIG set the cases use that cluster: its nodes need the images of `python tests/cluster images`. Else the test cluster of
`tests/cluster` is brought up and left running (`make cluster-down` ends it).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster import Cluster
from support.kube import Kube
from support.tiny import SCRIPT, Tiny, source

from . import prometheus as prometheus_server
from .helm import Helm
from .lab import ROOT, Lab
from .operator import Operator
from .servers import GitServer, ModelServer

HERE = Path(__file__).resolve().parent
RELEASE = "isobench"
KEEP = bool(os.environ.get("ISOBENCH_E2E_KEEP"))
"""Take images and release as an earlier session left them: for whoever works on one case."""
WORK = "work"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every case here needs a cluster."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="session")
def node() -> Iterator[Cluster | None]:
    """The test cluster, where that is what runs; cases that restart its parts ask for it."""
    if os.environ.get("KUBECONFIG"):
        yield None
        return
    cluster = Cluster()
    cluster.up()
    if not KEEP:
        cluster.images()
    yield cluster


@pytest.fixture(scope="session")
def kube(node: Cluster | None) -> Kube:
    """The API server."""
    if node is None:
        return Kube(Path(os.environ["KUBECONFIG"].split(":")[0]), kubectl=shutil.which("kubectl") or "kubectl")
    return Kube(node.kubeconfig, kubectl=str(node.bin / "kubectl"), path=str(node.bin))


@pytest.fixture(scope="session")
def helm(kube: Kube, node: Cluster | None) -> Helm:
    """The release, installed anew: what an earlier session left is gone first."""
    binary = str(node.bin / "helm") if node is not None else "helm"
    release = Helm(kube, binary=binary, release=RELEASE, namespace=RELEASE, work=WORK)
    if not (KEEP and kube.read(f"/api/v1/namespaces/{RELEASE}")):
        release.clean()
    release.install()
    return release


@pytest.fixture(scope="session")
def operator(kube: Kube, helm: Helm) -> Operator:
    """The operator, ready."""
    found = Operator(kube, RELEASE)
    found.ready()
    return found


@pytest.fixture(scope="session")
def git(kube: Kube, helm: Helm) -> GitServer:
    """Git's http backend, in a namespace of its own."""
    kube.kubectl("create", "namespace", "servers", check=False)
    return GitServer(kube, "servers")


@pytest.fixture(scope="session")
def lab(kube: Kube, operator: Operator, git: GitServer, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The prepared namespace and the small repository; its branch `next` is a main that differs from head."""
    kube.kubectl("delete", "commits,datasets", "--all", "-n", WORK, "--wait=true")
    tiny = Tiny.create(tmp_path_factory.mktemp("tiny"))
    repository = tiny.repository
    repository.git("checkout", "--quiet", "-b", "next")
    main = repository.commit({"tinywork/__init__.py": source(8_000)}, "Work a little more")
    repository.git("checkout", "--quiet", "main")
    url = git.serve("tiny", repository.path)
    return Lab(kube=kube, namespace=WORK, release=RELEASE, git=git, tiny=tiny, url=url, main=main)


@pytest.fixture(scope="session")
def model(kube: Kube, git: GitServer, lab: Lab) -> ModelServer:
    """A model that answers with the small repository's test."""
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "model-key"},
        "stringData": {"key": "sk-canary-4711"},
    }
    kube.apply(secret, namespace=lab.namespace)
    return ModelServer(kube, "servers", {f"{lab.tiny.head[:8]}_test_case_generator.py": SCRIPT})


@pytest.fixture(scope="session")
def example_repositories() -> Path:
    """The repositories of examples/, built as `make demo` builds them."""
    folder = ROOT / "examples" / "repositories"
    subprocess.run(
        ["python", str(ROOT / "examples" / "make_repositories.py"), str(folder), "packaging"], check=True, cwd=ROOT
    )
    return folder


@pytest.fixture(scope="module")
def prometheus(
    node: Cluster | None, operator: Operator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[prometheus_server.Prometheus]:
    """A Prometheus that scrapes the operator."""
    assert node is not None, "it runs on the test cluster's node: unset KUBECONFIG"
    address = operator.ready()[0]["status"]["podIP"]
    with prometheus_server.running(node, tmp_path_factory.mktemp("prometheus"), target=f"{address}:9090") as server:
        yield server
