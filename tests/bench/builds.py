"""Builds two dozen releases of 2016 to 2026 as of their date and with today's index, and counts how many install and import.

`python tests/bench/builds.py [--only NAME] [--index URL]`. Sources are the releases' own source archives, committed to a fresh
repository with the release's tag and upload date; every build is the product's own: the harness' archive, run as a process.
Exits 1 where fewer than BOUND builds as of their date stand.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from isobench_runner.harness.build_errors import BuildError
from isobench_runner.harness.build_interpreters import find
from isobench_runner.harness.dated_index import Upstream, certificates
from isobench_runner.harness_archive import build_archive
from support.builds import make_repository

BOUND = 22
"""Of 24: what the same way reached on git checkouts of these tags, when it was chosen over three others; today's index reached 17."""
PIP = "25.0.1"
LIMIT_SECONDS = 600


@dataclass(frozen=True)
class Release:
    """A release, the Python of its time (or the oldest that can be measured), and a small call that has to work."""

    project: str
    version: str
    python: str
    module: str
    call: str


def _releases(project: str, module: str, call: str, versions: str) -> list[Release]:
    pairs = (item.split("/") for item in versions.split())
    return [Release(project, version, python, module, call) for version, python in pairs]


RELEASES = [
    *_releases("xarray", "xarray", "x.DataArray([1, 2]).sum()", "0.8.2/3.8 0.15.1/3.8 0.20.2/3.9 2023.1.0/3.10 2026.2.0/3.13"),
    *_releases("yarl", "yarl", "x.URL('http://a/b').path", "0.8.1/3.8 1.4.2/3.8 1.9.2/3.11 1.18.3/3.13"),
    *_releases("markupsafe", "markupsafe", "x.escape('<')", "1.0/3.8 1.1.1/3.8 2.0.1/3.9 3.0.2/3.13"),
    *_releases("networkx", "networkx", "x.path_graph(4).edges()", "2.0/3.8 2.4/3.8 2.8/3.10 3.4/3.12"),
    *_releases("pluggy", "pluggy", "x.PluginManager('a')" , "0.4.0/3.8 1.0.0/3.9 1.5.0/3.12"),
    *_releases("rich", "rich", "__import__('rich.text').text.Text('a')", "1.0.0/3.8 10.12.0/3.9 13.7.0/3.12 14.3.3/3.13"),
]  # fmt: skip


def _sources(release: Release, page: dict[str, Any]) -> tuple[dict[str, bytes], str] | None:
    """The files of a release's source archive, without its top folder, and its upload time."""
    wanted = [f"{release.project}-{release.version}.tar.gz", f"{release.project}-{release.version}.zip"]
    file = next((file for file in page["files"] if file["filename"].lower() in wanted), None)
    if file is None:
        return None
    with urllib.request.urlopen(file["url"], timeout=60) as answer:
        content = answer.read()
    files: dict[str, bytes] = {}
    if file["filename"].endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for name in archive.namelist():
                if not name.endswith("/"):
                    files[name.partition("/")[2]] = archive.read(name)
    else:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for member in archive.getmembers():
                handle = archive.extractfile(member) if member.isfile() else None
                if handle is not None:
                    files[member.name.partition("/")[2]] = handle.read()
    return files, file["upload-time"]


def _repository(folder: Path, release: Release, files: dict[str, bytes], uploaded: str) -> str:
    """Commit the sources as of their upload, tagged; returns the sha."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    make_repository(folder, {}, date=uploaded.partition(".")[0].rstrip("Z") + "+00:00", tag=f"v{release.version}")
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _build(release: Release, root: Path, *, as_of: str, plan: dict[str, Any]) -> tuple[str, float]:
    """Build once; returns `ok` or why not, and the seconds that it took."""
    env_dir = root / as_of
    for name in ("out", "home", "tmp"):
        (root / name).mkdir(exist_ok=True)
    (root / "in" / "plan.json").write_text(json.dumps({**plan, "packages_as_of": as_of, "env_dir": str(env_dir)}))
    variables = {"ISOBENCH_PIP": str(root.parent / "pip"), "HOME": str(root / "home"), "TMPDIR": str(root / "tmp")}
    variables |= {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-I", "-S", root / "in" / "harness.pyz", "build", "--in", root / "in", "--out", root / "out"],
        env=variables,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    took = time.monotonic() - began
    outcome = json.loads((root / "out" / "outcome.json").read_bytes())
    if outcome["reason"]:
        return f"{outcome['reason']}: {_telling(outcome['tail'])}", took
    called = subprocess.run(
        [env_dir / "env" / "bin" / "python", "-I", "-c", f"import {release.module} as x; {release.call}"],
        check=False,
        cwd="/",
        capture_output=True,
        text=True,
    )
    shutil.rmtree(env_dir)
    return ("ok" if called.returncode == 0 else f"import: {_telling(called.stderr)}"), took


def _telling(tail: str) -> str:
    """The line of an error's output that says most."""
    lines = [line.strip() for line in tail.splitlines() if line.strip()]
    telling = [
        line for line in lines if any(mark in line for mark in ("Error:", "error:", "No matching", "missing the"))
    ]
    skipped = ("error: subprocess-exited", "error: metadata-generation", "ERROR: Failed building", "note:")
    kept = [line for line in telling if not line.startswith(skipped)]
    return (kept or lines or [""])[-1][:110]


def main() -> int:
    """Run the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="a project's name")
    parser.add_argument("--index", default="https://pypi.org/simple")
    arguments = parser.parse_args()
    upstream = Upstream(arguments.index, certificates())
    work = Path(tempfile.mkdtemp(prefix="isobench-builds-"))
    pip_page = upstream.page("pip")[2]
    pip = next(file for file in pip_page["files"] if file["filename"] == f"pip-{PIP}-py3-none-any.whl")
    with urllib.request.urlopen(pip["url"], timeout=60) as answer:
        (work / pip["filename"]).write_bytes(answer.read())
    build_archive(work / "harness.pyz")
    counts = {"head": 0, "today": 0}
    pages: dict[str, dict[str, Any]] = {}
    tried = 0
    print("| release | uploaded | Python | as of its date | today's index |\n|---|---|---|---|---|", flush=True)
    for release in RELEASES:
        if arguments.only and release.project != arguments.only:
            continue
        try:
            interpreter = find(None, release.python)
        except BuildError as error:
            print(
                f"| {release.project} {release.version} | | {release.python} | not run: {str(error).partition('.')[0]} | |"
            )
            continue
        page = pages.get(release.project) or upstream.page(release.project)[2]
        pages[release.project] = page
        sources = _sources(release, page)
        if sources is None:
            print(f"| {release.project} {release.version} | | {release.python} | not run: no source archive | |")
            continue
        tried += 1
        root = work / f"{release.project}-{release.version}"
        (root / "in").mkdir(parents=True)
        for name in (pip["filename"], "harness.pyz"):
            shutil.copy(work / name, root / "in")
        sha = _repository(root / "checkout", release, *sources)
        subprocess.run(["tar", "-cf", root / "in" / "tree.tar", "-C", root / "checkout", "."], check=True)
        plan = {
            "v": 1, "kind": "build", "revision": "head", "sha": sha, "head_date": sources[1], "tree_archive": "tree.tar", "key": sha[:32],
            "interpreter": interpreter.path, "python": None, "inherit": "none", "setup": [], "install": ["pip install -e ."],
            "test_requirements": [], "path": [], "package": release.module, "index_url": arguments.index,
            "timeout_seconds": LIMIT_SECONDS, "seed_wheels": [pip["filename"]], "blobs": {}, "hit": False,
        }  # fmt: skip
        cells = []
        for as_of in counts:
            words, took = _build(release, root, as_of=as_of, plan=plan)
            counts[as_of] += words == "ok"
            cells.append(f"ok {took:.0f} s" if words == "ok" else words.replace("|", "/"))
        shutil.rmtree(root)
        day = sources[1][:10]
        print(
            f"| {release.project} {release.version} | {day} | {interpreter.version} | {cells[0]} | {cells[1]} |",
            flush=True,
        )
    shutil.rmtree(work, ignore_errors=True)
    print(
        f"\nas of their date: {counts['head']} of {tried} (bound {BOUND} of 24); today's index: {counts['today']} of {tried} (seen: 17 of 24)"
    )
    return 0 if arguments.only or counts["head"] >= BOUND else 1


if __name__ == "__main__":
    sys.exit(main())
