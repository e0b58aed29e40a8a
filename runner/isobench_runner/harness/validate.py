"""What a test has to stand before it is timed: runs, repeats, is checked by something that looks, and reaches what the commit changed.

Run on base alone, in the real environment. A test that falls here ends the run with its typed reason; the evidence is what a repair
is shown, so it never holds a measured effect.
"""

from statistics import median
from typing import Any, Dict, List, Optional, Tuple

from .calibrate import first_call_seconds, too_long
from .checker import Checker, answer
from .events import Calls, Fall, Stop
from .parent import Worker
from .session import Session

LOW_SHARE = 0.2
TRACING_SLOWDOWN = 200
MIN_TRACING_SECONDS = 60.0


def validate(session: Session) -> Optional[float]:
    """Run every check of the base role; each is recorded in `session.checks`.

    Returns:
        The share of base's time that is spent in changed functions, or None where it cannot be said.

    Raises:
        Fall: TestFailed, TestSkipped, WorkerCrashed, PackageNotFromRevision.
        Stop: SampleTooLong, NotDeterministic, VacuousEquivalence, LazyResult, PatchedTimer, TargetMocked, LowShare.
    """
    draw = session.draw("validate")
    seed = draw.randrange(1 << 31)
    calls, first = _run(session, seed, hashseed=draw.randrange(1, 1 << 32))
    words = too_long(session, median(calls.wall_ns))
    session.check("sample_size", words is None, words or "one call takes {:.3g} ms".format(median(calls.wall_ns) / 1e6))
    if words is not None:
        raise Stop("SampleTooLong", words)
    _repeats(session, first, seed, hashseed=draw.randrange(1, 1 << 32))
    _which_device(session, calls)
    return _reaches(session, seed, calls)


def _run(session: Session, seed: int, *, hashseed: int) -> Tuple[Calls, str]:
    with session.worker("base", hashseed=hashseed) as worker:
        worker.load()
        worker.ask("setup", seed=seed, mode=None)
        calls = _first_call(session, worker, seed)
        found = worker.prove_package()
        _package(session, found)
        if calls.lazy:
            session.flag("lazy_result")
            session.check(
                "lazy_result",
                False,
                "experiment returns a {}, which does its work only when it is looked at".format(calls.lazy),
            )
            raise Stop("LazyResult", session.checks["lazy_result"]["words"])
        stored = worker.store("validate")
        slow = too_long(session, calls.wall_ns[0])
        if not (slow and calls.wall_ns[0] > 20e9 * _limit(session)):
            again = worker.call([seed, seed], seconds=2 * first_call_seconds(session))
            calls = Calls(again.wall_ns, again.cpu_ns, calls.new_modules, calls.lazy, again.gpu)
        patched = worker.ask("patched").get("patched")
        if patched:
            session.flag("patched_timer")
            session.check("timers", False, "replaced: {}".format(", ".join(str(one) for one in patched)[:500]))
            raise Stop("PatchedTimer", session.checks["timers"]["words"])
    session.check("runs", True, "the test runs on base")
    return calls, stored


def _limit(session: Session) -> float:
    return float(session.plan["budget_seconds"]) / 32


def _first_call(session: Session, worker: Worker, seed: int) -> Calls:
    limit = first_call_seconds(session)
    try:
        return worker.call([seed], keep=True, seconds=limit)
    except Fall as fall:
        if fall.kind == "late" and session.left() > 0:
            words = "experiment had not returned after {:.0f} s".format(limit)
            session.check("sample_size", False, words)
            raise Stop("SampleTooLong", words) from fall
        raise


def _package(session: Session, found: Dict[str, Any]) -> None:
    package = session.plan.get("package")
    if not package:
        session.check("package", None, "no package was named that has to come from the revision")
        return
    if found.get("imported"):
        session.check("package", True, "{} was imported from {}".format(package, found.get("file")))
        return
    words = "{} was never imported: the test does not run the code that the commit changed".format(package)
    session.check("package", False, words)
    session.flag("target_mocked")
    if session.plan.get("origin") == "generated":
        raise Stop("TargetMocked", words)


def _repeats(session: Session, first: str, seed: int, *, hashseed: int) -> None:
    """The same seed in another process under another hash seed has to give what the check calls equal, and a changed one not."""
    with session.worker("base", hashseed=hashseed) as worker:
        worker.load()
        worker.ask("setup", seed=seed, mode=None)
        worker.call([seed], keep=True)
        second = worker.store("validate")
        with Checker(session) as checker:
            equal, words = _attempt(lambda: checker.compare(first, second))
            raw = equal is not True
            if raw:
                equal, raw_words = _attempt(lambda: answer(worker, first, None, mutate=False))
                words = words if equal is not True else raw_words
            if equal is not True:
                message = "two runs on base with the same seed differ: {}".format(words)
                session.check("determinism", False, message)
                raise Stop("NotDeterministic", message)
            session.check("determinism", True, "two processes with different hash seeds agree")
            vacuous, words = answer(worker, first, None, mutate=True) if raw else checker.compare_mutated(first, second)
    if vacuous:
        message = "check_equivalence accepts a reference in which every value was changed"
        session.check("mutated_reference", False, message)
        raise Stop("VacuousEquivalence", message)
    if vacuous is None:
        session.check("mutated_reference", None, "the check could not be tried: {}".format(words))
    else:
        session.check("mutated_reference", True, "a changed reference is refused: {}".format(words[:300]))


def _attempt(compare: Any) -> Tuple[Optional[bool], str]:
    try:
        equal, words = compare()
    except Fall as fall:
        if fall.kind != "raised":
            raise
        return None, fall.words[-3000:]
    return equal, words


def _which_device(session: Session, calls: Calls) -> None:
    asks = b"cuda" in session.test.lower()
    if not asks:
        return
    if calls.gpu:
        session.check("device", True, "the test ran on the GPU")
        return
    session.flag("cpu_path_taken")
    there = session.card is not None
    session.check(
        "device",
        False,
        "the test knows a GPU path but took the one without, {}".format(
            "although there is a GPU" if there else "as there is no GPU"
        ),
    )


def _reaches(session: Session, seed: int, calls: Calls) -> Optional[float]:
    changed: List[Dict[str, Any]] = [
        one
        for one in session.plan.get("changed") or []
        if one.get("side") == "base" and str(one.get("path", "")).endswith(".py")
    ]
    if not changed:
        session.check("changed_lines", None, "the commit changes no Python function that base has")
        session.check("changed_share", None, "not known for compiled or new code")
        return None
    limit = max(MIN_TRACING_SECONDS, TRACING_SLOWDOWN * median(calls.wall_ns) / 1e9)
    covered = _repeated(session, "cover", seed, changed, limit)
    if covered is None:
        session.check("changed_lines", None, "tracing the changed lines took too long or failed")
    else:
        count = covered.get("count")
        hit = type(count) is int and count > 0
        session.check(
            "changed_lines",
            hit,
            "{} changed lines run in a repeated call".format(count)
            if hit
            else "no changed line runs in a repeated call",
        )
        if not hit:
            session.flag("does_not_hit_change")
    profiled = _repeated(session, "profile", seed, changed, limit)
    share = profiled.get("share") if profiled else None
    if not isinstance(share, (int, float)) or not 0 <= share <= 1:
        session.check("changed_share", None, "profiling took too long or failed")
        return None
    top = [str(line)[:200] for line in (profiled or {}).get("top", [])][:10]
    low = share < LOW_SHARE
    words = "{:.0f} % of base's time is spent in the changed functions".format(100 * share)
    session.check("changed_share", not low, words, share=round(float(share), 4), top=top)
    if low:
        if session.plan.get("ask_better"):
            raise Stop("LowShare", "{}. Where it goes:\n{}".format(words, "\n".join(top)))
        session.flag("low_share")
    return float(share)


def _repeated(
    session: Session, what: str, seed: int, changed: List[Dict[str, Any]], limit: float
) -> Optional[Dict[str, Any]]:
    try:
        with session.worker("base") as worker:
            worker.load()
            worker.ask("setup", seed=seed, mode=None)
            worker.call([seed])
            return worker.ask(what, seconds=limit, seed=seed, changed=changed)
    except Fall:
        if session.left() <= 0:
            raise
        return None
