"""The measuring parent's side of the conversation with one worker.

The parent owns the clock and never imports repository code. A worker's words are checked before they are believed; whatever a worker
does instead of answering becomes a typed `Fall`. Deciding what to measure is not done here.
"""

import os
import time
from typing import TYPE_CHECKING, Any, Dict, List, Optional, Sequence, Set, Tuple

from .boot import BOOT, NONE
from .events import Calls, Fall
from .processes import Died, Late, Process
from .reaping import Usage, cpu_ns_each, maps, used_since, was_stopped

if TYPE_CHECKING:
    from .session import Revision, Session

DRIVER = b"libcuda.so"
MAX_KINDS = 300
REST_NS = 500_000
REST_SHARE = 0.01
"""CPU time of a worker that waits for its turn: what it takes to go to sleep and to wake, and one part in a hundred of a long wait."""


class Worker:
    """The parent's end of one worker process.

    Attributes:
        stored_kinds: what the result that it stored last is made of, in its words.
    """

    def __init__(self, session: "Session", revision: "Revision", *, hashseed: int, pad: int, cpus: List[int]) -> None:
        self._session, self._revision = session, revision
        self.name = revision.name
        self._folders = session.folders(revision.name)
        env = session.environment(revision.name, self._folders, hashseed=hashseed, pad=pad)
        memory = session.modules.get(revision.name)
        argv = [revision.python, "-c", BOOT, *session.harness, NONE if memory is None else str(memory)]
        try:
            self._process = Process(
                argv,
                env=env,
                cwd=self._folders["work"],
                logs=session.logs,
                cpus=cpus,
                data_bytes=session.data_bytes,
                inherited=() if memory is None else (memory,),
            )
        except OSError as error:
            raise Fall("crashed", self.name, "{} cannot be started: {}".format(revision.python, error)) from error
        self.started_ns = self._process.started_ns
        self.stored_kinds = ""
        self._rested: Optional[Tuple[int, Dict[int, int]]] = None

    def __enter__(self) -> "Worker":  # noqa: PYI034 - Self needs 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self, *, keep_code_cache: bool = False) -> None:
        """Kill it with everything below it and remove its folders; a pilot's compiled kernels may be kept for its revision."""
        self._process.end()
        self._session.said.printed(self.name, self._process.printed())
        if keep_code_cache and os.path.isdir(os.path.join(self._folders["cache"], "code")):
            self._session.code_caches[self.name] = self._folders["cache"]
        else:
            self._session.trash.throw(self._folders["place"])

    def children(self) -> Set[int]:
        """The processes below it."""
        return self._process.family.members()

    def usage(self) -> Usage:
        """What it and all below it have used so far.

        Raises:
            Fall: `stopped`, where a process is no longer below the worker that started it.
        """
        if self._process.family.strays():
            raise Fall("stopped", self.name, "a process was taken out of reach of the worker that had started it")
        return Usage.of(self.pid, self.children)

    def rest(self) -> None:
        """Nothing is asked of it from here on: others take their turns."""
        self._rested = time.monotonic_ns(), cpu_ns_each([self.pid, *self.children()])

    def restless(self) -> Optional[bool]:
        """Whether it has worked since it was told to rest, itself or below it; None where it was not."""
        if self._rested is None:
            return None
        began_ns, before = self._rested
        used_ns = used_since(before, cpu_ns_each([self.pid, *self.children()]))
        return used_ns > max(REST_NS, int(REST_SHARE * (time.monotonic_ns() - began_ns)))

    def ask(self, do: str, *, seconds: Optional[float] = None, **message: Any) -> Dict[str, Any]:
        """Send a command and read its answer.

        Raises:
            Fall: it raised, left, died, spoke out of turn, or was late (`seconds`, never later than the run's deadline).
        """
        self._tell(do, **message)
        return self._told(do, seconds)

    def _tell(self, do: str, **message: Any) -> None:
        try:
            self._process.say({"do": do, **message})
        except Died as died:
            raise self._crashed(died, do) from died

    def _told(self, do: str, seconds: Optional[float]) -> Dict[str, Any]:
        try:
            return self._answer(seconds)
        except Died as died:
            raise self._crashed(died, do) from died

    def _answer(self, seconds: Optional[float]) -> Dict[str, Any]:
        deadline = (
            self._session.deadline if seconds is None else min(self._session.deadline, time.monotonic() + seconds)
        )
        try:
            answer = Process.parse(self._process.hear(deadline))
        except Late:
            words = "no answer after {}".format(
                "the time limit of the run" if seconds is None else "{:.1f} s".format(seconds)
            )
            raise Fall("late", self.name, self._with_output(words)) from None
        return self._believed(answer)

    def _believed(self, answer: Dict[str, Any]) -> Dict[str, Any]:
        error = answer.get("error")
        if error is None:
            return answer
        kind = error.get("kind") if isinstance(error, dict) else None
        if kind not in ("raised", "exit", "skipped"):
            raise Died("spoke out of turn")
        words = str(error.get("traceback", ""))
        raise Fall(kind, self.name, self._with_output(words) if kind != "raised" else words)

    def _with_output(self, words: str) -> str:
        printed = self.printed().strip()
        return (
            "{}\nIt printed last:\n{}".format(words, "\n".join(printed.splitlines()[-20:])[-4000:])
            if printed
            else words
        )

    def _crashed(self, died: Died, doing: str) -> Fall:
        self._process.end()
        if died.status == 0:
            return Fall(
                "skipped",
                self.name,
                self._with_output("the process left with exit code 0 and without a result, in {}".format(doing)),
            )
        if died.status is None:
            how = str(died)
        elif died.status < 0:
            how = "was killed by signal {}".format(-died.status)
        else:
            how = "ended with exit code {}".format(died.status)
        return Fall("crashed", self.name, self._with_output("the process {} in {}".format(how, doing)))

    def printed(self) -> str:
        """The end of what it printed so far."""
        self._session.logs.settle()
        return self._process.printed()

    def load(self, *, preload: Sequence[str] = (), seconds: Optional[float] = None) -> Dict[str, Any]:
        """Import the test."""
        self.begin_load(preload=preload)
        return self.end_load(seconds=seconds)

    def begin_load(self, *, preload: Sequence[str] = ()) -> None:
        """Have the test imported, while others import theirs."""
        self._tell("load", preload=list(preload), **self.import_arguments())

    def end_load(self, *, seconds: Optional[float] = None) -> Dict[str, Any]:
        """Wait until the test is imported."""
        return self._told("load", seconds)

    def pin(self, cpus: Sequence[int]) -> None:
        """Move it to these CPUs."""
        self._process.pin(cpus)

    def import_arguments(self) -> Dict[str, Any]:
        """What `load` and `script` need to find the revision's modules and to prove where they came from."""
        revision, plan = self._revision, self._session.plan
        paths = [os.path.normpath(os.path.join(revision.tree, one)) for one in plan.get("path") or []]
        roots = [revision.tree, os.path.join(revision.env_dir, "env")]
        return {"test": self._folders["test"], "paths": paths, "package": plan.get("package"), "roots": roots}

    def prove_package(self) -> Dict[str, Any]:
        """Where the package came from.

        Raises:
            Fall: `foreign`, where it was imported from outside of the revision.
        """
        package = self._session.plan.get("package")
        if not package:
            return {"imported": True, "inside": True, "file": None}
        found = self.ask("package")
        if found.get("imported") and not found.get("inside"):
            raise Fall(
                "foreign",
                self.name,
                "{} was imported from {}, which is neither the tree nor the environment of {}".format(
                    package, found.get("file"), self.name
                ),
            )
        return found

    def call(self, seeds: List[int], *, keep: bool = False, seconds: Optional[float] = None) -> "Calls":
        """Call `experiment` once per seed outside of the protocol, timed by the worker alone: pilots, warm-up, checks."""
        answer = self.ask("call", seconds=seconds, seeds=seeds, keep=keep)
        walls, cpus, owns, waits = (answer.get(name) for name in ("wall_ns", "cpu_ns", "own_ns", "wait_ns"))
        for numbers in (walls, cpus, owns, waits):
            if (
                not isinstance(numbers, list)
                or len(numbers) != len(seeds)
                or any(type(one) is not int or one < 0 for one in numbers)
            ):
                raise Fall("crashed", self.name, "the process spoke out of turn: calls without times")
        modules = answer.get("new_modules")
        lazy = answer.get("lazy")
        own_gpu = bool(answer.get("gpu"))
        gpu_below = not own_gpu and maps(self.children(), DRIVER)
        return Calls(
            wall_ns=[max(1, one) for one in walls or ()],
            cpu_ns=list(cpus or ()),
            new_modules=[str(one) for one in modules] if isinstance(modules, list) else [],
            lazy=str(lazy)[:100] if lazy else None,
            gpu=own_gpu or gpu_below,
            gpu_below=gpu_below,
            own_ns=list(owns or ()),
            wait_ns=list(waits or ()),
        )

    def store(self, label: str) -> str:
        """Have the kept result stored and take the file away; returns its path.

        Raises:
            Fall: store_result raised, or left nothing under the name that it was given.
        """
        stored = os.path.join(self._folders["out"], "result")
        self.stored_kinds = str(self.ask("store", path=stored).get("kinds", ""))[:MAX_KINDS]
        written = sorted(os.listdir(self._folders["out"]))
        if not written:
            raise Fall("raised", self.name, "store_result(result, path) wrote nothing at its path")
        taken = self._session.result_path(label)
        for name in written:
            ending = name[len("result") :] if name.startswith("result") else "." + name
            os.replace(os.path.join(self._folders["out"], name), taken + ending)
            self._session.hidden.hide(taken + ending)
        return taken

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def go(self) -> Tuple[int, Dict[str, Any]]:
        """Let it run the prepared sample; returns nanoseconds by the parent's clock, and its answer."""
        try:
            begin = time.monotonic_ns()
            self._process.say_bytes(b"go\n")
            line = self._process.hear(self._session.deadline)
            end = time.monotonic_ns()
            answer = self._believed(Process.parse(line))
        except Late:
            words = "experiment did not return before the time limit of the run"
            raise Fall("late", self.name, self._with_output(words)) from None
        except Died as died:
            raise self._crashed(died, "experiment") from died
        if was_stopped(self.pid):
            raise Fall(
                "stopped",
                self.name,
                "a signal stopped the process while it was timed: nothing of a test has a reason to",
            )
        return end - begin, answer
