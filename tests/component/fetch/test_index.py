"""The seed wheel comes from the user's own index, whatever way that is configured, and is never another file."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench_runner.contract import Reason, StageError
from isobench_runner.stages.fetching import index

WHEEL = b"the wheel"


class FakeIndex(http.server.BaseHTTPRequestHandler):
    """A simple index of one project, in JSON, with relative file URLs."""

    sent: bytes = WHEEL

    def do_GET(self) -> None:
        page = {"files": [{"filename": index.SEED_WHEEL, "url": f"../../files/{index.SEED_WHEEL}"}]}
        known = {"/simple/pip/": json.dumps(page).encode(), f"/files/{index.SEED_WHEEL}": self.sent}
        body = known.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Type", "application/vnd.pypi.simple.v1+json")
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(index, "SEED_SHA256", hashlib.sha256(WHEEL).hexdigest())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), FakeIndex) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/simple"
        running.shutdown()


def test_it_is_downloaded_once(server: str, tmp_path: Path) -> None:
    place = index.seed_wheel(tmp_path, index.Index(server, None))
    assert place.read_bytes() == WHEEL
    assert index.seed_wheel(tmp_path, index.Index("http://127.0.0.1:1", None)) == place


def test_a_damaged_copy_is_replaced(server: str, tmp_path: Path) -> None:
    place = index.seed_wheel(tmp_path, index.Index(server, None))
    place.write_bytes(b"half")
    assert index.seed_wheel(tmp_path, index.Index(server, None)).read_bytes() == WHEEL


def test_another_file_under_its_name_is_refused(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeIndex, "sent", b"forged")
    with pytest.raises(StageError, match="another file") as failure:
        index.seed_wheel(tmp_path, index.Index(server, None))
    assert failure.value.reason is Reason.INDEX_UNREACHABLE
    assert not (tmp_path / "wheels" / index.SEED_WHEEL).exists()


def test_an_index_without_it_is_said(server: str, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="not found"):
        index.seed_wheel(tmp_path, index.Index(f"{server}/elsewhere", None))


def test_the_user_s_index_is_read_as_pip_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_CERT", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    config = tmp_path / "pip.conf"
    config.write_text(
        f"[global]\nindex-url = https://in.house/simple/\ncert = /ca.pem\n[install]\nfind_links = {tmp_path} /none\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    assert index.user_index() == index.Index("https://in.house/simple", "/ca.pem", (tmp_path,))
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv.house/simple")
    assert index.user_index().url == "https://uv.house/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://pip.house/simple")
    assert index.user_index().url == "https://pip.house/simple"
    config.write_text("no section\n")
    assert index.user_index().url == "https://pip.house/simple"
