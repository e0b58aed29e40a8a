"""Finds the interpreter that `environment.python` means on this machine, and what can be seen of it.

findpython says where interpreters may lie; each that is considered is run once, since a name on PATH may be a shim of something else.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import findpython

from .contract import Reason, StageError

PROBE_SECONDS = 30
_VERSION = re.compile(r"(?:(?:c?python)[@-]?)?(\d+(?:\.\d+){0,2})", re.IGNORECASE)
_PROBE = """
import json, os, platform, site, sys, sysconfig
paths = sysconfig.get_paths()
print(json.dumps({
    "executable": sys.executable, "version": platform.python_version(), "implementation": platform.python_implementation().lower(),
    "base": getattr(sys, "_base_executable", None) or sys.executable, "prefixes": [sys.prefix, sys.base_prefix, sys.exec_prefix],
    "packages": sorted({os.path.realpath(paths["purelib"]), os.path.realpath(paths["platlib"])})}))
"""
_DISTRIBUTIONS = """
import json, re
from importlib import metadata
found = set()
for item in metadata.distributions():
    name = item.metadata["Name"]
    if name:
        found.add(re.sub("[-_.]+", "-", name).lower() + "==" + str(item.version))
print(json.dumps(sorted(found)))
"""


@dataclass(frozen=True)
class Interpreter:
    """An interpreter that answered.

    Attributes:
        executable: as it was found; a virtual environment's own python stays that.
        version: 3.11.7
        base: the interpreter that a virtual environment was made of; itself elsewhere.
        prefixes: folders that it needs to run.
        packages: its site-packages folders.
    """

    executable: str
    version: str
    implementation: str
    base: str
    prefixes: tuple[str, ...]
    packages: tuple[str, ...]

    @property
    def path(self) -> str:
        """Where it lies, as it was found."""
        return self.executable

    @property
    def identity(self) -> str:
        """What goes into an environment's key."""
        return f"{self.implementation} {self.version} {os.path.realpath(self.executable)} {self.prefixes[0]}"


def probe(path: str) -> Interpreter | None:
    """Run an interpreter and ask what it is; None where it does not run."""
    try:
        done = subprocess.run(
            [path, "-I", "-c", _PROBE],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=True,
        )
        answer = json.loads(done.stdout)
        return Interpreter(
            path,
            str(answer["version"]),
            str(answer["implementation"]),
            str(answer["base"]),
            tuple(dict.fromkeys(answer["prefixes"])),
            tuple(answer["packages"]),
        )
    except (OSError, ValueError, KeyError, subprocess.SubprocessError):
        return None


def _candidates() -> list[str]:
    """Where findpython would look, in its order, none of them run yet."""
    providers = findpython.Finder().setup_providers()
    return list(dict.fromkeys(str(python.executable) for provider in providers for python in provider.find_pythons()))


def find_all() -> list[Interpreter]:
    """Every interpreter that runs, each once however many names it has; the newest first."""
    paths = {os.path.realpath(path): path for path in reversed(_candidates())}
    found = [item for path in paths.values() if (item := probe(path)) is not None]
    own = {item.prefixes[0]: item for item in reversed(found)}
    return sorted(own.values(), key=lambda item: [int(part) for part in re.findall(r"\d+", item.version)], reverse=True)


def _satisfies(version: str, wanted: str) -> bool:
    return version == wanted or version.startswith(f"{wanted}.")


def _by_version(wanted: str) -> Interpreter:
    minor = ".".join(wanted.split(".")[:2])
    paths = _candidates()
    likely = [path for path in paths if re.search(rf"(?<![\d.]){re.escape(minor)}(?!\d)", path)]
    likely.sort(key=lambda path: not Path(path).name.endswith(minor))
    for path in [*likely, *(path for path in paths if path not in likely)]:
        found = probe(path)
        if found is not None and found.implementation == "cpython" and _satisfies(found.version, wanted):
            return found
    listed = ", ".join(f"{item.version} ({item.executable})" for item in find_all())
    raise StageError(
        Reason.INTERPRETER_NOT_FOUND,
        f"environment.python is {wanted!r}, which is neither on PATH nor known to pyenv, uv or the system; found: {listed or 'none'}",
    )


def find(spec: str | None, *, inherit: bool) -> Interpreter:
    """The interpreter that environments are made of.

    Args:
        spec: `environment.python`: a version ("3.8", "3.11.7"), a path, or None for the one that isobench runs on.
        inherit: whether its site packages are wanted: then a virtual environment stays itself, else its base is taken.

    Raises:
        StageError: InterpreterNotFound, listing those found.
    """
    version = _VERSION.fullmatch(spec) if spec else None
    if version:
        found = _by_version(version[1])
    else:
        path = str(Path(spec).expanduser()) if spec else sys.executable
        answer = probe(path) if Path(path).is_absolute() else None
        if answer is None:
            raise StageError(
                Reason.INTERPRETER_NOT_FOUND,
                f'environment.python is {spec!r}, which does not run as a Python; give a version ("3.11") or an absolute path',
            )
        found = answer
    return found if inherit or found.base == found.executable else probe(found.base) or found


def distributions(interpreter: Interpreter) -> tuple[str, ...]:
    """`name==version` of all that the interpreter sees, sorted.

    Raises:
        StageError: InterpreterNotFound where it does not say.
    """
    try:
        done = subprocess.run(
            [interpreter.executable, "-I", "-c", _DISTRIBUTIONS],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROBE_SECONDS,
            check=True,
        )
        return tuple(str(item) for item in json.loads(done.stdout))
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise StageError(
            Reason.INTERPRETER_NOT_FOUND, f"{interpreter.executable} does not say what is installed for it: {error}"
        ) from error
