"""One process of a script of the older kind, from its start to its end by the parent's clock, and what pytest says of each test in it."""

import json
import os
import resource
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from . import processes
from .events import Fall
from .session import Session

OUTCOMES = "outcomes.json"
MAX_OUTCOMES = 4 << 20
CONFTEST = b"""
import json, os

_seen = {}

def _note(report):
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    message = str(getattr(crash, "message", "") or "")
    words = str(report.longrepr)[-3000:] if report.outcome != "passed" else ""
    before = _seen.get(report.nodeid)
    if before is None or before["outcome"] == "passed":
        _seen[report.nodeid] = {"outcome": report.outcome, "assertion": message.startswith(("assert", "AssertionError")), "words": words}

def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        _note(report)

def pytest_collectreport(report):
    if report.outcome != "passed":
        _note(report)

def pytest_sessionfinish(session):
    with open(os.environ["OUTCOMES"], "w") as file:
        json.dump(_seen, file)
"""


def pytest_arguments(python: str, *arguments: str) -> List[str]:
    """The command that runs pytest on these arguments, whatever the repository configures."""
    return [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "empty.ini", "--rootdir", ".", *arguments]


@dataclass(frozen=True)
class Run:
    """One process that ended.

    Attributes:
        wall_ns: by the parent's clock. wait_ns: for how much of it others held its CPU; None where it was not one thread all its life.
        usage: what it used. code: its exit code. printed: its last words.
    """

    wall_ns: int
    wait_ns: Optional[int]
    usage: Dict[str, int]
    code: int
    printed: str

    @property
    def held_ns(self) -> int:
        """What can be taken off: never so much that less is left than its CPU time."""
        return max(0, min(self.wait_ns or 0, self.wall_ns - self.usage["cpu_ns"], self.wall_ns - 1))


def run_script(
    session: Session,
    name: str,
    argv: List[str],
    *,
    hashseed: int,
    pad: int,
    cpus: List[int],
    files: Optional[Dict[str, bytes]] = None,
) -> Tuple[Run, Dict[str, Any]]:
    """Run a process of a revision to its end; returns what it took, and what pytest said of each test.

    Args:
        files: to lie beside the script.

    Raises:
        Fall: it still ran at the time limit.
    """
    folders = session.folders(name)
    own = os.path.dirname(folders["test"])
    for path, content in {"empty.ini": b"[pytest]\n", **(files or {})}.items():
        with open(os.path.join(own, path), "wb") as file:
            file.write(content)
    revision = session.revisions[name]
    env = session.environment(name, folders, hashseed=hashseed, pad=pad)
    paths = [os.path.normpath(os.path.join(revision.tree, one)) for one in session.plan.get("path") or []]
    if paths:
        env["PYTHONPATH"] = os.pathsep.join(paths)
    env["OUTCOMES"] = os.path.join(folders["out"], OUTCOMES)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    cwd = own if "pytest" in argv else folders["work"]
    process = processes.Process(
        argv, env=env, cwd=cwd, logs=session.logs, cpus=cpus, data_bytes=session.data_bytes, talks=False
    )
    try:
        code, end_ns, wait_ns = process.wait(session.deadline)
    except processes.Late:
        raise Fall("late", name, "the script still ran at the time limit") from None
    finally:
        process.end()
        outcomes = _outcomes(env["OUTCOMES"])
        printed = process.printed()
        session.said.printed(name, printed)
        session.trash.throw(folders["place"])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    usage = {
        "cpu_ns": int((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e9),
        "minflt": after.ru_minflt - before.ru_minflt,
        "majflt": after.ru_majflt - before.ru_majflt,
        "nvcsw": after.ru_nvcsw - before.ru_nvcsw,
        "nivcsw": after.ru_nivcsw - before.ru_nivcsw,
    }
    return Run(end_ns - process.started_ns, wait_ns, usage, code, printed), outcomes


def _outcomes(path: str) -> Dict[str, Any]:
    try:
        if os.path.islink(path) or os.path.getsize(path) > MAX_OUTCOMES:
            return {}
        with open(path, "rb") as file:
            found = json.loads(file.read(MAX_OUTCOMES))
    except (OSError, ValueError, RecursionError):
        return {}
    return (
        {str(key): value for key, value in found.items() if isinstance(value, dict)} if isinstance(found, dict) else {}
    )
