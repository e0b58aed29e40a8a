"""Makes the virtual environment of a revision: without ensurepip, seeded with a pip that every old build still works with.

Also what the lines see: their variables, and a home of their own. Which lines run may not enter here.
"""

import json
import os
import re
import subprocess
from typing import Any, Dict, List, Optional, Tuple

from .build_commands import Commands
from .build_errors import BuildError
from .build_interpreters import Interpreter

INHERIT_FILE = "zzz_inherit.pth"
"""Sorted last: with a name that sorts first, the parent's copy of a package won against the editable one of flit and poetry."""
BUNDLED_SETUPTOOLS_UNTIL = (3, 12)
"""Real environments hold setuptools and wheel below this version (gh-95299), and old builds count on them."""
DROPPED = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUSERBASE", "PYTHONDONTWRITEBYTECODE", "CONDA_PREFIX")
DROPPED_PREFIXES = ("PIP_", "UV_", "ISOBENCH_", "GIT_")
"""Somebody's find-links or constraints would decide what an old revision is built with."""

_PARENT = """
import importlib.util, json, os, site, sys, sysconfig
standard = {os.path.realpath(p) for p in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")) if p}
folders = []
for entry in sys.path:
    real = os.path.realpath(entry)
    if os.path.isdir(real) and real not in standard and os.path.basename(real) != "lib-dynload" and real not in folders:
        folders.append(real)
spec = None
if len(sys.argv) > 1:
    try:
        spec = importlib.util.find_spec(sys.argv[1])
    except Exception:
        spec = None
where = None if spec is None else spec.origin or ", ".join(spec.submodule_search_locations or [])
print(json.dumps({"folders": folders, "where": where}))
"""


def python_of(env_dir: str) -> str:
    """The environment's python, below its folder."""
    return os.path.join(env_dir, "env", "bin", "python")


def site_packages(environment: str) -> List[str]:
    """The environment's own folders of packages."""
    found = []
    for lib in ("lib", "lib64"):
        base = os.path.join(environment, lib)
        if os.path.isdir(base):
            for name in sorted(os.listdir(base)):
                folder = os.path.join(base, name, "site-packages")
                if os.path.isdir(folder):
                    found.append(os.path.realpath(folder))
    return sorted(set(found))


def bare_variables() -> Dict[str, str]:
    """This process' variables without those that steer Python, pip, uv or git; an image's own CUDA_HOME and the like stay."""
    return {
        name: value
        for name, value in os.environ.items()
        if name not in DROPPED and name != "VIRTUAL_ENV" and not name.startswith(DROPPED_PREFIXES)
    }


def line_variables(
    plan: Dict[str, Any], *, home: str, index_url: str, pip_cache: str, ca_bundle: Optional[str]
) -> Dict[str, str]:
    """What install and setup lines see."""
    environment = os.path.join(plan["env_dir"], "env")
    variables = bare_variables()
    variables.update({
        "PATH": os.path.join(environment, "bin") + os.pathsep + variables.get("PATH", os.defpath),
        "VIRTUAL_ENV": environment,
        "ISOBENCH_SHA": plan["sha"],
        "ISOBENCH_TREE": os.path.join(plan["env_dir"], "tree"),
        "HOME": home,
        "USER": "isobench",
        "LOGNAME": "isobench",
        "PIP_INDEX_URL": index_url,
        "UV_DEFAULT_INDEX": index_url,
        "PIP_CACHE_DIR": os.path.join(pip_cache, "pip"),
        "UV_CACHE_DIR": os.path.join(pip_cache, "uv"),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_NO_CONFIG": "1",
        "UV_PYTHON_DOWNLOADS": "never",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_PROGRESS_BAR": "off",
        "PYTHONNOUSERSITE": "1",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    })  # fmt: skip
    for name in ("NO_PROXY", "no_proxy"):
        variables[name] = ",".join(part for part in (variables.get(name, ""), "127.0.0.1", "localhost") if part)
    if ca_bundle:
        variables.update({"PIP_CERT": ca_bundle, "SSL_CERT_FILE": ca_bundle, "REQUESTS_CA_BUNDLE": ca_bundle})
    return variables


def make_home(folder: str, index_url: str) -> str:
    """A home for the lines, in which easy_install is pointed at the index too: it knows no variable."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, ".pydistutils.cfg"), "w") as file:
        file.write("[easy_install]\nindex_url = {}\n".format(index_url))
    return folder


def ask_parent(interpreter: Interpreter, package: Optional[str]) -> Tuple[List[str], Optional[str]]:
    """The folders of packages that an interpreter sees, and where it has the package under test, if it has.

    Raises:
        BuildError: InterpreterNotFound, where it does not answer.
    """
    argv = [interpreter.path, "-I", "-B", "-c", _PARENT, *([package] if package else [])]
    try:
        done = subprocess.run(
            argv,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=120,
            check=True,
        )
        answer = json.loads(done.stdout.splitlines()[-1])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError) as error:
        raise BuildError(
            "InterpreterNotFound", "{} cannot be inherited from: {}".format(interpreter.path, error)
        ) from error
    return list(answer["folders"]), answer["where"]


def inherited_folders(plan: Dict[str, Any], interpreter: Interpreter) -> List[str]:
    """The folders that the environment starts from; none for `inherit: none`.

    Raises:
        BuildError: InheritConflict, where the parent holds the package itself.
    """
    if plan["inherit"] == "none":
        return []
    folders, where = ask_parent(interpreter, plan["package"])
    if where is not None:
        words = "{} has {} itself, at {}: it could be measured in place of the revision; uninstall it there or use inherit: none"
        raise BuildError("InheritConflict", words.format(interpreter.path, plan["package"], where))
    return folders


def make_environment(
    interpreter: Interpreter, environment: str, *, inherited: List[str], commands: Commands, variables: Dict[str, str]
) -> None:
    """Make the environment, without pip, and write the plain path lines of what it inherits.

    Plain lines, because a site folder added by code leaks into pip's build isolation, and `--system-site-packages` shows the base
    interpreter's packages where the parent is itself a virtual environment.

    Raises:
        BuildError: SetupFailed or BuildTimeout.
    """
    commands.run(
        [interpreter.path, "-I", "-m", "venv", "--without-pip", "--symlinks", environment],
        env=variables,
        cwd="/",
        what="making the virtual environment",
        reason="SetupFailed",
    )
    if inherited:
        own = site_packages(environment)[0]
        with open(os.path.join(own, INHERIT_FILE), "w", encoding="utf-8") as file:
            file.write("".join(folder + "\n" for folder in inherited))


def seed(
    environment: str,
    *,
    wheels: List[str],
    minor: Tuple[int, int],
    commands: Commands,
    variables: Dict[str, str],
    cwd: str,
) -> None:
    """Install pip from its wheel and, on old Pythons, setuptools and wheel as of the date.

    Raises:
        BuildError: InstallFailed or BuildTimeout.
    """
    names = [re.split(r"-", os.path.basename(wheel))[0].lower() for wheel in wheels]
    if "pip" not in names:
        raise BuildError("InternalError", "no pip wheel came along: {}".format(wheels))
    missing = [name for name in ("setuptools", "wheel") if minor < BUNDLED_SETUPTOOLS_UNTIL and name not in names]
    installer = os.path.join(wheels[names.index("pip")], "pip")
    python = os.path.join(environment, "bin", "python")
    commands.run(
        [python, installer, "install", "--no-warn-script-location", "--ignore-installed", *wheels, *missing],
        env=variables,
        cwd=cwd,
        what="seeding the environment with {}".format(", ".join([*names, *missing])),
        reason="InstallFailed",
    )
