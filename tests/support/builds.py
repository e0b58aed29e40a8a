"""Small repositories that need no index to build, plans for them, and the harness run as users' images run it: the archive, as a process."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobench_runner.harness.build_interpreters import Interpreter, find_all
from isobench_runner.harness.proof import git_blob
from isobench_runner.harness_archive import build_archive

HEAD_DATE = "2023-05-01T12:00:00+00:00"

BACKEND = '''"""A build backend of the standard library alone: wheels of the folder `src`, plain and editable."""
import base64, hashlib, os, zipfile

NAME, VERSION = "thing", "1.0"


def _wheel(directory, files):
    info = "{}-{}.dist-info".format(NAME, VERSION)
    files[info + "/METADATA"] = "Metadata-Version: 2.1\\nName: {}\\nVersion: {}\\n".format(NAME, VERSION).encode()
    files[info + "/WHEEL"] = b"Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
    rows = []
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append("{},sha256={},{}\\n".format(path, digest, len(content)))
    files[info + "/RECORD"] = ("".join(rows) + info + "/RECORD,,\\n").encode()
    name = "{}-{}-py3-none-any.whl".format(NAME, VERSION)
    with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return name


def build_wheel(directory, config_settings=None, metadata_directory=None):
    files = {}
    for base, _, names in os.walk("src"):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(base, name)
                with open(path, "rb") as file:
                    files[os.path.relpath(path, "src")] = file.read()
    return _wheel(directory, files)


def build_editable(directory, config_settings=None, metadata_directory=None):
    return _wheel(directory, {"thing.pth": os.path.abspath("src").encode() + b"\\n"})
'''

PROJECT = {
    "pyproject.toml": '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
    "backend.py": BACKEND,
    "src/thing/__init__.py": "def work():\n    return 42\n",
    "src/thing/deep/__init__.py": "from .. import work\n",
    "src/thing/deep/more.py": "x = 1\n",
}


def interpreters() -> list[Interpreter]:
    """One interpreter of each minor version from 3.8 on that this machine has."""
    found = {each.minor: each for each in find_all() if each.minor >= (3, 8) and each.has_venv and each.stable}
    return [found[minor] for minor in sorted(found)]


def pip_wheel() -> Path:
    """The pip that the running Python bundles: any version installs the projects of these tests, with no index."""
    folder = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix})) / "ensurepip" / "_bundled"
    return next(iter(sorted(folder.glob("pip-*.whl"))))


@dataclass(frozen=True)
class Outcome:
    """What a run of the harness left.

    Attributes:
        stdout: its progress lines.
    """

    reason: str | None
    tail: str
    detail: dict[str, Any]
    stdout: str


@dataclass
class Build:
    """One build in a folder of its own: write the files, then `run`.

    Attributes:
        root: the Job's folder.
        files: of the revision, by path.
        plan: fields that differ from the plan's defaults.
    """

    root: Path
    files: dict[str, str]
    plan: dict[str, Any]
    key: str = "0123456789abcdef0123456789abcdef"

    @property
    def env_dir(self) -> Path:
        """Where the environment is built."""
        return self.root / "envs" / self.key

    @property
    def manifest(self) -> dict[str, Any]:
        """The environment.json of a finished build."""
        content: dict[str, Any] = json.loads((self.env_dir / "environment.json").read_bytes())
        return content

    def write(self) -> Path:
        """Make the repository, its archive, the harness and plan.json; returns the `in` folder."""
        inside = self.root / "in"
        (self.root / "out").mkdir(parents=True, exist_ok=True)
        inside.mkdir(exist_ok=True)
        checkout = self.root / "checkout"
        if not checkout.exists():
            make_repository(checkout, self.files)
            subprocess.run(["tar", "-cf", inside / "tree.tar", "-C", checkout, "."], check=True)
        pip = pip_wheel()
        (inside / pip.name).write_bytes(pip.read_bytes())
        build_archive(inside / "harness.pyz")
        sha = subprocess.run(["git", "rev-parse", "HEAD"], cwd=checkout, check=True, capture_output=True, text=True)
        plan = {
            "v": 1,
            "kind": "build",
            "revision": "base",
            "sha": sha.stdout.strip(),
            "head_date": HEAD_DATE,
            "tree_archive": "tree.tar",
            "env_dir": str(self.env_dir),
            "key": self.key,
            "interpreter": sys.executable,
            "python": None,
            "inherit": "none",
            "setup": [],
            "install": ["pip install ."],
            "test_requirements": [],
            "path": [],
            "package": "thing",
            "packages_as_of": "head",
            "index_url": "http://127.0.0.1:9/simple",
            "timeout_seconds": 120,
            "seed_wheels": [pip.name],
            "blobs": {path: git_blob(text.encode()) for path, text in self.files.items() if path.endswith(".py")},
            "hit": False,
            **self.plan,
        }
        (inside / "plan.json").write_text(json.dumps(plan))
        return inside

    def run(self, python: str = sys.executable, **plan: Any) -> Outcome:
        """Build under an interpreter, with the variables that an untrusted container has and no others."""
        self.plan = {**self.plan, **plan}
        inside = self.write()
        (self.root / "out" / "outcome.json").unlink(missing_ok=True)
        done = subprocess.run(
            [python, "-I", "-S", str(inside / "harness.pyz"), "build", "--in", str(inside), "--out", str(self.root / "out")],
            check=False,
            env=self.variables(),
            capture_output=True,
            text=True,
            timeout=300,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        body = json.loads((self.root / "out" / "outcome.json").read_bytes())
        return Outcome(body["reason"], body["tail"], body["detail"], done.stdout)

    def variables(self) -> dict[str, str]:
        """An untrusted container's environment."""
        for name in ("tmp", "home", "pip", "envs"):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        return {
            "ISOBENCH_ROOT": str(self.root),
            "ISOBENCH_ENVS": str(self.root / "envs"),
            "ISOBENCH_PIP": str(self.root / "pip"),
            "HOME": str(self.root / "home"),
            "TMPDIR": str(self.root / "tmp"),
            "PATH": os.environ["PATH"],
            "LANG": "C.UTF-8",
        }


def make_repository(folder: Path, files: dict[str, str], *, date: str = HEAD_DATE, tag: str | None = None) -> None:
    """A git repository with one commit of the files given."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    variables = {
        **os.environ,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_DATE": date,
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for command in (["init", "-q", "-b", "main"], ["add", "-A", "-f"], [*who, "commit", "-q", "-m", "one"]):
        subprocess.run(["git", *command], cwd=folder, env=variables, check=True)
    if tag:
        subprocess.run(["git", "tag", tag], cwd=folder, env=variables, check=True)


def folder_digest(folder: Path) -> str:
    """Names and contents below a folder, to see whether anything changed."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}\0".encode())
        if path.is_file() and not path.is_symlink():
            digest.update(path.read_bytes())
    return digest.hexdigest()
