"""Builds the git repositories of the examples from releases on the package index: one commit per release, dated as it was uploaded.

    python examples/make_repositories.py FOLDER [PACKAGE…]

The source archives are pinned by sha256 (releases.json), and author, dates and messages are fixed, so every machine gets the same
commits: the manifests beside this file name them by their full sha. The index is the one that pip is configured for
(PIP_INDEX_URL), else the public one. A repository that is there already is left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

HERE = Path(__file__).resolve().parent
SIMPLE_JSON = "application/vnd.pypi.simple.v1+json"
IDENTITY = {"NAME": "Release Archive", "EMAIL": "releases@example.org"}


def download(package: str, version: str, sha256: str, folder: Path) -> Path:
    """Fetch one source archive and prove it; raises SystemExit with what to do."""
    index = os.environ.get("PIP_INDEX_URL", "https://pypi.org/simple").rstrip("/")
    page = f"{index}/{package}/"
    with urllib.request.urlopen(urllib.request.Request(page, headers={"Accept": SIMPLE_JSON}), timeout=60) as answer:
        files = json.load(answer)["files"]
    name = f"{package}-{version}.tar.gz"
    entry = next((file for file in files if file["filename"] == name), None)
    if entry is None:
        sys.exit(f"{page} has no {name}; point PIP_INDEX_URL at an index that has it")
    with urllib.request.urlopen(urljoin(page, entry["url"]), timeout=60) as answer:
        content = answer.read()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        sys.exit(f"{name}: sha256 {found} instead of {sha256}: the index serves another file")
    path = folder / name
    path.write_bytes(content)
    return path


def git(repository: Path, *arguments: str, date: str = "") -> str:
    """Run git in a repository, untouched by the user's own configuration."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(repository), "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
    for role in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{role}_{key}": value for key, value in IDENTITY.items()}
        environment[f"GIT_{role}_DATE"] = date
    done = subprocess.run(
        ["git", *arguments], cwd=repository, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def build(package: str, releases: list[dict[str, str]], target: Path) -> str:
    """Make one repository; returns the sha of its last commit."""
    if (target / ".git").exists():
        return git(target, "rev-parse", "HEAD")
    target.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{package}.", dir=target.parent))
    git(work, "init", "--quiet", "--initial-branch=main")
    git(work, "config", "core.autocrlf", "false")
    git(work, "remote", "add", "origin", f"https://example.org/pypi/{package}.git")
    for release in releases:
        for entry in work.iterdir():
            if entry.name != ".git":
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        with tempfile.TemporaryDirectory() as scratch:
            archive = download(package, release["version"], release["sha256"], Path(scratch))
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, filter="data")
            shutil.copytree(Path(scratch) / f"{package}-{release['version']}", work, dirs_exist_ok=True, symlinks=True)
        git(work, "add", "--all", "--force")
        git(
            work,
            "commit",
            "--quiet",
            "--no-gpg-sign",
            "-m",
            f"Release {package} {release['version']}",
            date=release["date"],
        )
        git(work, "tag", release["version"])
    work.rename(target)
    return git(target, "rev-parse", "HEAD")


def main() -> None:
    """Build the repositories asked for, or all."""
    packages: dict[str, list[dict[str, str]]] = json.loads((HERE / "releases.json").read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("package", nargs="*", help=f"of {', '.join(packages)}; default: all")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.package) - set(packages))
    if unknown:
        parser.error(f"{unknown[0]}: not among {', '.join(packages)}")
    for package in arguments.package or packages:
        print(f"{package}: {build(package, packages[package], arguments.folder.resolve() / package)}")


if __name__ == "__main__":
    main()
