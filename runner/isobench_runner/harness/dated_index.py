"""The user's package index as it stood at a date: a loopback server that drops what was uploaded later.

Build backends, `setup_requires` and uv ask an index just as pip does, so cutting the index reaches every resolution of an install
line, while a constraints file reaches only pip's first. The server speaks the simple API, as JSON and as HTML, and passes on the
upstream's absolute file addresses, so that files never travel through it. Nothing about environments may enter here.
"""

import base64
import html
import http.client
import json
import os
import re
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Dict, List, Optional, Tuple

from .wire import write_json

JSON_TYPE = "application/vnd.pypi.simple.v1+json"

PYTHON_RELEASED = {
    (3, 8): (2019, 10, 14),
    (3, 9): (2020, 10, 5),
    (3, 10): (2021, 10, 4),
    (3, 11): (2022, 10, 24),
    (3, 12): (2023, 10, 2),
    (3, 13): (2024, 10, 7),
    (3, 14): (2025, 10, 7),
}
"""The day of X.Y.0, from the release schedules PEP 569, 596, 619, 664, 693, 719 and 745."""
WHEELS_FOLLOW = timedelta(days=90)
"""How long after X.Y.0 most projects have wheels for it: six releases older than their Python, built as of this day, all installed."""
EDITABLE_HOOKS = {"poetry-core", "flit-core"}
EDITABLE_HOOKS_SINCE = datetime(2022, 3, 2, tzinfo=timezone.utc)
"""When the last of these backends learnt PEP 660: before, `pip install -e .` fails with any version of them."""
SYSTEM_BUNDLES = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem")
"""Where Debian, Fedora and Alpine keep their certificates; an interpreter from elsewhere looks in other places."""
ATTEMPTS = 3
UPSTREAM_TIMEOUT_SECONDS = 30


def parse_time(text: str) -> datetime:
    """Read an ISO 8601 time, UTC where it names no zone.

    Raises:
        ValueError: it is none.
    """
    match = re.match(r"^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d)?)(?:\.\d+)?)?\s*(Z|[+-]\d\d:?\d\d)?$", text.strip())
    if not match:
        raise ValueError("{!r} is no ISO 8601 time".format(text))
    day, clock, zone = match.group(1), match.group(2) or "00:00:00", match.group(3) or "Z"
    clock = clock if clock.count(":") == 2 else clock + ":00"
    offset = "+0000" if zone == "Z" else zone.replace(":", "")
    return datetime.strptime(day + clock + offset, "%Y-%m-%d%H:%M:%S%z").astimezone(timezone.utc)


def format_time(moment: datetime) -> str:
    """A time as it stands in keys, folders and records: 2020-01-31T12:00:00Z."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def python_released(version: Tuple[int, int]) -> datetime:
    """The day of X.Y.0; one that this table does not know yet came, or comes, in October of its year (PEP 602)."""
    day = PYTHON_RELEASED.get(version, (2011 + max(version[1], 8), 10, 1))
    return datetime(day[0], day[1], day[2], tzinfo=timezone.utc)


def resolve_as_of(packages_as_of: str, head_date: str, python: Tuple[int, int]) -> Optional[datetime]:
    """The moment at which the index is cut: files uploaded at it or later are not seen.

    Args:
        packages_as_of: `head`, `today` or an ISO date, which means the end of that day, or an ISO time.
        head_date: the committer date of head, ISO 8601.
        python: (major, minor) of the interpreter.

    Returns:
        None for `today`: the index as it is.

    Raises:
        ValueError: a date cannot be read.
    """
    if packages_as_of == "today":
        return None
    if packages_as_of == "head":
        return max(parse_time(head_date) + timedelta(days=1), python_released(python) + WHEELS_FOLLOW)
    moment = parse_time(packages_as_of)
    return moment + timedelta(days=1) if len(packages_as_of.strip()) == len("2020-01-31") else moment


def cache_name(before: Optional[datetime]) -> str:
    """The folder of pip's caches for a date alone: pip keeps wheels that it built by the sdist's address, whatever the index said."""
    return "today" if before is None else before.strftime("%Y%m%dT%H%M%SZ")


def normalised(name: str) -> str:
    """A project's name as indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def cut(page: Dict[str, Any], *, before: datetime, base: str) -> Dict[str, Any]:
    """A project's page without the files uploaded at `before` or later, or at an unknown time.

    Args:
        page: the upstream's JSON answer (PEP 691, 700).
        before: where to cut; backends without editable hooks at that time are cut later.
        base: the page's address, against which relative file addresses are read.

    Raises:
        LookupError: the upstream gives no upload times at all, so that no date can be kept.
    """
    files = page.get("files", [])
    if files and not any(file.get("upload-time") for file in files):
        raise LookupError("the index gives no upload times; set packagesAsOf: today, or use an index with PEP 700")
    if normalised(str(page.get("name", ""))) in EDITABLE_HOOKS:
        before = max(before, EDITABLE_HOOKS_SINCE)
    kept = [
        dict(file, url=urllib.parse.urljoin(base, file["url"]))
        for file in files
        if file.get("upload-time") and parse_time(file["upload-time"]) < before
    ]
    return {"meta": {"api-version": "1.0"}, "name": page.get("name", ""), "files": kept}


def to_html(page: Dict[str, Any]) -> str:
    """A page in the form of PEP 503, for tools that know no JSON."""
    lines = ["<!DOCTYPE html><html><head><title>{}</title></head><body>".format(html.escape(page["name"]))]
    for file in page["files"]:
        digests = file.get("hashes") or {}
        fragment = "#sha256=" + digests["sha256"] if "sha256" in digests else ""
        attributes = 'href="{}"'.format(html.escape(file["url"] + fragment))
        if file.get("requires-python"):
            attributes += ' data-requires-python="{}"'.format(html.escape(file["requires-python"]))
        if file.get("yanked"):
            reason = file["yanked"] if isinstance(file["yanked"], str) else ""
            attributes += ' data-yanked="{}"'.format(html.escape(reason))
        lines.append("<a {}>{}</a><br>".format(attributes, html.escape(file["filename"])))
    return "\n".join([*lines, "</body></html>"])


def wants_json(accept: str) -> bool:
    """Whether a client's Accept header names the JSON form with a weight at least that of HTML."""
    weights: Dict[str, float] = {}
    for part in accept.split(","):
        kind, _, parameters = part.partition(";")
        match = re.search(r"q=([0-9.]+)", parameters)
        weights[kind.strip().lower()] = float(match.group(1)) if match else 1.0
    json_weight = max(weights.get(JSON_TYPE, 0.0), weights.get("application/vnd.pypi.simple.latest+json", 0.0))
    return json_weight > 0 and json_weight >= weights.get("text/html", 0.0)


def certificates(extra: Optional[str] = None) -> Optional[str]:
    """The first bundle of certificates that is there: the user's own setting, then the system's."""
    named = [extra, *(os.environ.get(name) for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))]
    return next((path for path in [*named, *SYSTEM_BUNDLES] if path and os.path.isfile(path)), None)


class Upstream:
    """The user's own index, asked for one project at a time; credentials in its address are sent as a header."""

    def __init__(self, index_url: str, ca_bundle: Optional[str]) -> None:
        self.index_url = index_url.rstrip("/")
        self._context = ssl.create_default_context(cafile=ca_bundle)

    def page(self, name: str) -> Tuple[int, str, Any]:
        """Ask for a project: (status, address after redirects, the page or words).

        The status is 200, 404, 503 where the index does not answer, which may pass, or 502 where it answers what cannot be used.
        """
        address = "{}/{}/".format(self.index_url, name)
        parts = urllib.parse.urlsplit(address)
        headers = {"Accept": JSON_TYPE, "User-Agent": "isobench"}
        if parts.username is not None:
            pair = "{}:{}".format(urllib.parse.unquote(parts.username), urllib.parse.unquote(parts.password or ""))
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
        status, words = 503, ""
        for attempt in range(ATTEMPTS):
            try:
                request = urllib.request.Request(bare, headers=headers)
                with urllib.request.urlopen(request, timeout=UPSTREAM_TIMEOUT_SECONDS, context=self._context) as answer:
                    if "json" not in answer.headers.get("Content-Type", ""):
                        return 502, bare, "{} does not speak {}; set packagesAsOf: today".format(bare, JSON_TYPE)
                    base = address if answer.geturl() == bare else answer.geturl()
                    return 200, base, json.loads(answer.read())
            except urllib.error.HTTPError as error:
                if error.code == 404:
                    return 404, bare, "not found"
                words = "{} answered {}".format(bare, error.code)
                if error.code < 500 and error.code != 429:
                    status = 502
                    break
            except (OSError, ValueError, http.client.HTTPException) as error:
                words = "{} cannot be read: {}".format(bare, error)
            time.sleep(attempt * 0.5)
        return status, bare, words


class DatedIndex:
    """The server, as a context manager; `url` is what pip, uv and easy_install are pointed at.

    `errors` are the words of every project that could not be served; `unreachable` is whether the upstream was to blame.

    Args:
        index_url: the upstream's simple index.
        before: where to cut.
        cache: a folder for answers; used only for dates in the past, where an answer stays true. None keeps them in memory alone.
        ca_bundle: certificates for the upstream; None for the interpreter's own.
    """

    def __init__(
        self, index_url: str, *, before: datetime, cache: Optional[str] = None, ca_bundle: Optional[str] = None
    ) -> None:
        self.before = before
        self.errors: List[str] = []
        self.unreachable = False
        self._upstream = Upstream(index_url, ca_bundle)
        self._cache = cache if before <= datetime.now(timezone.utc) else None
        self._pages: Dict[str, Dict[str, Any]] = {}
        self._prefix = "/{}/simple/".format(cache_name(before))
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = "http://127.0.0.1:{}{}".format(self._server.server_address[1], self._prefix.rstrip("/"))

    def __enter__(self) -> "DatedIndex":  # noqa: PYI034 - typing.Self came with 3.11
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _cached(self, name: str) -> Optional[Dict[str, Any]]:
        if self._cache is None:
            return None
        try:
            with open(os.path.join(self._cache, name + ".json"), "rb") as file:
                page = json.loads(file.read())
        except (OSError, ValueError):
            return None
        return page if isinstance(page, dict) and isinstance(page.get("files"), list) else None

    def page(self, name: str) -> Tuple[int, Any]:
        """A project's page as of the date, or (status, words)."""
        known = self._pages.get(name) or self._cached(name)
        if known is None:
            status, base, answer = self._upstream.page(name)
            self.unreachable = self.unreachable or status == 503
            if status == 200:
                try:
                    known = cut(answer, before=self.before, base=base)
                except (LookupError, ValueError, TypeError, AttributeError) as error:
                    status, answer = 502, "{}: {}".format(name, error)
            if known is None:
                if status == 404:
                    return 404, answer
                self.errors.append(str(answer))
                return 502, answer
            if self._cache is not None:
                try:
                    os.makedirs(self._cache, exist_ok=True)
                    write_json(os.path.join(self._cache, name + ".json"), known)
                except OSError:
                    self._cache = None
        self._pages[name] = known
        return 200, known

    def _handler(self) -> "type[BaseHTTPRequestHandler]":
        index = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
                name = path[len(index._prefix) :].strip("/") if path.startswith(index._prefix) else ""
                if not re.match(r"^[A-Za-z0-9][A-Za-z0-9._-]*$", name):
                    self._answer(404, "text/plain", "not found")
                    return
                status, page = index.page(normalised(name))
                if status != 200:
                    self._answer(status, "text/plain", str(page))
                elif wants_json(self.headers.get("Accept", "")):
                    self._answer(200, JSON_TYPE, json.dumps(page))
                else:
                    self._answer(200, "text/html; charset=utf-8", to_html(page))

            def _answer(self, status: int, kind: str, text: str) -> None:
                body = text.encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Vary", "Accept")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                pass

        return Handler
