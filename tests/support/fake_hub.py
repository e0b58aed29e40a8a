"""A fake of the Hugging Face Hub: repositories in memory, over the HTTP API that huggingface_hub's client speaks.

A commit is a dict of files; LFS objects are taken by the basic transfer. What a client may do is decided by its token: `writer` may
write, `reader` may read, anything else is nobody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

WRITER, READER = "hf_writer", "hf_reader"
Json = dict[str, Any]
Files = dict[str, bytes]


def git_oid(content: bytes) -> str:
    """The id that git gives a blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def sha256(content: bytes) -> str:
    """The id that LFS gives it."""
    return hashlib.sha256(content).hexdigest()


def is_lfs(path: str) -> bool:
    """Whether the Hub keeps such a file in LFS."""
    return path.endswith((".parquet", ".arrow"))


@dataclass
class Repository:
    """A dataset repository: its commits, oldest first, each with all of its files."""

    private: bool = False
    commits: list[tuple[str, str, Files]] = field(default_factory=list)

    def commit(self, files: Files, message: str) -> str:
        """Add a commit; returns its revision."""
        text = json.dumps([len(self.commits), message, sorted((name, sha256(body)) for name, body in files.items())])
        revision = hashlib.sha1(text.encode()).hexdigest()
        self.commits.append((revision, message, dict(files)))
        return revision

    def at(self, revision: str) -> tuple[str, Files] | None:
        """The files of a revision."""
        if revision in ("main", "HEAD"):
            return self.commits[-1][0], self.commits[-1][2]
        return next(((found, files) for found, _, files in self.commits if found == revision), None)

    @property
    def head(self) -> Files:
        """The files now."""
        return self.commits[-1][2]


@dataclass
class FakeHub:
    """The server's state.

    Attributes:
        failures: HTTP codes that requests whose "METHOD path" contains the text are answered with, one each.
        before_commit: called once before the next commit is looked at.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: Files = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    failures: list[tuple[str, int]] = field(default_factory=list)
    before_commit: list[Any] = field(default_factory=list)

    def make(self, name: str, files: Files | None = None, *, private: bool = False) -> Repository:
        """A repository with a first commit."""
        made = self.repositories[name] = Repository(private=private)
        made.commit({".gitattributes": b"*.parquet filter=lfs\n", **(files or {})}, "initial commit")
        return made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: FakeHub

    def log_message(self, *arguments: Any) -> None:
        pass

    def _answer(self, code: int, body: bytes | Any = b"", **headers: str) -> None:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(raw)))
        if not isinstance(body, bytes):
            self.send_header("Content-Type", "application/json")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(raw)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _handle(self) -> None:
        path = unquote(urlsplit(self.path).path)
        asked = f"{self.command} {path}"
        body = self._body()
        self.hub.requests.append(asked)
        for index, (text, code) in enumerate(self.hub.failures):
            if text in asked:
                del self.hub.failures[index]
                self._answer(code, {"error": f"told to fail with {code}"})
                return
        token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        for pattern, name, may in _ROUTES:
            found = re.fullmatch(pattern, asked)
            if found:
                if token and token not in (WRITER, READER) and not path.startswith("/lfs/"):
                    self._answer(401, {"error": "Invalid credentials in Authorization header"})
                elif may == "write" and token != WRITER:
                    self._answer(403, {"error": "Forbidden: you need the right to write"})
                else:
                    getattr(self, f"_{name}")(body, **found.groupdict())
                return
        self._answer(404, {"error": f"the fake does not speak {asked}"})

    do_GET = do_HEAD = do_POST = do_PUT = _handle  # noqa: N815 - http.server's names

    def _repository(self, repo: str, rev: str) -> tuple[Repository, str, Files] | None:
        made = self.hub.repositories.get(repo)
        if made is None:
            self._answer(404, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            return None
        found = made.at(rev)
        if found is None:
            self._answer(404, {"error": "Revision not found"}, X_Error_Code="RevisionNotFound")
            return None
        return made, *found

    def _info(self, body: bytes, repo: str, rev: str | None = None) -> None:
        found = self._repository(repo, rev or "main")
        if found is not None:
            made, revision, files = found
            siblings = [{"rfilename": name} for name in sorted(files)]
            about = {
                "id": repo,
                "sha": revision,
                "private": made.private,
                "siblings": siblings,
                "tags": [],
                "gated": False,
            }
            self._answer(
                200,
                {**about, "disabled": False, "downloads": 0, "likes": 0, "lastModified": "2026-01-01T00:00:00.000Z"},
            )

    def _create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = "/".join(part for part in (asked.get("organization") or "writer", asked["name"]) if part)
        url = f"{self.hub.url}/datasets/{name}"
        if name in self.hub.repositories:
            self._answer(409, {"error": "You already created this dataset repo", "url": url})
            return
        self.hub.make(name, private=asked.get("visibility") == "private")
        self._answer(200, {"url": url, "name": name, "id": name})

    def _preupload(self, body: bytes, repo: str, rev: str) -> None:
        found = self._repository(repo, rev)
        if found is None:
            return
        answers = []
        for file in json.loads(body)["files"]:
            held = found[2].get(file["path"])
            oid = None if held is None else sha256(held) if is_lfs(file["path"]) else git_oid(held)
            mode = "lfs" if is_lfs(file["path"]) else "regular"
            answers.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        self._answer(200, {"files": answers})

    def _batch(self, body: bytes, repo: str) -> None:
        answers = []
        for one in json.loads(body)["objects"]:
            answer: Json = {"oid": one["oid"], "size": one["size"]}
            if one["oid"] not in self.hub.objects:
                answer["actions"] = {"upload": {"href": f"{self.hub.url}/lfs/{one['oid']}"}}
            answers.append(answer)
        self._answer(200, {"transfer": "basic", "objects": answers})

    def _lfs(self, body: bytes, oid: str) -> None:
        assert sha256(body) == oid
        self.hub.objects[oid] = body
        self._answer(200)

    def _commit(self, body: bytes, repo: str, rev: str) -> None:
        if self.hub.before_commit:
            self.hub.before_commit.pop(0)()
        found = self._repository(repo, rev)
        if found is None:
            return
        made, revision, files = found
        files, message = dict(files), ""
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header":
                    message = value["summary"]
                    if value.get("parentCommit") not in (None, revision):
                        self._answer(412, {"error": "A commit has happened since. Please refresh and try again."})
                        return
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        new = made.commit(files, message)
        self._answer(200, {"commitUrl": f"{self.hub.url}/datasets/{repo}/commit/{new}", "commitOid": new})

    def _entries(self, files: Files, folder: str, *, recursive: bool) -> list[Json]:
        prefix = f"{folder}/" if folder else ""
        entries: dict[str, Json] = {}
        for name, body in sorted(files.items()):
            if not name.startswith(prefix):
                continue
            first, deeper, _ = name.removeprefix(prefix).partition("/")
            if deeper:
                entries.setdefault(
                    prefix + first, {"type": "directory", "path": prefix + first, "oid": "0" * 40, "size": 0}
                )
            if recursive or not deeper:
                entry: Json = {"type": "file", "path": name, "oid": git_oid(body), "size": len(body)}
                if is_lfs(name):
                    entry["lfs"] = {"oid": sha256(body), "size": len(body), "pointerSize": 130}
                entries[name] = entry
        return list(entries.values())

    def _tree(self, body: bytes, repo: str, rev: str, path: str | None = None) -> None:
        found = self._repository(repo, rev)
        if found is None:
            return
        recursive = "recursive=true" in self.path.lower()
        entries = self._entries(found[2], (path or "").strip("/"), recursive=recursive)
        if not entries and path:
            self._answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound")
        else:
            self._answer(200, entries)

    def _paths(self, body: bytes, repo: str, rev: str) -> None:
        found = self._repository(repo, rev)
        if found is None:
            return
        text = body.decode()
        wanted = json.loads(text)["paths"] if text.startswith("{") else re.findall(r"paths=([^&]*)", unquote(text))
        everything = {one["path"]: one for one in self._entries(found[2], "", recursive=True)}
        self._answer(200, [everything[path] for path in wanted if path in everything])

    def _resolve(self, body: bytes, repo: str, rev: str, path: str) -> None:
        found = self._repository(repo, rev)
        if found is None:
            return
        content = found[2].get(path)
        if content is None:
            self._answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=found[1])
            return
        total, start, code = len(content), 0, 200
        ranged = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        headers = {"X_Repo_Commit": found[1], "ETag": f'"{sha256(content)}"', "Accept_Ranges": "bytes"}
        if ranged:
            start, end = int(ranged[1]), int(ranged[2] or total - 1)
            content, code = content[start : end + 1], 206
            headers["Content_Range"] = f"bytes {start}-{start + len(content) - 1}/{total}"
        self._answer(code, content, Content_Length=str(len(content)), **headers)

    def _yaml(self, body: bytes) -> None:
        self._answer(200, {"errors": [], "warnings": []})


_REPO = r"(?P<repo>[^/]+/[^/]+)"
_ROUTES = (
    (r"POST /api/repos/create", "create", "write"),
    (r"POST /api/validate-yaml", "yaml", "read"),
    (rf"GET /api/datasets/{_REPO}", "info", "read"),
    (rf"GET /api/datasets/{_REPO}/revision/(?P<rev>[^/]+)", "info", "read"),
    (rf"POST /api/datasets/{_REPO}/preupload/(?P<rev>[^/]+)", "preupload", "write"),
    (rf"POST /api/datasets/{_REPO}/commit/(?P<rev>[^/]+)", "commit", "write"),
    (rf"GET /api/datasets/{_REPO}/tree/(?P<rev>[^/]+)(?P<path>/.*)?", "tree", "read"),
    (rf"POST /api/datasets/{_REPO}/paths-info/(?P<rev>[^/]+)", "paths", "read"),
    (r"POST /datasets/(?P<repo>[^/]+/[^/]+)\.git/info/lfs/objects/batch", "batch", "write"),
    (r"PUT /lfs/(?P<oid>[0-9a-f]{64})", "lfs", "read"),
    (rf"(GET|HEAD) /datasets/{_REPO}/resolve/(?P<rev>[^/]+)/(?P<path>.+)", "resolve", "read"),
)


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve until the block ends."""
    hub = FakeHub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
