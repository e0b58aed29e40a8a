"""`measure`: the guardian and the measuring parent of one Job, from plan.json and test.py to rounds.jsonl, run.json and outcome.json.

Two processes, because a test may kill the one that started its worker: the guardian waits, and says so if that happens. The measuring
parent keeps every sample in memory; at its end it kills all that is below it, empties the output folder and only then writes.
"""

import contextlib
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from typing import Any, Dict, List, Optional

from . import (
    calibrate,
    checker,
    choices,
    conduct,
    fingerprint,
    looks,
    memo,
    oldstyle,
    pod,
    private,
    reaping,
    rounds,
    said,
    scripts,
    tally,
    validate,
    wire,
)
from .card import Card
from .events import Fall, Stop
from .session import Session
from .tally import Measured

STAGE = "measure"
GUARDIAN_SECONDS = 20.0


def main(in_dir: str, out_dir: str) -> None:
    """Run the plan of `in_dir`; whatever happens, outcome.json is the last file written to `out_dir`.

    Raises:
        wire.PlanError: the plan cannot be read.
    """
    plan = wire.read_plan(in_dir)
    if _not_unpacked(plan, out_dir):
        return
    timeout = float(plan["timeout_seconds"])
    reaping.protect_self()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            reaping.die_with_parent()
            reaping.protect_self()
            reaping.ignore_signals()
            _measure(plan, in_dir, out_dir)
            code = 0
        except BaseException as error:
            full = isinstance(error, OSError) and error.errno == 28
            traceback.print_exc()
            _conclude(out_dir, "DiskFull" if full else "InternalError", traceback.format_exc(), {})
            code = 0
        finally:
            os._exit(code)
    status = _await(child, timeout + GUARDIAN_SECONDS)
    left = reaping.kill_below(os.getpid())
    if status == 0 and os.path.isfile(os.path.join(out_dir, "outcome.json")):
        return
    private.empty_folder(out_dir)
    if status is None:
        words = "measuring had not ended {:.0f} s after its time limit{}".format(
            GUARDIAN_SECONDS, "" if left else ", and processes are left"
        )
        wire.write_outcome(out_dir, STAGE, "MeasureTimeout", words)
    elif os.WIFSIGNALED(status):
        words = "the measuring process was killed by signal {}: a test or a revision sends signals to processes that are not its own, or memory ran out"
        wire.write_outcome(out_dir, STAGE, "WorkerCrashed", words.format(os.WTERMSIG(status)))
    else:
        wire.write_outcome(
            out_dir,
            STAGE,
            "InternalError",
            "the measuring process ended with status {} and without an outcome".format(status),
        )


def _not_unpacked(plan: Dict[str, Any], out_dir: str) -> bool:
    """Whether an environment could not be unpacked; what it said of it becomes this stage's outcome."""
    for revision in plan["revisions"]:
        if wire.failed_before(revision["env_dir"]):
            outcome = wire.read_json(os.path.join(revision["env_dir"], "outcome.json"))
            wire.write_outcome(out_dir, STAGE, outcome["reason"], outcome.get("tail", ""))
            return True
    return False


def _await(child: int, seconds: float) -> Optional[int]:
    """The wait status of the measuring parent, or None where it had to be killed for being late."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.05)
    with contextlib.suppress(OSError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def _harness() -> List[str]:
    """Where a worker imports this package from: its root (a folder or the .pyz) and its name."""
    package = str(__package__)
    root = os.path.abspath(__file__)
    for _ in range(package.count(".") + 2):
        root = os.path.dirname(root)
    return [root, package]


def _measure(plan: Dict[str, Any], in_dir: str, out_dir: str) -> None:
    timeout = float(plan["timeout_seconds"])
    deadline = time.monotonic() + timeout - max(1.0, min(15.0, 0.05 * timeout))
    with open(os.path.join(in_dir, "test.py"), "rb") as file:
        test = file.read()
    root = tempfile.mkdtemp(prefix="m")
    try:
        cpus, quota = sorted(os.sched_getaffinity(0)), pod.quota()
        session = Session(
            plan,
            test,
            root,
            _harness(),
            deadline,
            pod.granted(cpus, quota),
            data_bytes=private.memory_limit(),
            card=Card.find(),
        )
        words = pod.words(cpus, quota)
        session.check("cpus", words is None, words or "{} CPUs for the parent and the workers".format(len(cpus)))
        _run(session, out_dir)
    finally:
        private.remove(root)


def _run(session: Session, out_dir: str) -> None:
    begin = time.monotonic()
    run: Dict[str, Any] = {
        "v": 1,
        "equivalence": {"equal": None, "words": "not judged"},
        "changed_share": None,
        "calibration": None,
        "stopped": None,
        "fingerprint": None,
    }
    measured = Measured()
    reason, tail, detail = None, "", {}
    kind = scripts.kind_of(session.test.decode("utf-8", "replace"))
    session.said.say("{}, for {} s at most".format(" beside ".join(session.names), session.plan["budget_seconds"]))
    trees = {one.name: (one.tree, conduct.signatures(one.tree)) for one in session.revisions.values()}
    try:
        _device(session)
        if kind == scripts.SIX:
            _functions(session, run, measured)
        else:
            _whole(session, run, measured, kind)
        _untouched(session, trees)
        run["fingerprint"] = fingerprint.collect(session)
    except Fall as fall:
        reason, tail, detail = fall.reason, fall.words, {"revision": fall.revision}
        if fall.reason == "MeasureTimeout":
            tail = "{}\n{} rounds were done.".format(tail, len(measured.rounds))
    except Stop as stop:
        reason, tail = stop.reason, stop.words
    os.sched_setaffinity(0, session.cpus)
    session.said.say(
        "{} rounds; {}".format(len(measured.rounds), "done" if reason is None else "{}: {}".format(reason, tail))
    )
    run["checks"], run["flags"] = session.checks, session.flags
    run.setdefault("plan", _plan(session, kind, None, single=True))
    run["gpu_seconds"] = round(time.monotonic() - begin, 3) if session.card is not None else 0.0
    if reason is not None and "share" in session.checks.get("changed_share", {}):
        run["changed_share"] = session.checks["changed_share"]["share"]
    files = {
        "rounds.jsonl": "".join(json.dumps(line, sort_keys=True, allow_nan=False) + "\n" for line in measured.rounds),
        "run.json": json.dumps(run, sort_keys=True, allow_nan=False),
        said.LOG: session.said.log().decode("utf-8", "replace"),
    }
    _conclude(out_dir, reason, tail, files, {**detail, "checks": session.checks})


def _conclude(
    out_dir: str, reason: Optional[str], tail: str, files: Dict[str, str], detail: Optional[Dict[str, Any]] = None
) -> None:
    """End everything below this process, empty the output folder, write: outcome.json last."""
    reaping.kill_below(os.getpid())
    private.empty_folder(out_dir)
    os.makedirs(out_dir, exist_ok=True)
    for name, content in files.items():
        wire.write_file(os.path.join(out_dir, name), content.encode())
    wire.write_outcome(out_dir, STAGE, reason, tail, detail)


def _plan(session: Session, kind: str, frozen: Optional[choices.Frozen], *, single: bool) -> Dict[str, Any]:
    return {
        "seed": session.plan.get("seed", 0),
        "warmups": frozen.warmups if frozen else 0,
        "k": frozen.k if frozen else 1,
        "loops": frozen.loops if frozen else 1,
        "granularity": "function" if kind == scripts.SIX else "process",
        "budget_seconds": session.plan["budget_seconds"],
        "precision_percent": session.plan.get("precision_percent"),
        "order": "sample" if frozen and frozen.together else "process",
        "gc": "enabled",
        "cpus": session.cpus,
        "single_cpu": single,
        "inputs": frozen.mode if frozen else None,
        "cache": frozen.cache if frozen else None,
    }


def _device(session: Session) -> None:
    """Refuse a device that others use too.

    Raises:
        Stop: DeviceShared.
    """
    if session.card is None:
        return
    session.logs.meanwhile = session.card.poll
    words = session.card.refusal()
    session.check("device_alone", words is None, words or "nothing else used {}".format(session.card.described["name"]))
    if words is not None:
        raise Stop("DeviceShared", words)


def _untouched(session: Session, trees: Dict[str, Any]) -> None:
    """Refuse a run in which a prepared tree was written to.

    Raises:
        Stop: ResultInvalid.
    """
    found = [
        "{} of {}".format(name, revision)
        for revision, (tree, before) in trees.items()
        for name in conduct.changed(before, conduct.signatures(tree))
    ]
    words = "files of a prepared tree changed while it was timed: {}".format(", ".join(found[:10]))
    session.check("trees", not found, words if found else "no file of a prepared tree changed")
    if found:
        raise Stop("ResultInvalid", words)


def _functions(session: Session, run: Dict[str, Any], measured: Measured) -> None:
    if session.plan["role"] == "base":
        run["changed_share"] = validate.validate(session)
        session.said.say("the test stands on base")
    frozen = calibrate.calibrate(session)
    run["calibration"] = frozen.as_dict()
    session.said.say(
        "{} samples of {} calls a round, after {} to warm up".format(frozen.k, frozen.loops, frozen.warmups)
    )
    run["plan"] = _plan(session, scripts.SIX, frozen, single=frozen.single)
    one_round = rounds.OneRound(session, frozen, measured)
    looks.run_rounds(
        session,
        measured,
        one_round,
        doubts=lambda kept: frozen.distinct is not True and memo.in_doubt(kept, session.other, loops=frozen.loops),
    )
    run["stopped"] = measured.stopped
    run["plan"]["order"] = "sample" if one_round.frozen.together else "process"
    if not measured.flushed and run["plan"]["cache"] == "cold":
        run["plan"]["cache"] = "warm"
    tally.raise_flags(session, measured, frozen)
    run["equivalence"] = checker.equivalence(session, measured, frozen)


def _whole(session: Session, run: Dict[str, Any], measured: Measured, kind: str) -> None:
    whole = oldstyle.prepare(session, kind)
    run["plan"] = _plan(session, kind, None, single=whole.single)
    run["equivalence"] = {"equal": None, "words": "a script of the older kind has no check of its results"}
    looks.run_rounds(session, measured, lambda index: oldstyle.run_round(session, index, whole))
    run["stopped"] = measured.stopped
