"""Proves, after a build, where the package under test would be imported from, and lists what is installed.

By `find_spec` alone: importing might need a driver that a building machine lacks. Nothing is built or repaired here.
"""

import hashlib
import json
import os
import subprocess
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple
from urllib.parse import unquote, urlsplit

from .build_commands import kill_all
from .build_environment import bare_variables, python_of, site_packages
from .build_errors import BuildError

EXTENSION_SUFFIXES = (".so", ".pyd")

_FIND = """
import importlib.util, json, sys
sys.path[:0] = json.loads(sys.argv[2])
try:
    spec = importlib.util.find_spec(sys.argv[1])
    answer = None if spec is None else {"origin": spec.origin, "locations": list(spec.submodule_search_locations or [])}
    print(json.dumps({"spec": answer, "error": None}))
except Exception as error:
    print(json.dumps({"spec": None, "error": "{}: {}".format(type(error).__name__, error)}))
"""

_FREEZE = """
import importlib.metadata, json, re
found = {}
for item in importlib.metadata.distributions():
    try:
        name, version = item.metadata["Name"], item.version
    except Exception:
        continue
    if name and version:
        key = re.sub(r"[-_.]+", "-", name).lower()
        found.setdefault(key, {"name": str(name), "version": str(version)})
print(json.dumps([found[key] for key in sorted(found)]))
"""


def git_blob(content: bytes) -> str:
    """The name that git gives to a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _ask(python: str, code: str, arguments: List[str], deadline: float) -> Any:
    """Run a question in the environment, from `/`: in the tree the tree itself would shadow a plain install.

    Raises:
        BuildError: BuildTimeout, or PackageNotFound where the environment's python does not answer.
    """
    variables = bare_variables()
    variables["PYTHONNOUSERSITE"] = "1"
    try:
        done = subprocess.run(
            [python, "-I", "-B", "-c", code, *arguments],
            cwd="/",
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=max(0.1, deadline - time.monotonic()),
            check=True,
        )
        return json.loads(done.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        raise BuildError("BuildTimeout", "the environment's python was still answering at the build's limit") from error
    except subprocess.CalledProcessError as error:
        words = "the environment's python does not run:\n{}".format(error.stderr.decode("utf-8", "replace")[-4000:])
        raise BuildError("PackageNotFound", words) from error
    except (OSError, ValueError, IndexError) as error:
        raise BuildError("PackageNotFound", "the environment's python does not answer: {}".format(error)) from error
    finally:
        kill_all()


def freeze(env_dir: str, deadline: float) -> List[Dict[str, str]]:
    """Every distribution that the environment sees, inherited ones too, sorted by normalised name."""
    answer = _ask(python_of(env_dir), _FREEZE, [], deadline)
    return [{"name": str(item["name"]), "version": str(item["version"])} for item in answer]


def refuse_building_at_import(env_dir: str) -> None:
    """Refuse meson-python's editable installs, which run ninja when imported, and even when looked for.

    Raises:
        BuildError: BuildsAtImport, naming the hook.
    """
    for folder in site_packages(os.path.join(env_dir, "env")):
        for name in sorted(os.listdir(folder)):
            if name.startswith("_") and name.endswith("_editable_loader.py"):
                with open(os.path.join(folder, name), "rb") as file:
                    if b"Mesonpy" in file.read():
                        words = (
                            "{} is meson-python's editable hook: it compiles at import; install plainly: pip install ."
                        )
                        raise BuildError("BuildsAtImport", words.format(os.path.join(folder, name)))


def _below(path: str, folder: str) -> bool:
    real, root = os.path.realpath(path), os.path.realpath(folder)
    return real == root or real.startswith(root.rstrip(os.sep) + os.sep)


def _files(folder: str, suffixes: Tuple[str, ...]) -> Iterator[str]:
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in ("__pycache__", ".git"))
        for name in sorted(names):
            if name.endswith(suffixes):
                yield os.path.join(base, name)


def _hash(path: str) -> Optional[str]:
    try:
        with open(path, "rb") as file:
            return git_blob(file.read())
    except OSError:
        return None


def tree_agrees(tree: str, blobs: Dict[str, str]) -> Tuple[int, int]:
    """How many of the revision's Python files still stand in the tree as they were: (equal, all)."""
    return sum(_hash(os.path.join(tree, *path.split("/"))) == blob for path, blob in blobs.items()), len(blobs)


def compare_installed(places: List[str], roots: List[str], blobs: Dict[str, str]) -> Tuple[int, int]:
    """Compare installed Python files with the revision's files of the same place: (equal, those with a counterpart).

    A file `pkg/a.py` of the site packages has its counterpart where the revision has `pkg/a.py`, `src/pkg/a.py` and so on; a file
    without one was generated by the build and says nothing.
    """
    by_name: Dict[str, List[Tuple[str, str]]] = {}
    for path, blob in blobs.items():
        by_name.setdefault(path.rpartition("/")[2], []).append((path, blob))
    matching = counted = 0
    for place in places:
        files = [place] if os.path.isfile(place) else list(_files(place, (".py",)))
        for path in files:
            root = next((root for root in roots if _below(path, root)), None)
            if root is None:
                continue
            inside = os.path.relpath(os.path.realpath(path), root).replace(os.sep, "/")
            counterparts = [
                blob
                for known, blob in by_name.get(os.path.basename(path), [])
                if known == inside or known.endswith("/" + inside)
            ]
            if counterparts:
                counted += 1
                matching += _hash(path) in counterparts
    return matching, counted


def installed_from(tree: str, folders: List[str]) -> bool:
    """Whether a distribution of the environment says (PEP 610) that it was installed from the tree."""
    for folder in folders:
        for name in sorted(os.listdir(folder)):
            if name.endswith(".dist-info"):
                try:
                    with open(os.path.join(folder, name, "direct_url.json"), "rb") as file:
                        url = urlsplit(json.loads(file.read())["url"])
                except (OSError, ValueError, KeyError, TypeError):
                    continue
                if url.scheme == "file" and _below(unquote(url.path), tree):
                    return True
    return False


def prove(plan: Dict[str, Any], deadline: float) -> Optional[Dict[str, Any]]:
    """Where the package lies, or None where the plan names none.

    Returns:
        {"name", "origin", "kind": tree | installed, "blobs_matching", "blobs", "extensions": names of its compiled files}.

    Raises:
        BuildError: PackageNotFound, PackageNotFromRevision, BuildsAtImport or BuildTimeout.
    """
    refuse_building_at_import(plan["env_dir"])
    package = plan["package"]
    if package is None:
        return None
    tree = os.path.join(plan["env_dir"], "tree")
    folders = site_packages(os.path.join(plan["env_dir"], "env"))
    path = [os.path.normpath(os.path.join(tree, part)) for part in plan["path"]]
    answer = _ask(python_of(plan["env_dir"]), _FIND, [package, json.dumps(path)], deadline)
    if answer["spec"] is None:
        why = answer["error"] or "no install line and no folder of environment.path brings it"
        raise BuildError("PackageNotFound", "{} cannot be found in the environment: {}".format(package, why))
    origin, places = answer["spec"]["origin"], list(answer["spec"]["locations"])
    if origin in ("built-in", "frozen"):
        words = "{} is {} in the interpreter: it does not come from the revision"
        raise BuildError("PackageNotFromRevision", words.format(package, origin))
    if origin is not None and not places:
        places = [origin]
    everywhere = [place for place in [origin, *places] if place is not None]
    outside = [place for place in everywhere if not any(_below(place, folder) for folder in [tree, *folders])]
    if outside or not everywhere:
        words = "{} would be imported from {}, which is neither the revision's tree nor its own environment"
        raise BuildError("PackageNotFromRevision", words.format(package, ", ".join(outside) or "nowhere"))
    in_tree = all(_below(place, tree) for place in everywhere)
    _refuse_altered_tree(tree, plan["blobs"])
    roots = [os.path.realpath(tree)] if in_tree else folders
    matching, counted = compare_installed(places, roots, plan["blobs"])
    if not in_tree and not installed_from(tree, folders) and matching * 2 < counted:
        words = "{} at {} is another version: {} of its {} Python files are not the revision's"
        raise BuildError("PackageNotFromRevision", words.format(package, everywhere[0], counted - matching, counted))
    found = sorted(os.path.basename(path) for place in places for path in _files(place, EXTENSION_SUFFIXES))
    return {
        "name": package,
        "origin": everywhere[0],
        "kind": "tree" if in_tree else "installed",
        "blobs_matching": matching,
        "blobs": counted,
        "extensions": found,
    }


def _refuse_altered_tree(tree: str, blobs: Dict[str, str]) -> None:
    equal, count = tree_agrees(tree, blobs)
    if equal * 2 < count:
        words = "the lines changed or removed {} of the tree's {} Python files: what was built is another revision"
        raise BuildError("PackageNotFromRevision", words.format(count - equal, count))
