"""The tools that are compared: each reads a pair in its own way, in real processes, and decides by its own published rule.

Where a tool's default takes minutes per pair, it runs with less, and what it ran with stands here (`OPTIONS`) and in the table.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from operator import attrgetter
from pathlib import Path
from statistics import fmean, median
from typing import Any

from isobench_runner.harness import ranks
from isobench_runner.stats.rounds import Round, parse_rounds
from isobench_runner.stats.summary import Rule, Summary, summarise
from support.prepared import Job

from . import rules
from .pairs import SCRIPT, Pair
from .readings import Reading

Side = Path
Found = dict[str, Any]
WHOLE = "isobench, whole budget"
"""A second reading of the same rounds: all of them, where `isobench` has those up to the look that would have ended it."""
MINIMUM_EFFECT_PERCENT = 2
SIDES = (attrgetter("base"), attrgetter("other"))
CALLS_IN_SCRIPT = 20
TIMEIT_PROCESSES = 5
ASV_ROUNDS = 2
PYPERF = ["-p", "10", "-n", "3", "-w", "1", "--min-time", "0.02", "--quiet", "--inherit-environ=PYTHONPATH"]
HYPERFINE = ["--shell=none", "--warmup", "1", "--runs", "10", "--style", "none"]
OPTIONS = {
    "isobench": "the harness, as `isobench run` starts it; claims a difference where its interval excludes 1. The rounds up to the look that ends it",
    WHOLE: 'all rounds of the same measuring, as `precisionPercent: "0"` asks for: to 128, or what the budget has room for',
    "timeit": "five fresh processes of one call per side, all of base before any of head (GSO's order); claims at 1.2 times, GSO's rule",
    "pyperf": f"`pyperf timeit {' '.join(PYPERF[:-2])}` per side, less than its default of 20 processes; its own `compare_to`",
    "hyperfine": f"`hyperfine {' '.join(HYPERFINE[:-2])}` of a script of {CALLS_IN_SCRIPT} calls; the Welch test that comes with it, p < .05",
    "asv": "two processes per side of up to five samples of 10 ms, not interleaved; Mann-Whitney p < .002 and 1.1 times, its rule",
}
TIMEIT = "import timeit, tiny; print(timeit.timeit(lambda: tiny.work(1), number=1))"
SCRIPT_OF_CALLS = f"import tiny\nfor seed in range({CALLS_IN_SCRIPT}): tiny.work(seed)"
ASV = """\
import json, timeit, time
import tiny
timer, number, begin = timeit.Timer(lambda: tiny.work(1)), 1, time.perf_counter()
while True:
    took = timer.timeit(number)
    if took < 0.01:
        number = max(number + 1, int(min(10.0, max(1.1, 0.01 / took)) * number))
    elif time.perf_counter() > begin + 0.1:
        break
print(json.dumps([timer.timeit(number) / number for _ in range(5)]))
"""
"""As asv_runner's TimeBenchmark samples: `number` for 10 ms while warming up for 0.1 s, then five samples, as there are two rounds."""


class ToolError(Exception):
    """A tool came to no reading: its last words."""


def _run(command: list[str], side: Side, **more: str) -> str:
    """Run a command in a side's tree, from where `import tiny` finds that side."""
    environ = {"PATH": os.defpath, "LANG": "C.UTF-8", "PYTHONPATH": str(side / "tree"), **more}
    done = subprocess.run(
        command, cwd=side / "tree", env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode != 0:
        raise ToolError(f"{' '.join(command[:4])} … ended with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def isobench(pair: Pair, sides: tuple[Side, Side], *, budget: int, seed: int) -> Found:
    """The packed harness over both sides, and what the trusted report computes from its rounds: those up to the look that ends it, and all."""
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        job = Job(Path(scratch), {"base": sides[0], "head": sides[1]})
        found = job.measure(
            SCRIPT,
            within=budget * 6 + 120,
            alone=shutil.which("bwrap") is not None,
            budget_seconds=budget,
            seed=seed,
            minimum_effect_percent=str(MINIMUM_EFFECT_PERCENT),
            precision_percent="0",
        )
    if found.reason is not None:
        raise ToolError(f"{found.reason}: {str(found.outcome.get('tail'))[-300:]}")
    content = "\n".join(json.dumps(item) for item in found.rounds).encode()
    rounds = parse_rounds(content, base="base", other="head")[0]
    distinct = (found.run["calibration"] or {}).get("distinct") is True
    rule = Rule(delta=MINIMUM_EFFECT_PERCENT / 100)
    read = partial(summarise, loops=found.run["plan"]["loops"], rule=rule, distinct_inputs=distinct)
    ends = until_the_look_that_ends_it(rounds)
    beyond = sum(sum(item["spent_ns"].values()) for item in found.rounds[len(ends) :]) / 1e9
    took = time.monotonic() - begin
    whole = {**_found(read(rounds), rounds), "wall_seconds": round(took, 2)}
    return {**_found(read(ends), ends), "wall_seconds": round(took - beyond, 2), WHOLE: whole}


def _logs(rounds: tuple[Round, ...]) -> tuple[float, ...]:
    return tuple(rules.log_ratio(one.base.median_ns, one.other.median_ns) for one in rounds if one.discarded is None)


def until_the_look_that_ends_it(rounds: tuple[Round, ...]) -> tuple[Round, ...]:
    """The rounds after which a measuring that nobody wants to be more precise stops; all, where no look ends it."""
    delta = MINIMUM_EFFECT_PERCENT / 100
    for end in range(1, len(rounds) + 1):
        kept = [one for one in rounds[:end] if one.discarded is None]
        if rounds[end - 1].discarded is None and len(kept) in ranks.LOOKS:
            means = [fmean(sample.ns for one in kept for sample in side(one).samples) for side in SIDES]
            if ranks.judge(_logs(rounds[:end]), delta=delta, human_performance=means[0] / means[1]).stop:
                return rounds[:end]
    return rounds


def _found(summary: Summary | None, rounds: tuple[Round, ...]) -> Found:
    if summary is None or summary.judgement.interval is None:
        raise ToolError(f"{len(rounds)} rounds are too few; raise --budget")
    low, high = summary.judgement.interval
    return {
        "ratio": summary.judgement.speedup,
        "claims": low > 1 or high < 1,
        "low": low,
        "high": high,
        "logs": _logs(rounds),
        "cpu_ratio": summary.cpu.speedup if summary.cpu is not None else None,
        "words": summary.judgement.verdict,
    }


def timeit(pair: Pair, sides: tuple[Side, Side], *, budget: int, seed: int) -> Found:
    """Means of five processes of one call each."""
    times = [[float(_run([sys.executable, "-c", TIMEIT], side)) for _ in range(TIMEIT_PROCESSES)] for side in sides]
    ratio = fmean(times[0]) / fmean(times[1])
    return {"ratio": ratio, "claims": rules.gso_claims(ratio)}


def pyperf(pair: Pair, sides: tuple[Side, Side], *, budget: int, seed: int) -> Found:
    """Its own runs, its own comparison."""
    with tempfile.TemporaryDirectory() as scratch:
        files = [str(Path(scratch) / name) for name in ("base.json", "head.json")]
        for side, file in zip(sides, files, strict=True):
            _run(
                [sys.executable, "-m", "pyperf", "timeit", *PYPERF, "-o", file, "-s", "import tiny", "tiny.work(1)"],
                side,
            )
        text = _run([sys.executable, "-m", "pyperf", "compare_to", *files], sides[0])
        means = [_pyperf_mean(Path(file)) for file in files]
    return {"ratio": means[0] / means[1], "claims": rules.pyperf_claims(text), "words": text.strip().splitlines()[0]}


def _pyperf_mean(path: Path) -> float:
    body = json.loads(path.read_text())
    return fmean(value for run in body["benchmarks"][0]["runs"] for value in run.get("values", ()))


def hyperfine(pair: Pair, sides: tuple[Side, Side], *, budget: int, seed: int) -> Found:
    """A script per side, one command after the other."""
    program = shutil.which("hyperfine")
    assert program is not None
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        commands = []
        for name, side in zip(("base", "head"), sides, strict=True):
            script = folder / f"{name}.py"
            script.write_text(f"import sys\nsys.path.insert(0, {str(side / 'tree')!r})\n{SCRIPT_OF_CALLS}\n")
            commands.append(f"{sys.executable} {script}")
        _run([program, *HYPERFINE, "--export-json", str(folder / "out.json"), *commands], sides[0], PYTHONPATH="")
        results = json.loads((folder / "out.json").read_text())["results"]
    base, head = (one["times"] for one in results)
    return {"ratio": fmean(base) / fmean(head), "claims": rules.welch_claims(base, head)}


def asv(pair: Pair, sides: tuple[Side, Side], *, budget: int, seed: int) -> Found:
    """Its samples (see ASV), its rule (see rules.asv_claims)."""
    samples: list[list[float]] = []
    for side in sides:
        rounds = [json.loads(_run([sys.executable, "-c", ASV], side)) for _ in range(ASV_ROUNDS)]
        samples.append([value for several in rounds for value in several])
    base, head = samples
    return {"ratio": median(base) / median(head), "claims": rules.asv_claims(base, head)}


Tool = Callable[..., Found]
TOOLS: dict[str, Tool] = {
    "isobench": isobench,
    "timeit": timeit,
    "pyperf": pyperf,
    "hyperfine": hyperfine,
    "asv": asv,
}


def take(name: str, pair: Pair, level: str, sides: tuple[Side, Side], *, budget: int, seed: int) -> tuple[Reading, ...]:
    """What one tool read, whatever came of it; isobench's is read twice."""
    load = os.getloadavg()[0]
    begin = time.monotonic()
    try:
        found = {**TOOLS[name](pair, sides, budget=budget, seed=seed)}
    except (ToolError, subprocess.TimeoutExpired) as error:
        found = {"ratio": None, "claims": False, "words": re.sub(r"\s+", " ", str(error))[-300:]}
    took = {"wall_seconds": round(time.monotonic() - begin, 2)}
    several = {name: found} if WHOLE not in found else {WHOLE: found.pop(WHOLE), name: found}
    return tuple(
        Reading(
            tool=tool,
            pair=pair.number,
            level=level,
            percent=pair.percent,
            truth=pair.truth,
            load=round(load, 2),
            **{**took, **one},
        )
        for tool, one in several.items()
    )
