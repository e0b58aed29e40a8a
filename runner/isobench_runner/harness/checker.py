"""Whether two revisions computed the same, after timing: the test's own check in a fresh process of base's environment.

Results come as the files that the workers stored. The check is asked three times: base against base must pass, base against the other
decides, and a reference changed on purpose must be refused, or the check says nothing.
"""

from typing import Any, Dict, List, Optional, Tuple

from .choices import Frozen
from .events import Fall
from .parent import Worker
from .sampling import take_sample
from .session import Session
from .tally import Measured


class Checker:
    """A fresh process of base that loads stored results; it never runs `experiment`."""

    def __init__(self, session: Session) -> None:
        session.hidden.reveal()
        self._worker = session.worker("base", hashseed=session.draw("checker").randrange(1, 1 << 32))
        try:
            self._worker.load()
        except BaseException:
            self._worker.end()
            raise

    def __enter__(self) -> "Checker":  # noqa: PYI034 - Self needs 3.11
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.end()

    def compare(self, reference: str, other: str) -> Tuple[Optional[bool], str]:
        """The check's answer for two stored results, and its words."""
        return answer(self._worker, reference, other, mutate=False)

    def compare_mutated(self, reference: str, other: str) -> Tuple[Optional[bool], str]:
        """The same with the reference changed: True means that the check is vacuous, None that nothing could be changed."""
        return answer(self._worker, reference, other, mutate=True)


def answer(worker: Worker, reference: str, other: Optional[str], *, mutate: bool) -> Tuple[Optional[bool], str]:
    """Ask a worker to compare; `other` None is the result that it kept."""
    said = worker.ask("compare", reference=reference, other=other, mutate=mutate)
    equal = said.get("equal")
    return (equal if isinstance(equal, bool) else None), str(said.get("words", ""))[:2000]


def equivalence(session: Session, measured: Measured, frozen: Frozen) -> Dict[str, Any]:
    """Judge the results that were kept while timing, then those of an unseen seed.

    Returns:
        {"equal": True, False or None where the check cannot say, "words"}.
    """
    base, other = measured.results.get("base", []), measured.results.get(session.other, [])
    if not base or not other:
        return {"equal": None, "words": "no result was kept"}
    pairs = list(zip(base, other))
    unseen = _unseen(session, frozen)
    if unseen is not None:
        pairs.append(unseen)
    try:
        with Checker(session) as checker:
            said = _judge(checker, pairs, base, has_unseen=unseen is not None)
    except Fall as fall:
        return {
            "equal": None,
            "words": "the check could not be run in base's environment: {}".format(fall.words[-1500:]),
        }
    session.check("equivalence", said["equal"], said["words"])
    return said


def _judge(checker: Checker, pairs: List[Tuple[str, str]], base: List[str], *, has_unseen: bool) -> Dict[str, Any]:
    same, words = checker.compare(base[0], base[0])
    if same is not True:
        return {
            "equal": None,
            "words": "the check refuses a result of base against itself once both were stored and loaded: {}".format(
                words
            ),
        }
    for number, (ours, theirs) in enumerate(pairs):
        equal, words = checker.compare(ours, theirs)
        if equal is not True:
            where = (
                "on an unseen seed"
                if has_unseen and number == len(pairs) - 1
                else "in timed sample {}".format(number + 1)
            )
            return {"equal": False, "words": "results differ {}: {}".format(where, words)}
    vacuous, words = checker.compare_mutated(base[0], pairs[0][1])
    if vacuous:
        return {"equal": None, "words": "the check accepts a reference that was changed on purpose"}
    note = "" if vacuous is False else " ({})".format(words)
    return {"equal": True, "words": "{} pairs of results are equal by the test's own check{}".format(len(pairs), note)}


def _unseen(session: Session, frozen: Frozen) -> Optional[Tuple[str, str]]:
    """One untimed run per revision on a seed that no sample had; None where setup takes none."""
    if not frozen.seeded:
        session.check("unseen_seed", None, "setup takes no seed: every input is the same")
        return None
    draw = session.draw("unseen")
    seed, hashseed = draw.randrange(1 << 31), draw.randrange(1, 1 << 32)
    stored = []
    for name in ("base", session.other):
        with session.worker(name, hashseed=hashseed) as worker:
            worker.load()
            worker.ask("setup", seed=seed, mode=frozen.mode)
            take_sample(worker, seeds=[seed], loops=1, keep=True)
            stored.append(worker.store("unseen"))
    session.check("unseen_seed", True, "both revisions ran on a seed that no sample had")
    return stored[0], stored[1]
