"""Equal sides measured as if they were base and head: how often is a difference claimed, and how wide is the interval?

    python tests/bench/same.py [--pairs N] [--budget SECONDS]

Each pair is read three ways in turn, so that all meet the same noise: by the harness; by timeit, five processes per side, all of one
side before the other (the order of the closest peers); and by pyperf (ten processes of three values per side, its own significance
test). Prints false positives beside their bound and the median half-width. Figures of a shared machine are worth what the machine is.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from isobench_runner.stats.rounds import parse_rounds
from isobench_runner.stats.summary import Rule, Summary, summarise
from support.prepared import Job, make_environment, six

PACKAGE = {
    "tiny/__init__.py": '''\
def work(n):
    """About five milliseconds of dictionary and integer work."""
    seen = {}
    for i in range(30_000):
        seen[i % 977] = seen.get(i % 977, n) + i
    return seen[5]
'''
}
SCRIPT = six(setup="return seed", experiment="return tiny.work(data)").replace("def setup()", "def setup(seed=0)")
BOUND = 0.08125
"""At most 13 of 160: the 95th percentile of a binomial at 5 %."""
TIMEIT = "import timeit, tiny; print(timeit.timeit(lambda: tiny.work(1), number=1))"


def ours(folder: Path, sides: list[Path], *, seed: int, budget: int) -> Summary | None:
    """The harness over both sides."""
    job = Job(folder, {"base": sides[0], "head": sides[1]})
    found = job.measure(SCRIPT, within=budget * 4 + 60, budget_seconds=budget, seed=seed, minimum_effect_percent="2")
    if found.reason is not None:
        print(f"  pair {seed}: {found.reason}")
        return None
    content = "\n".join(json.dumps(item) for item in found.rounds).encode()
    return summarise(
        parse_rounds(content, base="base", other="head")[0], loops=found.run["plan"]["loops"], rule=Rule(delta=0.02)
    )


def timeit_ratio(sides: list[Path]) -> float:
    """Five processes of the one side, then five of the other; the ratio of their means."""
    means = []
    for side in sides:
        times = []
        for _ in range(5):
            done = subprocess.run(
                [sys.executable, "-c", TIMEIT], cwd=side / "tree", capture_output=True, text=True, check=True
            )
            times.append(float(done.stdout))
        means.append(statistics.fmean(times))
    return means[0] / means[1]


def pyperf_claims(folder: Path, sides: list[Path]) -> tuple[bool, float]:
    """Whether pyperf's comparison finds a significant difference, and the ratio of its means."""
    files = []
    means = []
    for number, side in enumerate(sides):
        path = folder / f"pyperf-{number}.json"
        path.unlink(missing_ok=True)
        options = [
            "-p",
            "10",
            "-n",
            "3",
            "-w",
            "1",
            "--min-time",
            "0.02",
            "--quiet",
            "-o",
            str(path),
            "--inherit-environ=PYTHONPATH",
        ]
        subprocess.run(
            [sys.executable, "-m", "pyperf", "timeit", *options, "-s", "import tiny", "tiny.work(1)"],
            cwd=side / "tree", env={"PYTHONPATH": str(side / "tree"), "PATH": "/usr/bin:/bin"}, capture_output=True, check=True,
        )  # fmt: skip
        files.append(str(path))
        shown = subprocess.run(
            [sys.executable, "-m", "pyperf", "show", str(path)], capture_output=True, text=True, check=True
        ).stdout
        found = re.search(r"Mean \+- std dev: ([\d.]+) (ms|us|sec)", shown)
        assert found is not None, shown
        means.append(float(found[1]) * {"ms": 1.0, "us": 1e-3, "sec": 1e3}[found[2]])
    text = subprocess.run(
        [sys.executable, "-m", "pyperf", "compare_to", *files], capture_output=True, text=True, check=True
    ).stdout
    return "not significant" not in text.lower(), means[0] / means[1]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--budget", type=int, default=10, help="seconds of measuring per pair")
    arguments = parser.parse_args()
    claims, widths, rounds, errors = 0, [], [], {"isobench": [], "timeit": [], "pyperf": []}  # type: ignore[var-annotated]
    read, pyperf_claimed = 0, 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        sides = [make_environment(folder / name, PACKAGE) for name in ("one", "two")]
        for pair in range(arguments.pairs):
            order = sides if pair % 2 else sides[::-1]
            summary = ours(folder, order, seed=pair, budget=arguments.budget)
            if summary is not None and summary.judgement.interval is not None:
                read += 1
                low, high = summary.judgement.interval
                claims += low > 1 or high < 1
                widths.append(summary.half_width_percent or 0.0)
                rounds.append(summary.judgement.rounds)
                errors["isobench"].append(abs(summary.judgement.speedup - 1) * 100)
            errors["timeit"].append(abs(timeit_ratio(order) - 1) * 100)
            claimed, ratio = pyperf_claims(folder, order)
            pyperf_claimed += claimed
            errors["pyperf"].append(abs(ratio - 1) * 100)
    n = arguments.pairs
    if not widths:
        sys.exit("no pair came to six rounds; raise --budget")
    print(f"{n} equal pairs of about 5 ms per call, {arguments.budget} s of measuring each")
    print(
        f"isobench  false positives {claims} of {read} (bound {BOUND:.0%}); half-width median {statistics.median(widths):.2f} %; rounds median {statistics.median(rounds):.0f}"
    )
    print(f"timeit x5 reads 5 % or more either way in {sum(error >= 5 for error in errors['timeit'])} of {n}")
    print(f"pyperf    calls the difference significant in {pyperf_claimed} of {n}")
    for name, values in errors.items():
        ordered = sorted(values)
        print(
            f"{name:9} error of the ratio: median {statistics.median(ordered):.2f} %, 95th percentile {ordered[int(0.95 * (len(ordered) - 1))]:.2f} %"
        )


if __name__ == "__main__":
    main()
