"""One API server for all tests of this folder, with the CRDs and with the rights that the chart gives; a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from isobench_operator.cluster.kube import Api, KubeCluster, Login
from support.apiserver import ApiServer, running
from support.operators import ROOT, rights, until


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of them in one process, for they share a server."""
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.apiserver)
            item.add_marker(pytest.mark.slow)
            item.add_marker(pytest.mark.xdist_group("apiserver"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """etcd and kube-apiserver."""
    with running(tmp_path_factory.mktemp("apiserver")) as found:
        yield found


@pytest.fixture
async def admin(server: ApiServer) -> AsyncIterator[Api]:
    """Requests by one who may do everything."""
    api = Api(Login(server.kubeconfig))
    yield api
    await api.close()


@pytest.fixture
async def kinds(admin: Api) -> None:
    """Our CRDs, served, and the operator's rights."""
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for path in sorted((ROOT / "crds").glob("*.yaml")):
        body = yaml.safe_load(path.read_text())
        await admin.apply(f"{crds}/{body['metadata']['name']}", body)
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    role: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "operator"},
        "rules": rights(),
    }
    await admin.apply(f"{rbac}/clusterroles/operator", role)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "operator"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "operator"},
        "subjects": [{"kind": "User", "name": "operator", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    await admin.apply(f"{rbac}/clusterrolebindings/operator", binding)

    async def served() -> bool:
        await admin.get("/apis/isobench.dev/v1alpha1/commits", {"limit": 1})
        await admin.get("/apis/isobench.dev/v1alpha1/datasets", {"limit": 1})
        return True

    await until("the kinds are served", served)


@pytest.fixture
async def namespace(admin: Api, kinds: None) -> str:
    """A namespace of the test's own."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    await admin.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for account in ("isobench-run", "isobench-collect"):
        await admin.post(f"/api/v1/namespaces/{name}/serviceaccounts", {"metadata": {"name": account}})
    return name


@pytest.fixture
async def cluster(server: ApiServer, kinds: None) -> AsyncIterator[KubeCluster]:
    """The operator's own view, with no more rights than the chart gives."""
    found = KubeCluster(Api(Login(server.kubeconfig_of("operator"))))
    yield found
    await found.close()
