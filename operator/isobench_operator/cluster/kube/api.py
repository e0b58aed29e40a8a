"""One request to the API server: how many at once, for how long, and what a refusal means. Dicts in, raw JSON out.

A request is sent once. Trying again is the queue's, per key and with backoff; but a server that asks for time (429) gets it from
everybody.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Mapping
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import aiohttp
from kubernetes.aio.client import ApiClient, ApiException

from isobench_operator.cluster.ports import ClusterError, HeldBack, Json, Rejected

from .login import Login, LoginError

logger = logging.getLogger(__name__)
MANAGER = "isobench-operator"
CONCURRENCY = 32
SECONDS = 30.0
MOST_PAUSE_SECONDS = 30.0
_DENIED = re.compile(r"denied (the )?request")
"""How webhooks and policies end their refusals; a quota's or RBAC's are worded otherwise."""
MERGE, APPLY = "application/merge-patch+json", "application/apply-patch+yaml"


class Observer(Protocol):
    """Told of every answer; `code` is the HTTP status, or 0 where none came."""

    def request(self, *, verb: str, resource: str, code: int) -> None:
        """Count a request."""


class NotFound(ClusterError):  # noqa: N818 - named after the event, as the API server words it
    """There is no such object."""


class Conflict(ClusterError):  # noqa: N818
    """The object is there already, or it changed since it was read."""

    def __init__(self, message: str, *, exists: bool) -> None:
        super().__init__(message)
        self.exists = exists


class Expired(ClusterError):  # noqa: N818
    """The position in a list is too old; it has to be read from its beginning."""


class Api:
    """Requests over one client.

    Args:
        login: finds the server.
        concurrency: requests at once.
        seconds: how long one may take.
        observer: told of every answer.
    """

    def __init__(
        self, login: Login, *, concurrency: int = CONCURRENCY, seconds: float = SECONDS, observer: Observer | None = None
    ) -> None:  # fmt: skip
        self._login = login
        self._limit = asyncio.Semaphore(concurrency)
        self._timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(seconds, 10.0))
        self._observer = observer
        self._client: ApiClient | None = None
        self._opening = asyncio.Lock()
        self._resume_at = 0.0

    async def close(self) -> None:
        """Close every connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> Json:
        """Read."""
        return await self._request("GET", path, query)

    async def post(self, path: str, body: Json) -> Json:
        """Create."""
        return await self._request("POST", path, {"fieldManager": MANAGER}, body=body)

    async def merge(self, path: str, body: Json) -> Json:
        """Change some fields."""
        return await self._request("PATCH", path, {"fieldManager": MANAGER}, body=body, content_type=MERGE)

    async def apply(self, path: str, body: Json) -> Json:
        """Server-side apply, whoever else claims the fields."""
        return await self._request(
            "PATCH", path, {"fieldManager": MANAGER, "force": "true"}, body=body, content_type=APPLY
        )

    async def delete(self, path: str, preconditions: Json | None = None) -> Json:
        """Delete, and what it owns in the background.

        Args:
            preconditions: the UID and the resource version that it must still have.
        """
        options: Json = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if preconditions is not None:
            options["preconditions"] = preconditions
        return await self._request("DELETE", path, None, body=options)

    async def _open(self) -> ApiClient:
        async with self._opening:
            if self._client is None:
                try:
                    self._client = await self._login.client()
                except LoginError as error:
                    raise ClusterError(str(error)) from error
                self._client.user_agent = MANAGER
            return self._client

    async def _request(
        self,
        verb: str,
        path: str,
        query: Mapping[str, Any] | None,
        *,
        body: Json | None = None,
        content_type: str = "application/json",
    ) -> Json:
        async with self._limit:
            pause = self._resume_at - asyncio.get_running_loop().time()
            if pause > 0:
                await asyncio.sleep(pause)
            code, headers, raw = await self._send(verb, path, query, body=body, content_type=content_type)
        if self._observer is not None:
            self._observer.request(verb=verb, resource=resource_of(path), code=code)
        try:
            answer = json.loads(raw) if raw else {}
        except ValueError:
            answer = {"message": raw[:500].decode("utf-8", "replace")}
        if code < 300:
            return answer if isinstance(answer, dict) else {}
        if code == 401:
            await self.close()  # a token that was replaced is read again by the next request
        if code == 429:
            self._pause(headers.get("Retry-After"))
        raise refusal(verb, path, code, answer if isinstance(answer, dict) else {})

    async def _send(
        self, verb: str, path: str, query: Mapping[str, Any] | None, *, body: Json | None, content_type: str
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            client = await self._open()
            wanted = f"{path}?{urlencode(query)}" if query else path
            method, url, sent, _, _ = await client.param_serialize(
                method=verb,
                resource_path=wanted,
                header_params={"Accept": "application/json", "Content-Type": content_type},
                auth_settings=["BearerToken"],
            )
            answer = await client.call_api(method, url, sent, body=body, _request_timeout=self._timeout)
            raw: bytes = await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError, ApiException) as error:
            if self._observer is not None:
                self._observer.request(verb=verb, resource=resource_of(path), code=0)
            words = str(error) or type(error).__name__
            raise ClusterError(f"the API server did not answer {verb} {path}: {words}") from error
        return answer.status, answer.headers, raw

    def _pause(self, retry_after: str | None) -> None:
        try:
            seconds = float(retry_after or 1.0)
        except ValueError:
            seconds = 1.0
        seconds = min(MOST_PAUSE_SECONDS, max(0.1, seconds))
        logger.info("the API server asks for %.1f s without requests", seconds)
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)


def resource_of(path: str) -> str:
    """The resource of a path, with its subresource: a label with few values."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        parts = parts[2:]
    return "/".join([parts[0], *parts[2:3]]) if parts else "version"


def path_of(prefix: str, namespace: str | None, plural: str, *names: str) -> str:
    """A path below the API's root, its parts quoted."""
    parts = [prefix, *([] if namespace is None else ["namespaces", quote(namespace, safe="")]), plural]
    return "/".join([*parts, *(quote(name, safe="") for name in names)])


def refusal(verb: str, path: str, code: int, status: Json) -> ClusterError:
    """The error that an answer means.

    What no patience cures is Rejected; a quota, or rights that somebody has to give, is HeldBack; the rest is tried again.
    """
    reason, message = str(status.get("reason") or ""), str(status.get("message") or f"HTTP {code} without a word")
    words = f"{verb} {path}: {message}"
    creating = verb == "POST"
    match code:
        case 404:
            return NotFound(words)
        case 409:
            return Conflict(words, exists=reason == "AlreadyExists")
        case 410:
            return Expired(words)
        case 400 | 413 | 422 if creating:
            return Rejected(message)
        case 403 if creating and _DENIED.search(message):
            return Rejected(message)
        case 403 if creating and _terminating(status):
            return ClusterError(words)
        case 403 if creating:
            return HeldBack(message)
        case _:
            return ClusterError(words)


def _terminating(status: Json) -> bool:
    causes = (status.get("details") or {}).get("causes") or ()
    return any(cause.get("reason") == "NamespaceTerminating" for cause in causes)
