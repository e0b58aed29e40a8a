"""The sandbox against code that wants out, as every user that this machine lets the tests be: root, and an ordinary one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

TESTS = Path(__file__).parents[2]
NOBODY = 65534
USERS = ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]


def as_ordinary(argv: list[str], folder: Path) -> list[str]:
    """A command line that is an ordinary user's, on a machine whose interpreters such a user can read (below /root none can)."""
    if os.geteuid() != 0:
        return argv
    prefix = Path(sys.base_prefix)
    shown = ["--bind", "/", "/", "--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc"]
    if not prefix.is_relative_to("/usr"):
        above = Path("/", *prefix.parts[1:2])
        shown += ["--perms", "0755", "--tmpfs", str(above)]
        for parent in reversed(prefix.parents[:-2]):
            shown += ["--perms", "0755", "--dir", str(parent)]
        shown += ["--ro-bind", str(prefix), str(prefix)]
    drop = [
        "setpriv",
        "--reuid",
        str(NOBODY),
        "--regid",
        str(NOBODY),
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
    ]
    return ["bwrap", *shown, "--chdir", str(folder), "--", *drop, *argv]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that an ordinary user can enter, which pytest's own are not."""
    path = Path(tempfile.mkdtemp(prefix="isobench-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def hostile(user: str, folder: Path, kind: str) -> dict[str, Any]:
    argv = [sys.executable, str(TESTS / "support" / "hostile_run.py"), str(folder), kind]
    if user == "ordinary":
        if os.geteuid() == 0:
            os.chown(folder, NOBODY, NOBODY)
        argv = as_ordinary(argv, folder)
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["got"] is not None, answer
    return answer


@pytest.mark.parametrize("user", USERS)
def test_hostile_code_gets_nothing(user: str, folder: Path) -> None:
    answer = hostile(user, folder, "detect")
    got = answer["got"]
    assert answer["isolation"]["kind"] == "bubblewrap", answer["isolation"]
    assert answer["ended"]["type"] == "Complete", answer
    assert got["found"] == {}
    assert got["uid"] != 0
    assert set(got["caps"]) == {"0"}
    assert got["nnp"] == "1"
    assert got["interfaces"] == ["lo"]
    assert got["pids"] <= 3
    assert [name for name, answer in got["refused"].items() if answer is None] == []
    assert set(got["environ"]) <= {
        "ISOBENCH_ROOT", "ISOBENCH_ENVS", "HOME", "TMPDIR", "PATH", "LANG", "LC_CTYPE", "PWD", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES",
    }  # fmt: skip
    assert (got["mine"], got["home"], got["tmp"]) == ("mine", None, None)


@pytest.mark.parametrize("user", USERS)
def test_the_same_code_finds_what_there_is_where_nothing_shuts_it_in(user: str, folder: Path) -> None:
    answer = hostile(user, folder, "none")
    found = answer["got"]["found"]
    assert {
        "canary-stolen-home",
        "canary-stolen-store",
        "canary-stolen-environment",
        "canary-stolen-secret",
    } <= found.keys()
    assert "OPENAI_API_KEY" not in answer["got"]["environ"]
