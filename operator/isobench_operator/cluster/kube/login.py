"""Where the API server is and who we are there: the pod's service account, or a kubeconfig. One login for our requests and for Kopf's."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from isobench_operator.errors import IsobenchError


class LoginError(IsobenchError):
    """No cluster can be found, or the kubeconfig cannot be used: a matter for whoever started this process."""


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What a client of another make needs to connect to the same server as the same user."""

    server: str
    authorization: str | None
    ca_path: str | None
    certificate_path: str | None
    key_path: str | None
    insecure: bool
    proxy: str | None


class Login:
    """Finds the API server.

    Args:
        kubeconfig: a file; None takes the pod's service account, and outside a pod KUBECONFIG or ~/.kube/config.
    """

    def __init__(self, kubeconfig: Path | None = None) -> None:
        self._kubeconfig = kubeconfig

    async def configuration(self) -> Configuration:
        """The configuration of a client; tokens of a service account are read again as they are replaced.

        Raises:
            LoginError: there is no cluster to talk to, or what describes it cannot be read.
        """
        found = Configuration()
        found.retries = None  # 0 would retry all the same
        if self._kubeconfig is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
            try:
                config.load_incluster_config(client_configuration=found)
            except config.ConfigException as error:
                raise LoginError(f"this pod has no usable service account: {error}; set automountServiceAccountToken: true") from error  # fmt: skip
            return found
        path = self._kubeconfig or _default_kubeconfig()
        if not path.exists():
            raise LoginError(f"{path}: no such kubeconfig; set KUBECONFIG or pass --kubeconfig")
        try:
            await config.load_kube_config(str(path), client_configuration=found, persist_config=False)
        except (config.ConfigException, OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise LoginError(f"{path}: {error}; check it with `kubectl --kubeconfig {path} version`") from error
        return found

    async def client(self) -> ApiClient:
        """A client of its own."""
        return ApiClient(await self.configuration())

    async def credentials(self) -> Credentials:
        """The same login for another client, as it stands now."""
        found = await self.configuration()
        token = (await found.auth_settings()).get("BearerToken")
        return Credentials(
            server=found.host,
            authorization=token["value"] if token else None,
            ca_path=found.ssl_ca_cert,
            certificate_path=found.cert_file,
            key_path=found.key_file,
            insecure=not found.verify_ssl,
            proxy=found.proxy,
        )


def _default_kubeconfig() -> Path:
    # Of several files kubectl merges, the first holds the current context in practice; merging is kubectl's.
    named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
    return Path(named) if named else Path.home() / ".kube" / "config"
