"""`list` against a real API server, and against a server whose troubles are told."""

from __future__ import annotations

import importlib
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from isobench_runner.api_server import ATTEMPTS, ApiServer
from isobench_runner.contract import Reason, StageError
from support import apiserver
from support.builders import commit

listing = importlib.import_module("isobench_runner.stages.list")


def account(folder: Path, *, namespace: str, token: str = "t", ca: str = "") -> Path:
    """A service account's folder, as the kubelet projects it."""
    folder.mkdir(exist_ok=True)
    for name, text in (("namespace", namespace), ("token", token), ("ca.crt", ca)):
        (folder / name).write_text(text)
    return folder


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.apiserver
@pytest.mark.slow
@pytest.mark.xdist_group("apiserver")
def test_it_lists_the_commits_of_its_namespace_by_pages(server: apiserver.ApiServer, tmp_path: Path) -> None:
    for namespace in ("listed", "other"):
        server.namespace(namespace)
        found = [commit(f"c{number}", namespace=namespace, labels={"suite": f"s{number % 2}"}) for number in range(7)]
        for one in found:
            del one["metadata"]["uid"], one["metadata"]["generation"]
        server.ok("create", "-f", "-", stdin=found)
    server.ok("create", "serviceaccount", "isobench-collect", "-n", "listed")
    server.ok("create", "role", "r", "-n", "listed", "--verb=get,list", "--resource=commits.isobench.dev")
    server.ok("create", "rolebinding", "r", "-n", "listed", "--role=r", "--serviceaccount=listed:isobench-collect")
    token = server.ok("create", "token", "isobench-collect", "-n", "listed").strip()
    folder = account(tmp_path / "account", namespace="listed", token=token, ca=server.ca.read_text())
    here = ApiServer(url=f"https://127.0.0.1:{server.port}", folder=folder)
    output = tmp_path / "commits.jsonl"
    listing.from_api_server(here, (("suite", "s0"),), output, page=2)
    assert [one["metadata"]["name"] for one in read(output)] == ["c0", "c2", "c4", "c6"]
    assert {one["metadata"]["namespace"] for one in read(output)} == {"listed"}
    assert all("managedFields" not in one["metadata"] and one["spec"] for one in read(output))
    account(tmp_path / "account", namespace="other", token=token, ca=server.ca.read_text())
    with pytest.raises(StageError, match=r"403: .*cannot list resource") as refused:
        listing.from_api_server(here, (), output)
    assert refused.value.reason is Reason.API_SERVER_UNAVAILABLE


Answer = tuple[int, dict[str, str], Any]


@contextmanager
def troubled(troubles: list[Answer], total: int) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that speaks paging over so many Commits, and whose first answers are these troubles."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
            seen.append(query)
            start, limit = int(query.get("continue", "0")), int(query["limit"])
            items = [{"metadata": {"name": f"c{number}"}} for number in range(start, min(total, start + limit))]
            position = {"continue": str(start + limit)} if start + limit < total else {}
            code, headers, body = 200, {}, {"metadata": position, "items": items}
            if troubles and (not troubles[0][1].get("X-At") or troubles[0][1]["X-At"] == str(start)):
                code, headers, body = troubles.pop(0)
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *arguments: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], tuple[ApiServer, list[float]]]:
    # A proxy for the world outside must not be asked for the API server.
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setattr(ApiServer, "_context", lambda _self: None)

    def make(url: str) -> tuple[ApiServer, list[float]]:
        slept: list[float] = []
        return ApiServer(url=url, folder=account(tmp_path / "account", namespace="n"), sleep=slept.append), slept

    return make


BUSY: Answer = (429, {"Retry-After": "7"}, {"message": "too many requests"})
DOWN: Answer = (503, {}, {"message": "etcd is away"})
TORN: Answer = (200, {}, "half an answer")


def test_a_server_that_is_busy_or_down_is_asked_again(here: Any, tmp_path: Path) -> None:
    with troubled([BUSY, DOWN, TORN], 7) as (url, _):
        server, slept = here(url)
        listing.from_api_server(server, (), tmp_path / "found", page=3)
    assert len(read(tmp_path / "found")) == 7
    assert slept == [7.0, 1.0, 2.0]


def test_a_list_that_expires_half_way_is_read_from_its_beginning(here: Any, tmp_path: Path) -> None:
    expired: Answer = (410, {"X-At": "3"}, {"message": "the continue parameter is too old"})
    with troubled([expired], 7) as (url, seen):
        listing.from_api_server(here(url)[0], (("a", "b"), ("c", "d")), tmp_path / "found", page=3)
    assert [one["metadata"]["name"] for one in read(tmp_path / "found")] == [f"c{number}" for number in range(7)]
    assert [query.get("continue") for query in seen] == [None, "3", None, "3", "6"]
    assert {query["labelSelector"] for query in seen} == {"a=b,c=d"}


@pytest.mark.parametrize(
    ("troubles", "words"),
    [
        ([DOWN] * ATTEMPTS, "503: etcd is away"),
        ([(403, {}, {"message": "no"})], "403: no"),
        ([(410, {}, {"message": "too old"})] * 10, "expired 5 times"),
    ],
)
def test_what_no_patience_cures_is_told(troubles: list[Answer], words: str, here: Any, tmp_path: Path) -> None:
    with troubled(list(troubles), 7) as (url, _), pytest.raises(StageError, match=words) as told:
        listing.from_api_server(here(url)[0], (), tmp_path / "found")
    assert told.value.reason is Reason.API_SERVER_UNAVAILABLE


def test_outside_of_a_pod_there_is_no_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(StageError, match="this is no pod"):
        ApiServer.of_this_pod()
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    assert ApiServer.of_this_pod().url == "https://[fd00::1]:443"
    with pytest.raises(StageError, match="namespace cannot be read"):
        next(ApiServer(url="https://localhost", folder=tmp_path).commits(()))
