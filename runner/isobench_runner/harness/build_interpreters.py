"""Finds the interpreter that an environment is made of, by running each candidate: a name on PATH may be a broken shim.

Looking and asking alone may enter here; environments are made elsewhere.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Tuple

from .build_errors import BuildError

OLDEST = (3, 8)
"""The oldest CPython that the seeded pip and the measuring worker run on."""
PROBE_SECONDS = 20

_PROBE = """
import json, platform, sys
try:
    import venv
    has_venv = True
except ImportError:
    has_venv = False
print(json.dumps({
    "executable": sys.executable, "real": __import__("os").path.realpath(sys.executable), "version": platform.python_version(),
    "implementation": platform.python_implementation(), "minor": list(sys.version_info[:2]), "venv": has_venv,
    "stable": sys.version_info[3] == "final"}))
"""


@dataclass(frozen=True)
class Interpreter:
    """An interpreter that answered.

    Attributes:
        path: how it was found; a virtual environment's own python stays that.
        version: 3.11.7
        minor: (3, 11)
        stable: whether it is a final release.
        has_venv: whether it can make environments; some distributions ship it apart.
    """

    path: str
    version: str
    implementation: str
    minor: Tuple[int, int]
    stable: bool
    has_venv: bool


def probe(path: str) -> Optional[Interpreter]:
    """Ask an interpreter what it is; None where it does not run."""
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _PROBE],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=PROBE_SECONDS,
            check=True,
        )
        answer: Dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    minor = (int(answer["minor"][0]), int(answer["minor"][1]))
    return Interpreter(
        path, answer["version"], answer["implementation"], minor, bool(answer["stable"]), bool(answer["venv"])
    )


def candidates() -> Iterator[str]:
    """Where interpreters are usually found: this one, PATH, pyenv, uv, conda, the system's folders."""
    yield sys.executable
    home = os.path.expanduser("~")
    for folder in [*os.environ.get("PATH", "").split(os.pathsep), "/usr/local/bin", "/usr/bin"]:
        yield from sorted(glob.glob(os.path.join(folder, "python3.*[0-9]")))
        yield from glob.glob(os.path.join(folder, "python3"))
    for root in (os.environ.get("PYENV_ROOT"), os.path.join(home, ".pyenv"), "/opt/pyenv", "/root/.pyenv"):
        if root:
            yield from sorted(glob.glob(os.path.join(root, "versions", "*", "bin", "python")))
    for root in (
        os.environ.get("UV_PYTHON_INSTALL_DIR"),
        os.path.join(home, ".local/share/uv/python"),
        "/opt/uv/python",
    ):
        if root:
            yield from sorted(glob.glob(os.path.join(root, "*", "bin", "python3")))
    for root in (os.environ.get("CONDA_PREFIX"), "/opt/conda", os.path.join(home, "miniconda3")):
        if root:
            yield os.path.join(root, "bin", "python")
            yield from sorted(glob.glob(os.path.join(root, "envs", "*", "bin", "python")))


def wanted_version(spec: str) -> Optional[str]:
    """The version prefix in words like `3.11`, `3.11.7`, `python3.11` or `cpython-3.11`; None where there is none."""
    match = re.match(r"^(?:c?python-?)?(\d+(?:\.\d+){0,2})$", spec.strip().lower())
    return match.group(1) if match else None


def matches(version: str, wanted: str) -> bool:
    """Whether a version lies below a prefix: 3.11.7 below 3.11, but 3.11.7 not below 3.1."""
    return version == wanted or version.startswith(wanted + ".")


def _rank(interpreter: Interpreter) -> Tuple[bool, List[int]]:
    return interpreter.stable, [int(part) for part in re.findall(r"\d+", interpreter.version)[:3]]


def find(interpreter: Optional[str], spec: Optional[str]) -> Interpreter:
    """The interpreter to build with.

    Args:
        interpreter: an absolute path that was resolved before; wins.
        spec: a version or a path, as the user wrote it; None with no path for the interpreter that runs this.

    Raises:
        BuildError: InterpreterNotFound, listing those found.
    """
    named = interpreter or (spec if spec and "/" in spec else None) or (None if spec else sys.executable)
    if named:
        found = probe(named)
        if found is None:
            raise BuildError("InterpreterNotFound", "{} does not run. {}".format(named, _listing(find_all())))
        return _usable(found)
    wanted = wanted_version(spec or "")
    if wanted is None:
        located = shutil.which(spec or "")
        answer = probe(located) if located else None
        if answer is None:
            raise BuildError(
                "InterpreterNotFound", "{!r} names no version and no program. {}".format(spec, _listing(find_all()))
            )
        return _usable(answer)
    everything = find_all()
    fitting = [candidate for candidate in everything if matches(candidate.version, wanted)]
    if not fitting:
        raise BuildError("InterpreterNotFound", "no Python {} was found. {}".format(wanted, _listing(everything)))
    return _usable(max(fitting, key=_rank))


def find_all() -> List[Interpreter]:
    """Every interpreter that runs, each once, broken shims left out."""
    seen: Dict[str, Interpreter] = {}
    for path in candidates():
        real = os.path.realpath(path)
        if real not in seen and os.access(real, os.X_OK):
            found = probe(path)
            if found is not None:
                seen[real] = found
    return list(seen.values())


def _listing(found: List[Interpreter]) -> str:
    lines = ["  {} {}".format(each.version, each.path) for each in sorted(found, key=_rank)]
    return "\n".join(["Found:", *lines]) if lines else "None was found at all."


def _usable(found: Interpreter) -> Interpreter:
    if found.minor < OLDEST:
        words = "{} is Python {}; {}.{} is the oldest that can be measured".format(found.path, found.version, *OLDEST)
        raise BuildError("InterpreterNotFound", words)
    if not found.has_venv:
        words = "{} has no venv module; install it (Debian: python3-venv)".format(found.path)
        raise BuildError("InterpreterNotFound", words)
    return found
