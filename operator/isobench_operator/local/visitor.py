"""A user on a cluster: resources as they are there, blobs through a pod that sees the store, logs of pods that run.

Everything happens with the rights of the user's own kubeconfig; the operator has no part in it.
"""

from __future__ import annotations

import json
import secrets
import tarfile
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobench_operator.cluster.kube import Api, KubeCluster
from isobench_operator.cluster.kube_pods import UserLogin, execute, visiting
from isobench_operator.cluster.ports import ClusterError, Key
from isobench_operator.core.naming import GROUP
from isobench_operator.core.settings import PodSettings
from isobench_operator.core.visits import visit
from isobench_operator.settings import client_settings
from isobench_runner.store import Store
from isobench_runner.visiting import MISSING

from .pulling import PullError

Json = dict[str, Any]
CONFIG_MAP, CONFIG_KEY = "isobench", "config.yaml"
POD_SECONDS = 3600
AT_ONCE = 60
"""Digests of one request: they travel in its URL."""


@dataclass(frozen=True)
class Visitor:
    """A connection to a namespace."""

    api: Api
    login: UserLogin
    namespace: str

    async def get(self, kind: str, name: str) -> Json:
        """A custom resource.

        Raises:
            ClusterError: the API server does not answer, or does not allow it.
            PullError: there is none of that name.
        """
        found = await KubeCluster(self.api).get(Key(kind, self.namespace, name))
        if found is None:
            words = (
                f"there is no {kind} {name} in namespace {self.namespace}; `kubectl get {kind.lower()}s -A` lists them"
            )
            raise PullError(words)
        return found

    async def all_of(self, kind: str) -> list[Json]:
        """Every custom resource of a kind, in every namespace.

        Raises:
            ClusterError: the API server does not answer, or does not allow it.
        """
        return [one async for page in KubeCluster(self.api).pages(kind) for one in page]

    async def kinds(self) -> set[str]:
        """The kinds of our group that the API server knows."""
        group = await self.api.get(f"/apis/{GROUP}")
        pages = [await self.api.get(f"/apis/{one['groupVersion']}") for one in group.get("versions") or ()]
        return {
            str(one["kind"]) for page in pages for one in page.get("resources") or () if "/" not in str(one["name"])
        }

    async def settings(self) -> PodSettings:
        """How pods are made here: what the chart left in the namespace."""
        path = f"/api/v1/namespaces/{self.namespace}/configmaps/{CONFIG_MAP}"
        try:
            found = await self.api.get(path)
        except ClusterError as error:
            words = f"{error}; the chart leaves ConfigMap {CONFIG_MAP} in each of its workNamespaces"
            raise ClusterError(words) from error
        return client_settings(str((found.get("data") or {}).get(CONFIG_KEY) or ""))

    @asynccontextmanager
    async def store(self, *, write: bool = False) -> AsyncIterator[StorePod]:
        """A pod that sees the store of the namespace, while the block runs."""
        name = f"isobench-store-{secrets.token_hex(4)}"
        manifest = visit(await self.settings(), namespace=self.namespace, name=name, seconds=POD_SECONDS, write=write)
        async with visiting(self.api, manifest):
            yield StorePod(self, name)


@dataclass(frozen=True)
class StorePod:
    """A pod that sees the store."""

    visitor: Visitor
    name: str

    async def run(self, *arguments: str, stdin: bytes = b"", output: Any) -> str:
        """`python -m isobench_runner.visiting …` in the pod; returns what it said on stderr."""
        command = ["python", "-m", "isobench_runner.visiting", *arguments]
        return await execute(self.visitor.login, self.visitor.namespace, self.name, command, output=output, stdin=stdin)

    async def resolve(self, names: Sequence[str]) -> dict[str, str]:
        """The digests that names of the store mean; those that mean none are left out.

        Raises:
            ClusterError: the store does not answer.
        """
        with tempfile.TemporaryFile() as spool:
            await self.run("resolve", *names, output=spool)
            spool.seek(0)
            return {name: digest for name, digest in json.loads(spool.read()).items() if digest is not None}

    async def ask(self, command: str, request: Mapping[str, Any]) -> Json:
        """Ask for what takes more words than a URL holds; returns the answer.

        Raises:
            ClusterError: the store does not answer, or refuses; with its words.
        """
        body = json.dumps(request).encode()
        with tempfile.TemporaryFile() as spool:
            await self.run(command, stdin=b"%d\n%s" % (len(body), body), output=spool)
            spool.seek(0)
            found: Json = json.loads(spool.read())
            return found

    async def bring(self, digests: Iterable[str], store: Store) -> None:
        """Have these blobs in a store on this machine; each is proved there."""
        wanted = sorted({digest for digest in digests if not store.has(digest)})
        for start in range(0, len(wanted), AT_ONCE):
            with tempfile.TemporaryFile() as spool:
                await self.run("pack", *wanted[start : start + AT_ONCE], output=spool)
                spool.seek(0)
                _unpack(spool, wanted, store)


def _unpack(spool: Any, wanted: list[str], store: Store) -> None:
    """Take a pod's tar apart; nothing is written under a name that it chose.

    Raises:
        PullError: what came is not what was asked for.
    """
    with tempfile.TemporaryDirectory(prefix="isobench-pull-") as scratch, tarfile.open(fileobj=spool, mode="r|") as tar:
        for entry in tar:
            content = tar.extractfile(entry)
            if entry.name.startswith(MISSING) or content is None:
                continue
            path = Path(scratch) / "blob"
            with path.open("wb") as file:
                while block := content.read(1 << 20):
                    file.write(block)
            if entry.name not in wanted or store.put_file(path) != entry.name:
                raise PullError(f"the store gave something else than {entry.name}")


@asynccontextmanager
async def connect(kubeconfig: Path | None, context: str | None, namespace: str | None) -> AsyncIterator[Visitor]:
    """A connection for the time of the block."""
    login = UserLogin(kubeconfig, context)
    api = Api(login)
    try:
        yield Visitor(api, login, namespace or login.namespace())
    finally:
        await api.close()
