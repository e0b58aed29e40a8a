"""Builds one revision's environment and proves it: extract, environment, lines, proof, list, bytecode.

The order of the steps and what each failure is called, nothing else; how a step is done lies in its own module. What stands in
`environment.json` when this ends is read by the trusted report as data.
"""

import datetime as dt
import errno
import fcntl
import os
import platform
import tempfile
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from . import build_environment as environments
from . import build_tree as trees
from .build_commands import Commands, Log, become_subreaper
from .build_errors import BuildError
from .build_interpreters import Interpreter, find
from .dated_index import DatedIndex, cache_name, certificates, format_time, resolve_as_of
from .proof import freeze, prove
from .wire import read_json, read_plan, write_json, write_outcome

MANIFEST = "environment.json"
ARCHIVE = "environment.tar"
LOG = "build.log"


def main(in_dir: str, out_dir: str) -> None:
    """Do what plan.json says and leave outcome.json; every failure of a build is typed there."""
    plan = read_plan(in_dir)
    become_subreaper()
    deadline = time.monotonic() + plan["timeout_seconds"]
    with open(os.path.join(out_dir, LOG), "wb") as file:
        log = Log(file)
        try:
            manifest = _build(plan, in_dir, log, deadline)
            _hand_over(plan, out_dir, log)
            write_outcome(
                out_dir, "build", None, detail={"as_of": manifest["as_of"], "python": manifest["python"]["version"]}
            )
            log.say("done")
        except BuildError as error:
            log.say("{}: {}".format(error.reason, str(error).partition("\n")[0]))
            write_outcome(out_dir, "build", error.reason, str(error), error.detail)


def _hand_over(plan: Dict[str, Any], out_dir: str, log: Log) -> None:
    """Where an environment does not stay at its place, leave its manifest, and what was built as an archive, for the next container."""
    if not plan.get("pack"):
        return
    write_json(os.path.join(out_dir, MANIFEST), read_json(os.path.join(plan["env_dir"], MANIFEST)))
    if not plan["hit"]:
        log.say("packing")
        trees.pack(plan["env_dir"], os.path.join(out_dir, ARCHIVE))


def _build(plan: Dict[str, Any], in_dir: str, log: Log, deadline: float) -> Dict[str, Any]:
    env_dir = plan["env_dir"]
    os.makedirs(env_dir, exist_ok=True)
    folder = os.open(env_dir, os.O_RDONLY)
    try:
        _lock(folder, plan, log, deadline)
        if plan["hit"] and plan.get("pack"):
            log.say("unpacking {}".format(plan["key"]))
            trees.extract(os.path.join(in_dir, ARCHIVE), env_dir)
        known = _finished(plan)
        if known is not None:
            try:
                return _prove_again(plan, known, log, deadline)
            except BuildError as error:
                if plan["hit"] or not error.detail.get("damaged"):
                    raise
                log.say("what was there before is damaged, building anew")
        if plan["hit"]:
            raise _damaged("{} holds no finished environment".format(env_dir))
        return _build_anew(plan, in_dir, log, deadline)
    finally:
        os.close(folder)


def _lock(folder: int, plan: Dict[str, Any], log: Log, deadline: float) -> None:
    """Wait until no other build works on this key; the kernel lets go when a build dies."""
    told = False
    while True:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EWOULDBLOCK, errno.EINTR):
                return
        if not told:
            log.say("waiting for another build of {}".format(plan["key"]))
            told = True
        if time.monotonic() >= deadline:
            raise BuildError("BuildTimeout", "another build of {} did not end within the limit".format(plan["key"]))
        time.sleep(0.2)


def _finished(plan: Dict[str, Any]) -> Optional[Dict[str, Any]]:
    """The manifest of a build that came to its end, or None: it is written last."""
    try:
        manifest = read_json(os.path.join(plan["env_dir"], MANIFEST))
    except (OSError, ValueError):
        return None
    return manifest if isinstance(manifest, dict) and manifest.get("key") == plan["key"] else None


def _damaged(words: str) -> BuildError:
    return BuildError("ResultInvalid", words + "; it is built anew on the next try", {"damaged": True})


def _prove_again(plan: Dict[str, Any], known: Dict[str, Any], log: Log, deadline: float) -> Dict[str, Any]:
    """Prove an environment that stands; what was proved of it for another plan of the same key may be of another package."""
    log.say("found {}, proving it again".format(plan["key"]))
    before = known.get("package") or {}
    same_question = plan["package"] == before.get("name") and plan["path"] == known.get("path")
    try:
        distributions = freeze(plan["env_dir"], deadline)
    except BuildError as error:
        if error.reason == "BuildTimeout":
            raise
        raise _damaged("{} does not stand any more: {}".format(plan["env_dir"], error)) from error
    if distributions != known.get("distributions"):
        raise _damaged("the distributions in {} are not those that were built".format(plan["env_dir"]))
    try:
        package = prove(plan, deadline) or {}
    except BuildError as error:
        if error.reason == "BuildTimeout" or not same_question:
            raise
        raise _damaged("{} does not stand any more: {}".format(plan["env_dir"], error)) from error
    if same_question and package.get("origin") != before.get("origin"):
        raise _damaged("{} is not where it was when it was built".format(plan["package"]))
    return known


def _build_anew(plan: Dict[str, Any], in_dir: str, log: Log, deadline: float) -> Dict[str, Any]:
    env_dir = plan["env_dir"]
    trees.wipe(env_dir)
    interpreter = find(plan["interpreter"], plan["python"])
    log.say("Python {} at {}".format(interpreter.version, interpreter.path))
    inherited = environments.inherited_folders(plan, interpreter)
    log.say("unpacking {}".format(plan["sha"]))
    tree = os.path.join(env_dir, "tree")
    trees.extract(os.path.join(in_dir, plan["tree_archive"]), tree)
    try:
        before = resolve_as_of(plan["packages_as_of"], plan["head_date"], interpreter.minor)
    except ValueError as error:
        raise BuildError("InternalError", "packages_as_of: {}".format(error)) from error
    commands = Commands(log, deadline=deadline, limit_seconds=plan["timeout_seconds"])
    work = tempfile.mkdtemp(prefix="isobench-build-")
    try:
        run = _Lines(plan, in_dir, interpreter, inherited, commands, log, work, certificates(plan.get("ca_bundle")))
        cache = _cache_folder(plan, cache_name(before), work)
        if before is None:
            as_of = dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%d")
            run.all(plan["index_url"], cache)
        else:
            as_of = format_time(before)
            log.say("packages as of {}".format(as_of))
            folder = os.path.join(cache, "index")
            with DatedIndex(plan["index_url"], before=before, cache=folder, ca_bundle=run.ca_bundle) as index:
                try:
                    run.all(index.url, cache)
                except BuildError as error:
                    if not index.errors:
                        raise
                    words = "{}\nThe package index: {}".format(error, "; ".join(index.errors[-3:]))
                    reason = (
                        "IndexUnreachable" if index.unreachable and error.reason == "InstallFailed" else error.reason
                    )
                    raise BuildError(reason, words, error.detail) from error
    finally:
        trees.remove(work)
    log.say("proving what was built")
    package = prove(plan, deadline)
    distributions = freeze(env_dir, deadline)
    trees.remove_git(tree)
    log.say("compiling")
    trees.compile_all(env_dir, deadline)
    manifest = {
        "v": 1,
        "key": plan["key"],
        "sha": plan["sha"],
        "python": {
            "version": interpreter.version,
            "executable": os.path.realpath(interpreter.path),
            "implementation": interpreter.implementation,
        },
        "platform": "{}-{}".format(platform.system().lower(), platform.machine()),
        "as_of": as_of,
        "inherit": plan["inherit"],
        "distributions": distributions,
        "package": package,
        "path": plan["path"],
        "setup": plan["setup"],
        "install": plan["install"],
    }
    write_json(os.path.join(env_dir, MANIFEST), manifest)
    return manifest


@dataclass(frozen=True)
class _Lines:
    """What the lines of a plan need to run, whatever the index."""

    plan: Dict[str, Any]
    in_dir: str
    interpreter: Interpreter
    inherited: List[str]
    commands: Commands
    log: Log
    work: str
    ca_bundle: Optional[str]

    def all(self, index_url: str, cache: str) -> None:
        """Make the environment, seed it and run every line in the tree."""
        plan, commands = self.plan, self.commands
        environment, tree = os.path.join(plan["env_dir"], "env"), os.path.join(plan["env_dir"], "tree")
        home = environments.make_home(os.path.join(self.work, "home"), index_url)
        variables = environments.line_variables(
            plan, home=home, index_url=index_url, pip_cache=cache, ca_bundle=self.ca_bundle
        )
        self.log.say("making the environment")
        environments.make_environment(
            self.interpreter, environment, inherited=self.inherited, commands=commands, variables=variables
        )
        wheels = [os.path.join(self.in_dir, name) for name in plan["seed_wheels"]]
        minor = self.interpreter.minor
        environments.seed(
            environment, wheels=wheels, minor=minor, commands=commands, variables=variables, cwd=self.work
        )
        for kind, reason in (("setup", "SetupFailed"), ("install", "InstallFailed")):
            for number, line in enumerate(plan[kind], 1):
                what = "{} {}/{}: {}".format(kind, number, len(plan[kind]), line)
                commands.run(["/bin/sh", "-e", "-c", line], env=variables, cwd=tree, what=what, reason=reason)
        if plan["test_requirements"]:
            what = "testRequirements: pip install {}".format(" ".join(plan["test_requirements"]))
            argv = [os.path.join(environment, "bin", "python"), "-m", "pip", "install", *plan["test_requirements"]]
            commands.run(argv, env=variables, cwd=self.work, what=what, reason="InstallFailed")


def _cache_folder(plan: Dict[str, Any], date: str, work: str) -> str:
    """A date's folder of caches; one of this build alone where the shared one may not be written."""
    root = plan.get("pip_cache") or os.environ.get("ISOBENCH_PIP") or os.path.join(work, "cache")
    folder = os.path.join(root, date)
    try:
        os.makedirs(folder, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(folder)
    except OSError:
        folder = os.path.join(work, "cache", date)
        os.makedirs(folder, exist_ok=True)
    return folder
