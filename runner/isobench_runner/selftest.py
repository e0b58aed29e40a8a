"""What a machine can tell apart: base beside itself, and a known amount of extra work, through the harness that measures Commits.

Nothing is simulated: two measuring runs of the packed harness over environments of a tiny package. The extra work is exact, in units,
so the truth is known to the last digit. Who shuts the processes in is the caller's business.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .harness_archive import build_archive
from .stats.rounds import parse_rounds
from .stats.summary import Rule, Summary, summarise

UNITS = {"base": 420, "head": 400}
TRUTH = UNITS["base"] / UNITS["head"]
"""Exactly 1.05: head does twenty units less."""
MINIMUM_EFFECT_PERCENT = "2"
PACKAGE = '''\
UNITS = {units}


def work(seed):
    """Equal units of integer work; what is returned does not depend on how many there are."""
    x = seed
    for _ in range(UNITS):
        for i in range(250):
            x = (x * 31 + i) % 1000003
    return seed
'''
TEST = """\
import json
import selftest_work

def setup(seed=0): return seed
def experiment(data): return [selftest_work.work(data)]
def store_result(result, path): open(path, "w").write(json.dumps(result))
def load_result(path): return json.load(open(path))
def check_equivalence(reference, result): assert reference == result
def run_test(eqcheck=False, reference=False, prefix=""): return 0.0
"""
Shut = Callable[[Path, Sequence[str]], Sequence[str]]
"""Turns (folder of the run, command) into the command that is started."""
Outcome = Literal["found", "missed", "wrong"]


class SelftestError(Exception):
    """The harness itself did not come to rounds: its reason and last words."""


@dataclass(frozen=True, kw_only=True)
class Selftest:
    """What was found.

    Attributes:
        same: base beside itself. injected: TRUTH as measured.
        machine: of the fingerprint.
        isolation: kind, and why in words.
    """

    same: Summary
    injected: Summary
    machine: dict[str, Any]
    budget_seconds: int
    isolation: tuple[str, str]
    node: str

    @property
    def floor_percent(self) -> float | None:
        """What base beside itself comes out apart; None where too few rounds were measured."""
        return self.same.noise_floor_percent

    @property
    def outcome(self) -> Outcome:
        """What became of the injected effect: its interval excludes 1 and holds the truth, or it does not."""
        interval = self.injected.judgement.interval
        if interval is None or interval[0] <= 1 <= interval[1]:
            return "missed"
        return "found" if interval[0] <= TRUTH <= interval[1] else "wrong"

    @property
    def good(self) -> bool:
        """Whether this machine tells equal from different."""
        return not self.same.differs and self.outcome == "found"


def run(
    folder: Path,
    *,
    budget_seconds: int,
    seed: int,
    isolation: tuple[str, str],
    node: str,
    shut: Shut | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Selftest:
    """Measure twice, half of the budget each.

    Args:
        folder: an empty one; everything is made below it.
        shut: how the harness is shut in.
        tell: hears what begins, and how long it may take.

    Raises:
        SelftestError: a run came to nothing.
    """
    sides = {name: _environment(folder / "env" / name, units) for name, units in UNITS.items()}
    half = max(1, budget_seconds // 2)
    tell(f"1 of 2: the same code twice, about {half} s and a little more; leave the machine alone")
    equal = _measure(folder / "same", {"base": sides["base"], "base2": sides["base"]}, half, seed, shut)
    tell("2 of 2: one side with exactly 5 % more work")
    unequal = _measure(folder / "injected", {"base": sides["base"], "head": sides["head"]}, half, seed + 1, shut)
    machine = unequal[1].get("fingerprint")
    return Selftest(
        same=_summary(*equal, other="base2"),
        injected=_summary(*unequal, other="head"),
        machine=machine if isinstance(machine, dict) else {},
        budget_seconds=budget_seconds,
        isolation=isolation,
        node=node,
    )


def _environment(folder: Path, units: int) -> Path:
    package = folder / "tree" / "selftest_work" / "__init__.py"
    package.parent.mkdir(parents=True)
    package.write_text(PACKAGE.format(units=units))
    venv.create(folder / "env", with_pip=False, symlinks=True)
    return folder


def _plan(environments: dict[str, Path], budget_seconds: int, seed: int) -> dict[str, Any]:
    revisions = [
        {
            "name": name, "sha": str(number) * 40, "key": folder.name, "env_dir": str(folder),
            "python": str(folder / "env/bin/python"), "tree": str(folder / "tree"),
        }
        for number, (name, folder) in enumerate(environments.items())
    ]  # fmt: skip
    return {
        "v": 1, "kind": "measure", "role": "base" if "base2" in environments else "head", "revisions": revisions,
        "origin": "given", "package": "selftest_work", "path": ["."], "changed": [], "budget_seconds": budget_seconds,
        "minimum_effect_percent": MINIMUM_EFFECT_PERCENT, "floor_percent": None, "timeout_seconds": 4 * budget_seconds + 120,
        "ask_better": False, "seed": seed, "interpreter": None,
    }  # fmt: skip


def _measure(
    place: Path, environments: dict[str, Path], budget_seconds: int, seed: int, shut: Shut | None
) -> tuple[list[Any], dict[str, Any]]:
    for name in ("in", "out", "tmp"):
        (place / name).mkdir(parents=True)
    plan = _plan(environments, budget_seconds, seed)
    build_archive(place / "in" / "harness.pyz")
    (place / "in" / "test.py").write_text(TEST)
    (place / "in" / "plan.json").write_text(json.dumps(plan))
    python = getattr(sys, "_base_executable", None) or sys.executable
    harness = [python, "-I", "-S", str(place / "in" / "harness.pyz"), "measure"]
    command = [*harness, "--in", str(place / "in"), "--out", str(place / "out")]
    done = subprocess.run(
        shut(place, command) if shut else command,
        env={"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8", "TMPDIR": str(place / "tmp"), "HOME": str(place / "tmp")},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=plan["timeout_seconds"] + 60,
        check=False,
    )  # fmt: skip
    try:
        outcome = json.loads((place / "out" / "outcome.json").read_text())
    except (OSError, ValueError) as error:
        raise SelftestError(f"the harness left no outcome: {done.stderr[-2000:] or error}") from error
    if outcome["reason"] is not None:
        raise SelftestError(f"{outcome['reason']}: {outcome['tail']}")
    rounds = [json.loads(line) for line in (place / "out" / "rounds.jsonl").read_text().splitlines()]
    return rounds, json.loads((place / "out" / "run.json").read_text())


def _summary(rounds: list[Any], body: dict[str, Any], *, other: str) -> Summary:
    content = "\n".join(map(json.dumps, rounds)).encode()
    found = summarise(
        parse_rounds(content, base="base", other=other)[0],
        loops=int(body["plan"]["loops"]),
        rule=Rule(delta=float(MINIMUM_EFFECT_PERCENT) / 100),
    )
    if found is None:
        raise SelftestError("not one round was kept: the machine was taken away in every one")
    return found
