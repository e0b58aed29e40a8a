"""The user's package index as their pip is configured to use it, and the one wheel that every environment is seeded with."""

from __future__ import annotations

import configparser
import hashlib
import os
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import filelock

from isobench_runner.contract import Reason, StageError
from isobench_runner.harness.dated_index import Upstream, certificates
from isobench_runner.store import write_atomic

DEFAULT_INDEX = "https://pypi.org/simple"
SEED_WHEEL = "pip-25.0.1-py3-none-any.whl"
"""The last pip that runs on CPython 3.8 and still makes editables of setuptools before 64."""
SEED_SHA256 = "c46efd13b6aa8279f33f2864459c8ce587ea6a1a59ee20de055868d8f7688f7f"
DOWNLOAD_SECONDS = 120


@dataclass(frozen=True)
class Index:
    """Where packages come from.

    Attributes:
        url: of the simple index.
        ca_bundle: the user's own certificates, or None.
        find_links: folders of wheels that are looked into first.
    """

    url: str
    ca_bundle: str | None
    find_links: tuple[Path, ...] = ()


def _configuration() -> dict[str, str]:
    """pip's `[global]` and `[install]` settings, later files over earlier ones, as pip reads them."""
    home = Path.home()
    files = [
        Path("/etc/xdg/pip/pip.conf"),
        Path("/etc/pip.conf"),
        home / ".pip/pip.conf",
        home / ".config/pip/pip.conf",
    ]
    files += [Path(sys.prefix) / "pip.conf"]
    files += [Path(os.environ["PIP_CONFIG_FILE"])] if os.environ.get("PIP_CONFIG_FILE") else []
    result: dict[str, str] = {}
    for path in files:
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, OSError, UnicodeDecodeError):
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                result |= {key.replace("_", "-"): value for key, value in parser.items(section)}
    return result


def user_index() -> Index:
    """The index that the user's pip or uv would use."""
    known = _configuration()
    named = [os.environ.get(name) for name in ("PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL")]
    url = next((value for value in [*named, known.get("index-url")] if value), DEFAULT_INDEX)
    links = os.environ.get("PIP_FIND_LINKS", known.get("find-links", "")).split()
    folders = tuple(path for link in links if (path := Path(link.removeprefix("file://"))).is_dir())
    return Index(url.rstrip("/"), os.environ.get("PIP_CERT") or known.get("cert"), folders)


def _whole(path: Path) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == SEED_SHA256
    except OSError:
        return False


def _unavailable(words: str) -> StageError:
    return StageError(
        Reason.INDEX_UNREACHABLE,
        f"{SEED_WHEEL}, which every environment is seeded with, cannot be had: {words}; "
        "check the index that pip is configured for, or put the wheel into a folder named by PIP_FIND_LINKS",
    )


def _download(index: Index) -> bytes:
    bundle = certificates(index.ca_bundle)
    status, base, page = Upstream(index.url, bundle).page("pip")
    if status != 200:
        raise _unavailable(str(page))
    files = page.get("files", []) if isinstance(page, dict) else []
    found = next((item["url"] for item in files if isinstance(item, dict) and item.get("filename") == SEED_WHEEL), None)
    if not isinstance(found, str):
        raise _unavailable(f"{index.url} does not list it")
    address = urllib.parse.urljoin(base, found)
    if urllib.parse.urlsplit(address).scheme not in {"https", "http"}:
        raise _unavailable(f"{index.url} points to {address}")
    try:
        context = ssl.create_default_context(cafile=bundle)
        with urllib.request.urlopen(address, timeout=DOWNLOAD_SECONDS, context=context) as answer:  # noqa: S310 - checked above
            content: bytes = answer.read(64 << 20)
    except (OSError, urllib.error.URLError) as error:
        raise _unavailable(str(error)) from error
    if hashlib.sha256(content).hexdigest() != SEED_SHA256:
        raise _unavailable(f"what {urllib.parse.urlsplit(address).netloc} sent is another file")
    return content


def seed_wheel(cache: Path, index: Index) -> Path:
    """The seed wheel, from the cache, from a folder of wheels or from the index; only ever with its pinned hash.

    Raises:
        StageError: IndexUnreachable.
    """
    place = cache / "wheels" / SEED_WHEEL
    if _whole(place):
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{place}.lock", timeout=DOWNLOAD_SECONDS * 4):
        if not _whole(place):
            local = next((folder / SEED_WHEEL for folder in index.find_links if _whole(folder / SEED_WHEEL)), None)
            write_atomic(place, local.read_bytes() if local else _download(index))
    return place
