"""A package index on loopback that speaks PEP 691 with upload times, and the tiny real wheels and sdists that it serves."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

JSON_TYPE = "application/vnd.pypi.simple.v1+json"
LONG_AGO = "2016-01-01T00:00:00Z"


@dataclass(frozen=True)
class Distribution:
    """A file of a project.

    Attributes:
        uploaded: ISO time, or None for an index that tells no times.
    """

    project: str
    filename: str
    content: bytes
    uploaded: str | None = LONG_AGO
    requires_python: str | None = None
    yanked: bool | str = False

    @property
    def sha256(self) -> str:
        """Hex digest of the file."""
        return hashlib.sha256(self.content).hexdigest()


def wheel(
    name: str, version: str, *, files: dict[str, str] | None = None, requires: tuple[str, ...] = (), **facts: Any
) -> Distribution:
    """A wheel for every Python: the modules in `files`, by default one that holds its version."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    content = {
        **(files if files is not None else {f"{module}.py": f"__version__ = {version!r}\n"}),
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        + "".join(f"Requires-Dist: {requirement}\n" for requirement in requires),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for path, text in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text.encode())}\n")
    content[f"{info}/RECORD"] = "".join(rows) + f"{info}/RECORD,,\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    return Distribution(name, f"{module}-{version}-py3-none-any.whl", buffer.getvalue(), **facts)


def sdist(name: str, version: str, files: dict[str, str], **facts: Any) -> Distribution:
    """A source archive of the files given."""
    buffer = io.BytesIO()
    folder = f"{name}-{version}"
    content = {"PKG-INFO": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", **files}
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, text in content.items():
            entry = tarfile.TarInfo(f"{folder}/{path}")
            entry.size = len(text.encode())
            archive.addfile(entry, io.BytesIO(text.encode()))
    return Distribution(name, f"{folder}.tar.gz", buffer.getvalue(), **facts)


SEEDS = (wheel("setuptools", "40.8.0"), wheel("wheel", "0.30.0"))
"""What environments below Python 3.12 are seeded with; named so that pip is satisfied, empty of all behaviour."""


class FakeIndex:
    """The index as a context manager; `url` is its simple page, `asked` every path in order.

    Args:
        files: what it holds.
        broken: projects that it answers 503 for.
        only_html: whether it is an old index that knows no JSON.
    """

    def __init__(self, *files: Distribution, broken: frozenset[str] = frozenset(), only_html: bool = False) -> None:
        self.files = files
        self.asked: list[str] = []
        index = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                index.asked.append(self.path)
                _, kind, name = self.path.split("/")[:3]
                if kind == "files":
                    content = next((file.content for file in index.files if file.filename == name), None)
                    self._answer(404 if content is None else 200, "application/octet-stream", content or b"")
                    return
                held = [file for file in index.files if file.project == name]
                if name in broken:
                    self._answer(503, "text/plain", b"busy")
                elif not held:
                    self._answer(404, "text/plain", b"no such project")
                elif only_html:
                    self._answer(200, "text/html", b"<a href='x'>x</a>")
                else:
                    self._answer(200, JSON_TYPE, json.dumps(index.page(name, held)).encode())

            def _answer(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/simple"

    @staticmethod
    def page(name: str, held: list[Distribution]) -> dict[str, Any]:
        """A project's page (PEP 691, with the upload times of PEP 700); file addresses are relative, as some indexes have them."""
        files = []
        for file in held:
            entry: dict[str, Any] = {"filename": file.filename, "url": f"../../files/{file.filename}", "hashes": {"sha256": file.sha256}, "yanked": file.yanked}  # fmt: skip
            if file.uploaded is not None:
                entry["upload-time"] = file.uploaded
            if file.requires_python is not None:
                entry["requires-python"] = file.requires_python
            files.append(entry)
        return {"meta": {"api-version": "1.1"}, "name": name, "files": files, "versions": ["0"]}

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
