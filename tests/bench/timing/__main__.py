"""Pairs of known ratio, read by isobench and by its peers side by side: false claims, power, error, coverage, cost.

    python tests/bench/timing [--quick] [--pairs N] [--each N] [--budget S] [--seed S] [--tools …] [--out DIR]
    python tests/bench/timing --from DIR          # the table and the plots again, from what was recorded

Every pair is read by every tool in random order, once with the machine as it is and once with a neighbour that this program starts, so
that all meet the same noise. The same command with the same --out goes on where it was stopped. Figures of a shared machine are worth
what the machine is: its load average is recorded with every reading.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import shutil
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from bench.timing import load, plots, readings, tables
from bench.timing.pairs import LEVELS, PERCENTS, Pair, Sides, plan
from bench.timing.tools import TOOLS, take


def measure(pairs: tuple[Pair, ...], tools: list[str], levels: list[str], *, budget: int, seed: int, out: Path) -> None:
    """Read every pair that is not in `out` yet."""
    known = {one.key for one in readings.read(out)}
    with tempfile.TemporaryDirectory() as scratch:
        sides = Sides(Path(scratch))
        for pair in pairs:
            draw = random.Random(f"{seed}:{pair.number}")
            for level in levels:
                order = [tool for tool in tools if (tool, pair.number, level) not in known]
                draw.shuffle(order)
                if not order:
                    continue
                with load.neighbours(seed + pair.number) if level == "loaded" else nullcontext():
                    for tool in order:
                        for one in take(
                            tool, pair, level, sides.of(pair), budget=budget, seed=seed * 1000 + pair.number
                        ):
                            readings.write(out, one)
            print(f"pair {pair.number + 1} of {len(pairs)}: {pair.base}/{pair.head} units", file=sys.stderr, flush=True)


def main() -> None:
    """Measure, or only draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="two equal pairs, one of 5 %% and one of 2 times, 4 s each: minutes"
    )
    parser.add_argument("--pairs", type=int, default=160, help="equal pairs")
    parser.add_argument("--each", type=int, default=40, help="pairs per effect")
    parser.add_argument("--budget", type=int, default=60, help="seconds of measuring per pair, for isobench")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tools", nargs="+", choices=list(TOOLS), default=list(TOOLS))
    parser.add_argument("--levels", nargs="+", choices=list(LEVELS), default=list(LEVELS))
    parser.add_argument("--out", type=Path, help="folder of raw readings; default: one that is thrown away")
    parser.add_argument("--from", dest="recorded", type=Path, help="draw from this folder and measure nothing")
    parser.add_argument("--plots", type=Path, help="where the plots go; default: the folder of readings")
    arguments = parser.parse_args()
    percents = PERCENTS
    if arguments.quick:
        arguments.pairs, arguments.each, arguments.budget, percents = 2, 1, 4, (0, 5, 100)
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.recorded or arguments.out or Path(scratch)
        if arguments.recorded is None:
            tools = arguments.tools
            if "hyperfine" in tools and shutil.which("hyperfine") is None:
                print("hyperfine is not installed (apt-get install hyperfine): left out")
                tools = [tool for tool in tools if tool != "hyperfine"]
            pairs = plan(arguments.pairs, arguments.each, arguments.seed, percents)
            measure(pairs, tools, arguments.levels, budget=arguments.budget, seed=arguments.seed, out=out)
            print(
                f"seed {arguments.seed}, {arguments.budget} s of measuring; {platform.machine()}, "
                f"{len(os.sched_getaffinity(0))} CPUs, Python {platform.python_version()}\n"
            )
        found = readings.read(out)
        if not found:
            sys.exit(f"{out} has no {readings.FILE}: measure first, with --out {out}")
        print(tables.report(found))
        folder = arguments.plots or out
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "timing-width.svg").write_text(plots.rounds_against_width(found))
        (folder / "timing-truth.svg").write_text(plots.estimate_against_truth(found, list(TOOLS)))


if __name__ == "__main__":
    main()
