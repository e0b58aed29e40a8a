"""Scripts of the older kind: pytest files, and scripts without the six functions. Timed as whole processes, start-up beside.

They have no check of results, so nothing is said about equivalence. Of a pytest file only the tests that run on both sides are timed.
"""

import os
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from . import scripts
from .calibrate import too_long
from .choices import single_threaded
from .events import Fall, Stop
from .oldstyle_runs import CONFTEST, Run, pytest_arguments, run_script
from .pod import Pressure
from .session import Session

LEAST_SHARE = 0.05
TRIES = 4
"""Times that a script is run in a round before it is said to do nothing: a busy machine slows one start-up, not four."""
EMPTY_TEST = b"def test_nothing():\n    pass\n"


@dataclass
class Whole:
    """How a script is run as a process.

    Attributes:
        kind: pytest or script.
        tests: pytest's ids of what is timed.
        allow_failure: a performance assertion fails, so a failing exit code is expected.
        single: whether no revision keeps more than one CPU busy.
    """

    kind: str
    tests: List[str] = field(default_factory=list)
    allow_failure: bool = False
    single: bool = True
    least_startup: Dict[str, int] = field(default_factory=dict)


def prepare(session: Session, kind: str) -> Whole:
    """Run the script once on every revision, and settle what is timed.

    Raises:
        Fall, Stop: it failed, skipped itself, or takes too long on base.
    """
    whole = Whole(kind)
    if kind == scripts.PYTEST:
        _choose_tests(session, whole)
    else:
        for name in session.names:
            _try_script(session, name)
    runs = [_timed(session, name, whole, hashseed=1, pad=0, cpus=session.cpus)[0] for name in session.names]
    whole.single = all(single_threaded([one.usage["cpu_ns"]], [one.wall_ns]) for one in runs)
    run = runs[0]
    words = too_long(session, run.wall_ns)
    session.check(
        "sample_size", words is None, words or "one run of the script takes {:.3g} ms".format(run.wall_ns / 1e6)
    )
    if words is not None and session.plan["role"] == "base":
        raise Stop("SampleTooLong", words)
    session.check("runs", True, "the script runs on {}".format(" and ".join(session.names)))
    return whole


def _try_script(session: Session, name: str) -> None:
    with session.worker(name) as worker:
        arguments = worker.import_arguments()
        worker.ask("script", **arguments)
        found = worker.prove_package()
        if not found.get("imported"):
            session.flag("target_mocked")
            session.check("package", False, "{} was never imported".format(arguments["package"]))
        printed = worker.printed()
    if scripts.says_it_skipped(printed):
        raise Fall("skipped", name, "the script left with success after saying:\n{}".format(printed[-2000:]))


def _choose_tests(session: Session, whole: Whole) -> None:
    seen: Dict[str, Dict[str, Any]] = {}
    for name in session.names:
        argv = pytest_arguments(session.revisions[name].python, "test_generated.py")
        run, outcomes = run_script(
            session, name, argv, hashseed=1, pad=0, cpus=session.cpus, files={"conftest.py": CONFTEST}
        )
        if not outcomes:
            kind = "crashed" if run.code < 0 else "exit"
            raise Fall(
                kind, name, "pytest ended with exit code {} and no outcome:\n{}".format(run.code, run.printed[-6000:])
            )
        seen[name] = outcomes
        _anything_ran(name, outcomes)
    everything = sorted(seen["base"])
    passed = [one for one in everything if all(_outcome(seen[name], one) == "passed" for name in session.names)]
    asserted = [
        one
        for one in everything
        if seen["base"][one].get("assertion") and all(_ran(seen[name], one) for name in session.names)
    ]
    if asserted:
        session.check(
            "performance_assertion", False, "an assertion fails on base in {}".format(", ".join(asserted)[:500])
        )
    whole.tests = passed or asserted
    whole.allow_failure = not passed
    if not whole.tests:
        raise Stop(
            "BehaviourChanged",
            "no test of the file runs on both {} and {}:\n{}".format(*session.names, _first_words(seen[session.other])),
        )
    if len(whole.tests) < len(everything):
        session.flag("partly_skipped")
        session.check(
            "partly_skipped",
            False,
            "{} of {} tests are timed: those that run on both sides".format(len(whole.tests), len(everything)),
        )


def _anything_ran(name: str, outcomes: Dict[str, Any]) -> None:
    kinds = [one.get("outcome") for one in outcomes.values()]
    if "passed" in kinds or any(one.get("assertion") for one in outcomes.values()):
        return
    kind = "raised" if "failed" in kinds else "skipped"
    raise Fall(kind, name, _first_words(outcomes))


def _outcome(outcomes: Dict[str, Any], test: str) -> Optional[str]:
    found = outcomes.get(test, {}).get("outcome")
    return found if isinstance(found, str) else None


def _ran(outcomes: Dict[str, Any], test: str) -> bool:
    return _outcome(outcomes, test) == "passed" or bool(outcomes.get(test, {}).get("assertion"))


def _first_words(outcomes: Dict[str, Any]) -> str:
    words = [str(one.get("words", "")) for one in outcomes.values() if one.get("outcome") != "passed"]
    return "\n".join(words)[:6000]


def _timed(session: Session, name: str, whole: Whole, *, hashseed: int, pad: int, cpus: List[int]) -> Tuple[Run, Run]:
    """Run the script, and beside it the same start-up without it; returns both."""
    python = session.revisions[name].python
    if whole.kind == scripts.PYTEST:
        empty, argv = pytest_arguments(python, "test_empty.py"), pytest_arguments(python, *whole.tests)
    else:
        empty, argv = [python, "-c", "pass"], [python, os.path.join("_generated_perf_tests", "test_generated.py")]
    startup, _ = run_script(
        session, name, empty, hashseed=hashseed, pad=pad, cpus=cpus, files={"test_empty.py": EMPTY_TEST}
    )
    run, _ = run_script(session, name, argv, hashseed=hashseed, pad=pad, cpus=cpus)
    if run.code != 0 and not (whole.allow_failure and run.code == 1):
        kind = "crashed" if run.code < 0 else "exit"
        raise Fall(kind, name, "the script ended with exit code {}:\n{}".format(run.code, run.printed[-6000:]))
    whole.least_startup[name] = min(startup.wall_ns, whole.least_startup.get(name, startup.wall_ns))
    return run, startup


def own_time(run_ns: int, startup_ns: int, least_startup_ns: int) -> Optional[int]:
    """What a script took without its start-up, in ns; None where it cannot be told from nothing.

    The start-up beside it was as slow as the machine just then, and comes off; where that leaves nearly nothing, the start-up alone was
    disturbed, and the least one seen comes off instead.
    """
    own = run_ns - startup_ns
    if own < LEAST_SHARE * run_ns:
        own = run_ns - least_startup_ns
    return own if own > 0 else None


def _sample(run: Run, empty: Run, wall_ns: int, *, known: bool) -> Dict[str, Any]:
    """The raw sample of a script and the start-up beside it: without what others held its CPU for, where that is `known` of all."""
    net_ns = run.wall_ns - run.held_ns - (empty.wall_ns - empty.held_ns)
    counted = net_ns if known and net_ns > 0 else wall_ns
    wait_ns = max(0, wall_ns - counted)
    return {
        "wall_ns": counted,
        "wait_ns": wait_ns,
        "parent_ns": counted + wait_ns,
        "gpu_ms": None,
        "run_delay_ns": run.wait_ns or 0,
        "threads_before": 0,
        "threads_after": 0,
        "drain_ns": 0,
        "keep": False,
        **run.usage,
        "cpu_ns": max(0, run.usage["cpu_ns"] - empty.usage["cpu_ns"]),
    }


def run_round(session: Session, index: int, whole: Whole) -> Dict[str, Any]:
    """One round: the script once per revision, in random order. Samples are without the start-up, which `startup_ns` has."""
    draw = session.draw("round", index)
    order = list(session.names)
    draw.shuffle(order)
    hashseed, pad = draw.randrange(1, 1 << 32), draw.randrange(4096)
    cpus = session.place(index, single=whole.single)
    before = Pressure.now()
    runs: Dict[str, Tuple[Run, Run, int]] = {}
    for name in order:
        for _ in range(TRIES):
            run, empty = _timed(session, name, whole, hashseed=hashseed, pad=pad, cpus=cpus)
            wall = own_time(run.wall_ns, empty.wall_ns, whole.least_startup[name])
            if wall is not None:
                runs[name] = run, empty, wall
                break
        else:
            words = "on {} the script takes no longer than its start-up, {:.3g} ms: give it more to do"
            raise Stop("TestTrivial", words.format(name, whole.least_startup[name] / 1e6))
    known = whole.single and all(one.wait_ns is not None for run, empty, _ in runs.values() for one in (run, empty))
    startup = {name: empty.wall_ns for name, (_, empty, _) in runs.items()}
    samples = {name: [_sample(*found, known=known)] for name, found in runs.items()}
    cold = {name: {"wall_ns": one[0]["wall_ns"], "cpu_ns": one[0]["cpu_ns"]} for name, one in samples.items()}
    now = Pressure.now()
    return {
        "round": index,
        "order": order,
        "hashseed": hashseed,
        "pad": pad,
        "samples": samples,
        "cold": cold,
        "startup_ns": startup,
        "pressure": now.since(before),
        "gpu": None,
        "discarded": now.cause_since(before),
    }
