"""Custom resources as the API server has them, read with the pod's own token: the one thing that a pod of ours asks of it.

Standard library alone: a client of Kubernetes would be most of the image, for one kind of request.
"""

from __future__ import annotations

import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from .contract import Reason, StageError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
PAGE = 500
ATTEMPTS = 8
MOST_PAUSE = 30.0
SECONDS = 60.0


class ExpiredError(Exception):
    """The position in a list is too old: it has to be read from its beginning."""


@dataclass(frozen=True, kw_only=True)
class ApiServer:
    """Where the API server is and who we are there.

    Attributes:
        folder: with `token`, which is read anew each time because it is replaced, `ca.crt` and `namespace`.
        sleep: waits between two attempts.
    """

    url: str
    folder: Path = SERVICE_ACCOUNT
    sleep: Callable[[float], None] = time.sleep

    @classmethod
    def of_this_pod(cls) -> ApiServer:
        """As the kubelet says.

        Raises:
            StageError: ApiServerUnavailable, where this is no pod.
        """
        host, port = os.environ.get("KUBERNETES_SERVICE_HOST"), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            raise StageError(Reason.API_SERVER_UNAVAILABLE, "KUBERNETES_SERVICE_HOST is not set: this is no pod")
        return cls(url=f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}")

    def commits(self, labels: Sequence[tuple[str, str]], *, page: int = PAGE) -> Iterator[list[dict[str, Any]]]:
        """The Commits of the pod's namespace that carry the labels, a page at a time.

        Raises:
            ExpiredError: what was read so far is to be forgotten.
            StageError: ApiServerUnavailable.
        """
        namespace = self._read("namespace")
        path = f"{self.url}/apis/isobench.dev/v1alpha1/namespaces/{namespace}/commits"
        query: dict[str, str] = {"limit": str(page)}
        if labels:
            query["labelSelector"] = ",".join(f"{name}={value}" for name, value in labels)
        while True:
            body = self._get(f"{path}?{urlencode(query)}")
            yield body["items"]
            position = body["metadata"].get("continue")
            if not position:
                return
            query["continue"] = position

    def _read(self, name: str) -> str:
        try:
            return (self.folder / name).read_text().strip()
        except OSError as error:
            words = f"{error.filename} cannot be read: {error.strerror}"
            raise StageError(Reason.API_SERVER_UNAVAILABLE, words) from error

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self._read("ca.crt"))
        # Python 3.13 asks for extensions that the certificates of many clusters lack, and that clients of Kubernetes never asked for.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def _get(self, url: str) -> dict[str, Any]:
        words = ""
        for attempt in range(ATTEMPTS):
            pause = min(MOST_PAUSE, 0.5 * 2.0**attempt)
            headers = {"Authorization": f"Bearer {self._read('token')}", "Accept": "application/json"}
            try:
                # No proxy stands between a pod and its API server, whatever the variables for the outside say.
                https = urllib.request.HTTPSHandler(context=self._context())
                opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), https)
                request = urllib.request.Request(url, headers=headers)  # noqa: S310 - https, from the kubelet
                with opener.open(request, timeout=SECONDS) as answer:
                    body = json.load(answer)
                if isinstance(body, dict) and isinstance(body.get("items"), list):
                    return {"metadata": {}, **body}
                words = "the answer is no list"
            except urllib.error.HTTPError as error:
                words = _words(error)
                if error.code == HTTPStatus.GONE:
                    raise ExpiredError(words) from error
                if error.code < 500 and error.code not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.REQUEST_TIMEOUT):
                    break
                pause = _retry_after(error, pause)
            except (OSError, ValueError, HTTPException) as error:
                words = f"{type(error).__name__}: {error}"
            if attempt + 1 < ATTEMPTS:
                self.sleep(pause)
        raise StageError(Reason.API_SERVER_UNAVAILABLE, f"GET {url}: {words}")


def _words(error: urllib.error.HTTPError) -> str:
    raw = error.read(10_000)
    try:
        return f"{error.code}: {json.loads(raw)['message']}"
    except (ValueError, KeyError, TypeError):
        return f"{error.code}: {raw[:300].decode('utf-8', 'replace')}"


def _retry_after(error: urllib.error.HTTPError, pause: float) -> float:
    try:
        return min(MOST_PAUSE, max(0.0, float(error.headers["Retry-After"])))
    except (TypeError, ValueError):
        return pause
