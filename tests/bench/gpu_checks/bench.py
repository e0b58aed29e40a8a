"""What every check has: a folder, how long it may take, and the product's harness over packages that launch kernels."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import median
from typing import Any

from isobench_runner.harness import ranks
from support.prepared import Job, Measured, make_environment, six

KERNELS = Path(__file__).with_name("kernels.py")
PASSED_ON = ("CUDA", "NVIDIA", "LD_LIBRARY_PATH")
SCRIPT = six(setup="return seed", experiment="return [tiny.work(data)]").replace("def setup(seed)", "def setup(seed=0)")


@dataclass(frozen=True)
class Bench:
    """A check's means.

    Attributes:
        quick: as short as will run every line, for a stub or a first look; figures of such a run are worth nothing.
    """

    folder: Path
    quick: bool

    @property
    def budget(self) -> int:
        """Seconds of measuring per comparison."""
        return 2 if self.quick else 20

    def scaled(self, value: float, quick: float) -> float:
        """One number for a card, a small one for a first look."""
        return quick if self.quick else value

    def package(self, name: str, body: str, top: str = "") -> Path:
        """An environment whose `tiny.work` has this body."""
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        text = f"import kernels\n{top}\n\ndef work(n):\n    kernels.start()\n{lines}    return n * 3\n"
        return make_environment(self.folder / name, {"tiny/__init__.py": text, "kernels.py": KERNELS.read_text()})

    def measure(self, name: str, base: Path, head: Path | None = None, **plan: Any) -> Measured:
        """A measuring Job over two revisions, or over base beside itself."""
        sides = {"base": base, "base2": base} if head is None else {"base": base, "head": head}
        options = {"budget_seconds": self.budget, "within": 20 * self.budget + 200} | plan
        return Job(self.folder / f"jobs-{name}", sides).measure(SCRIPT, environ=variables(), **options)

    def process_ms(self, side: Path, code: str) -> float:
        """How long a whole process takes that runs this beside the package."""
        begin = time.perf_counter()
        subprocess.run(
            [sys.executable, "-c", code], cwd=side / "tree", env={"PATH": os.defpath, **variables()}, check=True
        )
        return 1e3 * (time.perf_counter() - begin)


def variables() -> dict[str, str]:
    """What a process needs to find the card."""
    return {name: value for name, value in os.environ.items() if name.startswith(PASSED_ON)}


def has(module: str) -> bool:
    """Whether a library that is no part of isobench is here."""
    return importlib.util.find_spec(module) is not None


def owed(what: str, module: str = "torch") -> list[str]:
    """The line for a figure that needs a library which is not here; none where it is."""
    return [] if has(module) else [f"owed: {what} (needs {module})"]


@dataclass(frozen=True)
class Ratio:
    """Of two revisions, from rounds; `low` and `high` are None below six rounds.

    Attributes:
        logs: ln(base / other) per round.
    """

    logs: tuple[float, ...]
    speedup: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """As one reads it."""
        return f"{self.speedup:.4f} ({self.low:.4f} to {self.high:.4f}, {len(self.logs)} rounds)"


def ratio(measured: Measured, other: str) -> Ratio | str:
    """From kept rounds; words where there is none."""
    if measured.reason is not None:
        return f"{measured.reason}: {str(measured.outcome.get('tail')).strip()[:200]}"
    kept = [line for line in measured.rounds if not line["discarded"]]
    if len(kept) < ranks.MIN_ROUNDS:
        return f"{len(kept)} rounds kept, too few for an interval"
    summary = measured.summary(other)
    assert summary.judgement.interval is not None
    low, high = summary.judgement.interval
    return Ratio(logs_of(kept, "base", other), summary.judgement.speedup, low, high)


def logs_of(kept: list[dict[str, Any]], base: str, other: str, *, later: int = 0) -> tuple[float, ...]:
    """ln(base / other) of the rounds' medians; `later` takes the other from so many rounds on, as if it had run then."""
    tops = [middle_ns(line, base) for line in kept]
    bottoms = [middle_ns(line, other) for line in kept]
    return tuple(log(top / bottom) for top, bottom in zip(tops, bottoms[later:], strict=False))


def middle_ns(line: dict[str, Any], name: str) -> float:
    """Of a round's samples."""
    return float(median(one["wall_ns"] for one in line["samples"][name]))
