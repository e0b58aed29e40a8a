"""The process that runs a revision's code: imports the test, makes inputs, calls `experiment` when told to, and answers.

Started fresh per revision and round by that revision's own interpreter. It trusts nothing that it has imported: what it times with was
saved before, and the parent reads its own clock around every call. Standard library alone, CPython 3.8.
"""

import importlib.util
import json
import os
import sys
from typing import Any, Callable, Dict, List, Optional

from . import calls, digests, failures, gpu, kinds, mutation, probes
from .sampler import Sampler

_read, _write, _exit, _getpid, _dumps, _loads = os.read, os.write, os._exit, os.getpid, json.dumps, json.loads
MODULE_NAME = "test_generated"
NO_COUNT = -1
CHECK_WORDS = 1800


class Worker:
    """One process's side of the protocol: a JSON object per line in, one out; `go` alone is a bare line."""

    def __init__(self, command: int, reply: int, hide: str) -> None:
        self._command, self._reply, self._hide = command, reply, hide
        self._pid = _getpid()
        self._buffer = b""
        self._timers = probes.Timers()
        self._devices = gpu.Devices()
        self._contract: Optional[calls.Contract] = None
        self._show: List[str] = []
        self._roots: List[str] = []
        self._package: Optional[str] = None
        self._sampler = Sampler(self._devices)
        self._kept: Any = None

    def serve(self) -> None:
        """Answer until told to quit or until nobody asks."""
        while True:
            while b"\n" not in self._buffer:
                piece = _read(self._command, 65536)
                if not piece:
                    _exit(0)
                self._buffer += piece
            line, _, self._buffer = self._buffer.partition(b"\n")
            if line == b"go":
                self._go()
                continue
            message = _loads(line.decode())
            try:
                answer = getattr(self, "do_" + message.pop("do"))(**message)
            except BaseException as error:
                answer = {"error": failures.describe(error, show=self._show, hide=self._hide)}
            self._answer(answer)

    def _answer(self, answer: Dict[str, Any]) -> None:
        if _getpid() != self._pid:
            _exit(0)
        line = _dumps(answer).encode() + b"\n"
        try:
            while line:
                line = line[_write(self._reply, line) :]
        except OSError:
            _exit(9)

    def _six(self) -> calls.Contract:
        if self._contract is None:
            raise calls.ContractError("the test was not loaded")
        return self._contract

    def do_load(
        self, *, test: str, paths: List[str], package: Optional[str], roots: List[str], preload: List[str]
    ) -> Dict[str, Any]:
        """Import the test as `python test_generated.py` would find its modules; `preload` are modules to import before."""
        self._prepare_import(test, paths, package, roots)
        for name in preload:
            try:
                __import__(name)
            except BaseException:
                continue
        begin = probes.perf_counter_ns()
        spec = importlib.util.spec_from_file_location(MODULE_NAME, test)
        if spec is None or spec.loader is None:
            raise ImportError(test)
        module = importlib.util.module_from_spec(spec)
        sys.modules[MODULE_NAME] = module
        spec.loader.exec_module(module)
        self._contract = calls.Contract(module)
        return {"seeded": self._contract.seeded, "load_ns": probes.perf_counter_ns() - begin}

    def _prepare_import(self, test: str, paths: List[str], package: Optional[str], roots: List[str]) -> None:
        sys.argv = [test]
        sys.path[0:0] = [os.path.dirname(test), *paths]
        self._show, self._roots, self._package = [test, *roots], roots, package

    def do_script(self, *, test: str, paths: List[str], package: Optional[str], roots: List[str]) -> Dict[str, Any]:
        """Run a whole script as `__main__`."""
        import runpy

        self._prepare_import(test, paths, package, roots)
        try:
            runpy.run_path(test, run_name="__main__")
        except SystemExit as left:
            if left.code not in (None, 0):
                raise
        return {}

    def do_package(self) -> Dict[str, Any]:
        """Where the package that has to come from the revision was imported from."""
        module = sys.modules.get(self._package) if self._package else None
        if module is None:
            return {"imported": False, "file": None, "inside": False}
        places = (
            [getattr(module, "__file__", None)]
            if getattr(module, "__file__", None)
            else list(getattr(module, "__path__", []))
        )
        real = [os.path.realpath(str(place)) for place in places]
        inside = bool(real) and all(
            any(one.startswith(os.path.realpath(root) + os.sep) for root in self._roots) for one in real
        )
        return {"imported": True, "file": real[0] if real else None, "inside": inside}

    def do_copy(self) -> Dict[str, Any]:
        """What copying the inputs costs; None where they cannot be copied."""
        begin = probes.perf_counter_ns()
        copied = self._six().can_copy()
        return {"copy_ns": probes.perf_counter_ns() - begin if copied else None}

    def do_digests(self, *, seeds: List[int]) -> Dict[str, Any]:
        """Digests of the inputs that these seeds give; None for those that have none."""
        contract = self._six()
        return {"digests": [digests.digest(contract.fresh(seed)) for seed in seeds]}

    def do_changes(self, *, seed: int) -> Dict[str, Any]:
        """Whether a call changes its input; None where the input has no digest."""
        contract = self._six()
        data = contract.fresh(seed)
        before = digests.digest(data)
        if before is None:
            return {"changes": None}
        contract.experiment(data)
        return {"changes": digests.digest(data) != before}

    def do_setup(self, *, seed: int, mode: Optional[str]) -> Dict[str, Any]:
        """Run setup once; settles (mode None) or obeys where inputs come from."""
        begin = probes.perf_counter_ns()
        settled = self._six().first(seed, mode)
        return {"mode": settled, "setup_ns": probes.perf_counter_ns() - begin}

    def do_call(self, *, seeds: List[int], keep: bool) -> Dict[str, Any]:
        """Call `experiment` once per seed on fresh inputs, outside of the protocol: pilots, warm-up, checks."""
        contract = self._six()
        taken, modules = [], []
        for seed in seeds:
            data = contract.fresh(seed)
            known = set(sys.modules)
            there = self._devices.look()
            self._devices.synchronize()
            before = probes.clocks()
            result = contract.experiment(data)
            self._devices.synchronize()
            now = probes.clocks()
            if not there and self._devices.look():
                self._devices.synchronize()  # the call has made the context that its work runs in
                now = probes.clocks()
            taken.append([end - begin for begin, end in zip(before, now)])
            modules.append(sorted(set(sys.modules) - known)[:2000])
            if self._devices.look():
                self._devices.synchronize()
            self._kept = result if keep else None
            lazy = probes.lazy(result)
            del result, data
        walls, cpus, owns, waits = ([one[clock] for one in taken] for clock in range(4))
        return {
            "wall_ns": walls,
            "cpu_ns": cpus,
            "own_ns": owns,
            "wait_ns": waits,
            "new_modules": modules[0] if modules else [],
            "lazy": lazy,
            "gpu": self._devices.look(),
        }

    def do_prepare(self, *, seeds: List[int], loops: int, ring: Optional[int], flush: bool) -> Dict[str, Any]:
        """Make a sample's inputs."""
        inputs = self._sampler.prepare(self._six(), seeds, loops, ring=ring, flush=flush)
        return {"inputs": inputs, "flushed": self._sampler.flushed}

    def _go(self) -> None:
        try:
            wall_ns = self._sampler.run(self._six().function())
        except BaseException as error:
            self._answer({"error": failures.describe(error, show=self._show, hide=self._hide)})
            return
        self._answer({"wall_ns": wall_ns})
        self._sampler.settle()

    def do_after(self, *, keep: bool) -> Dict[str, Any]:
        """What the last sample used, and what went on in the idle moment after it."""
        sample, result = self._sampler.after()
        lazy = probes.lazy(result)
        if keep:
            self._kept = result
        return {"sample": sample, "lazy": lazy}

    def do_queued(self, *, seed: int) -> Dict[str, Any]:
        """GPU time of one more call whose work is queued as a whole before any of it starts; no answer where the call waits for the device."""
        call = self._repeated(seed)
        self._devices.synchronize()
        self._devices.flush()
        return {"queued_ms": self._devices.queued_ms(call)}

    def do_store(self, *, path: str) -> Dict[str, Any]:
        """Store the kept result by the test's own function."""
        begin = probes.perf_counter_ns()
        self._six().store(self._kept, path)
        took = probes.perf_counter_ns() - begin
        return {"store_ns": took, "there": os.path.exists(path), "kinds": kinds.kinds(self._kept)}

    def do_compare(self, *, reference: str, other: Optional[str], mutate: bool) -> Dict[str, Any]:
        """Check a stored result (None: the kept one) against a stored reference, or against that reference mutated."""
        contract = self._six()
        ours = contract.load(reference)
        changed = NO_COUNT
        if mutate:
            try:
                ours, changed = mutation.mutated(ours)
            except Exception as error:
                words = "the result cannot be changed: {}".format(failures.words_of(error))
                return {"equal": None, "leaves": 0, "words": words}
            if not changed:
                return {"equal": None, "leaves": 0, "words": "the result has nothing that can be changed"}
        theirs = self._kept if other is None else contract.load(other)
        try:
            difference = contract.differs(ours, theirs)
        except BaseException as error:
            told = failures.describe(error, show=self._show, hide=self._hide)
            difference = told["words"] if mutate else "the check raised: " + told["traceback"][-CHECK_WORDS:]
        return {"equal": difference is None, "leaves": changed, "words": difference or ""}

    def do_patched(self) -> Dict[str, Any]:
        """Clocks and timers that are no longer what they were, and whether the garbage collector still runs."""
        return {"patched": self._timers.patched(), "gc": probes.collects()}

    def do_cover(self, *, seed: int, changed: List[Dict[str, Any]]) -> Dict[str, Any]:
        """Which changed lines one more call runs."""
        covered = probes.CoveredLines(probes.Places(changed, self._roots))
        covered.run(self._repeated(seed))
        return {"lines": sorted({line for _, line in covered.hit})[:200], "count": len(covered.hit)}

    def do_profile(self, *, seed: int, changed: List[Dict[str, Any]]) -> Dict[str, Any]:
        """The share of one more call's time that is spent in changed functions."""
        share, top = probes.shares(self._repeated(seed), probes.Places(changed, self._roots), hide=self._hide)
        return {"share": share, "top": top}

    def _repeated(self, seed: int) -> Callable[[], Any]:
        contract = self._six()
        data = contract.fresh(seed)
        return lambda: contract.experiment(data)

    def do_about(self) -> Dict[str, Any]:
        """What this interpreter is, and the versions of what is installed in it; what came from a local folder is the revision itself."""
        from importlib import metadata

        found = {}
        for one in metadata.distributions():
            name = one.metadata["Name"]
            origin = one.read_text("direct_url.json") or ""
            if name and '"file:' not in origin.replace(" ", ""):
                found[name.lower().replace("_", "-")] = one.version
        return {
            "python": sys.version,
            "executable": sys.executable,
            "implementation": sys.implementation.name,
            "distributions": found,
        }

    def do_quit(self) -> Dict[str, Any]:
        """End at once: nothing that the test left for the end is run."""
        _exit(0)


def main() -> None:
    """Serve the parent whose pipes are the last two arguments: the harness's root, its package and its memory come before them."""
    root, package, _, command, reply = sys.argv[1:6]
    top = package.partition(".")[0]
    for name in [name for name in sys.modules if name == top or name.startswith(top + ".")]:
        del sys.modules[name]
    booted = vars(sys.modules["__main__"])
    for name in [name for name in booted if not name.startswith("__")]:
        del booted[name]
    sys.path[:] = [entry for entry in sys.path if entry != root]
    sys.path_importer_cache.pop(root, None)
    sys.argv = [""]
    Worker(int(command), int(reply), root).serve()
