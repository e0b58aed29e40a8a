"""Pods as people use them: one that is made, asked and deleted; and the logs of those that run. With the user's own rights.

Nothing of the operator goes through here; it creates Jobs, and never talks to a container.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote, urlencode

import aiohttp
import yaml
from kubernetes.aio import config
from kubernetes.aio.client import ApiException, Configuration
from kubernetes.aio.stream import WsApiClient
from kubernetes.aio.stream.ws_client import ERROR_CHANNEL, STDERR_CHANNEL, STDIN_CHANNEL, STDOUT_CHANNEL

from isobench_operator.cluster.kube import Api, Login, LoginError
from isobench_operator.cluster.ports import ClusterError, Json

START_SECONDS = 300.0
POLL_SECONDS = 0.5
CHUNK = 32 * 1024
_HOPELESS = ("ErrImageNeverPull", "InvalidImageName", "CreateContainerConfigError", "CreateContainerError")


class UserLogin(Login):
    """The login of whoever types a command: a context of a kubeconfig.

    Args:
        kubeconfig: None takes KUBECONFIG or ~/.kube/config, or where there is none the pod's service account.
        context: None takes the current one.
    """

    def __init__(self, kubeconfig: Path | None = None, context: str | None = None) -> None:
        super().__init__(kubeconfig)
        named = os.environ.get("KUBECONFIG", "").split(os.pathsep)[0]
        self._path = kubeconfig or (Path(named) if named else Path.home() / ".kube" / "config")
        self._context = context

    async def configuration(self) -> Configuration:
        """The configuration of a client.

        Raises:
            LoginError: there is no cluster to talk to, or what describes it cannot be read.
        """
        if self._context is None and not self._path.exists():
            return await super().configuration()
        found = Configuration()
        found.retries = 0
        try:
            await config.load_kube_config(
                str(self._path), context=self._context, client_configuration=found, persist_config=False
            )
        except (config.ConfigException, OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise LoginError(f"{self._path}: {error}; `kubectl config get-contexts` lists what there is") from error
        return found

    def namespace(self) -> str:
        """The context's namespace.

        Raises:
            LoginError: the kubeconfig has no such context.
        """
        if not self._path.exists():
            return "default"
        try:
            contexts, current = config.list_kube_config_contexts(str(self._path))
        except (config.ConfigException, OSError, yaml.YAMLError) as error:
            raise LoginError(f"{self._path}: {error}") from error
        chosen = next((one for one in contexts if one["name"] == self._context), None) if self._context else current
        if chosen is None:
            raise LoginError(f"{self._path} has no context {self._context!r}")
        return str(chosen["context"].get("namespace") or "default")


def _path(namespace: str, *names: str) -> str:
    parts = [quote(name, safe="") for name in names]
    return "/".join(["/api/v1/namespaces", quote(namespace, safe=""), "pods", *parts])


@asynccontextmanager
async def visiting(api: Api, manifest: Json, *, seconds: float = START_SECONDS) -> AsyncIterator[None]:
    """A pod that runs while the block does, and is deleted at its end whatever ends it.

    Raises:
        ClusterError: it was refused, or did not start in time; says why.
    """
    namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
    await api.post(_path(namespace), manifest)
    try:
        async with asyncio.timeout(seconds):
            await _running(api, namespace, name)
        yield
    except TimeoutError as error:
        found = await api.get(_path(namespace, name))
        raise ClusterError(f"pod {name} did not start within {seconds:.0f} s: {_standing(found)}") from error
    finally:
        await asyncio.shield(_delete(api, namespace, name))


async def _delete(api: Api, namespace: str, name: str) -> None:
    try:
        await api.delete(_path(namespace, name))
    except ClusterError:
        return  # its own deadline ends it


async def _running(api: Api, namespace: str, name: str) -> None:
    while True:
        pod = await api.get(_path(namespace, name))
        status = pod.get("status") or {}
        if status.get("phase") == "Running":
            return
        if status.get("phase") in ("Succeeded", "Failed") or _waiting(pod)[0] in _HOPELESS:
            raise ClusterError(f"pod {name} did not start: {_standing(pod)}")
        await asyncio.sleep(POLL_SECONDS)


def _waiting(pod: Json) -> tuple[str, str]:
    for container in (pod.get("status") or {}).get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting:
            return str(waiting.get("reason") or ""), str(waiting.get("message") or "")
    return "", ""


def _standing(pod: Json) -> str:
    """Where a pod stands, in the cluster's words."""
    status = pod.get("status") or {}
    unmet = [one for one in status.get("conditions") or () if one.get("status") == "False" and one.get("message")]
    words = [status.get("reason"), status.get("message"), *_waiting(pod), *(one["message"] for one in unmet)]
    return ": ".join(str(word) for word in words if word) or f"it is {status.get('phase', 'Pending')}"


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


async def execute(
    login: Login, namespace: str, name: str, command: Sequence[str], *, output: BinaryIO, stdin: bytes = b""
) -> str:
    """Run a command in a pod's container; its stdout goes to `output`, what it says on stderr is returned.

    Args:
        stdin: sent as it is; the protocol has no end of file, so the command has to know when it has all.

    Raises:
        ClusterError: it could not be started, was cut off, or failed; with its last words.
    """
    query = [("command", word) for word in command]
    query += [("stdin", "true" if stdin else "false"), ("stdout", "true"), ("stderr", "true")]
    said, ended = bytearray(), None
    client = WsApiClient(await login.configuration())
    try:
        _, url, headers, _, _ = await client.param_serialize(
            method="GET", resource_path=f"{_path(namespace, name, 'exec')}?{urlencode(query)}", auth_settings=["BearerToken"]
        )  # fmt: skip
        socket = await client.request("GET", url, headers=headers, _preload_content=False)
        async with socket as connection:
            for start in range(0, len(stdin), CHUNK):
                await connection.send_bytes(bytes([STDIN_CHANNEL]) + stdin[start : start + CHUNK])
            async for message in connection:
                if message.type is not aiohttp.WSMsgType.BINARY or not message.data:
                    continue
                channel, data = message.data[0], message.data[1:]
                if channel == STDOUT_CHANNEL:
                    output.write(data)
                elif channel == STDERR_CHANNEL:
                    said += data
                elif channel == ERROR_CHANNEL:
                    ended = json.loads(data)
    except (aiohttp.ClientError, OSError, TimeoutError, ApiException, ValueError) as error:
        raise ClusterError(f"exec in pod {name}: {_words(error)}") from error
    finally:
        await client.close()
    words = said.decode("utf-8", "replace").strip()
    if ended is None:
        raise ClusterError(f"exec in pod {name} was cut off; {words[-500:]}")
    if ended.get("status") != "Success":
        raise ClusterError(f"pod {name}: {ended.get('message')}; {words[-1000:]}")
    return words


async def pods_of(api: Api, namespace: str, selector: str) -> list[Json]:
    """The pods with these labels, oldest first."""
    found = await api.get(_path(namespace), {"labelSelector": selector})
    return sorted(found.get("items") or (), key=lambda pod: str(pod["metadata"].get("creationTimestamp")))


def container_states(pod: Json) -> list[tuple[str, str]]:
    """Each container in the order in which they run, with waiting, running or terminated."""
    status = pod.get("status") or {}
    known = {
        one["name"]: next(iter(one.get("state") or {"waiting": {}}))
        for group in ("initContainerStatuses", "containerStatuses")
        for one in status.get(group) or ()
    }
    names = [one["name"] for group in ("initContainers", "containers") for one in pod["spec"].get(group) or ()]
    return [(name, known.get(name, "waiting")) for name in names]


async def log_of(login: Login, namespace: str, name: str, container: str, *, follow: bool) -> AsyncIterator[bytes]:
    """What a container has said, and with `follow` what it says until it ends.

    Raises:
        ClusterError: it cannot be read.
    """
    client = await login.client()
    query: dict[str, Any] = {"container": container, "follow": "true" if follow else "false"}
    try:
        method, url, headers, _, _ = await client.param_serialize(
            method="GET", resource_path=f"{_path(namespace, name, 'log')}?{urlencode(query)}", auth_settings=["BearerToken"]
        )  # fmt: skip
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30.0)
        answer = await client.call_api(method, url, headers, _request_timeout=timeout)
        if answer.status >= 300:
            raise ClusterError(
                f"the log of {name}/{container}: {(await answer.read())[:300].decode('utf-8', 'replace')}"
            )
        async for data in answer.response.content.iter_any():
            yield data
    except (aiohttp.ClientError, OSError, TimeoutError, ApiException) as error:
        raise ClusterError(f"the log of {name}/{container}: {_words(error)}") from error
    finally:
        await client.close()
