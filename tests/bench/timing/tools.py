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
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import fmean, median

from isobench_runner.stats.rounds import parse_rounds
from isobench_runner.stats.summary import Rule, summarise
from support.prepared import Job

from . import rules
from .pairs import SCRIPT, Pair
from .readings import Reading

Side = Path
Found = Mapping[str, object]
MINIMUM_EFFECT_PERCENT = 2
CALLS_IN_SCRIPT = 20
TIMEIT_PROCESSES = 5
ASV_ROUNDS = 2
PYPERF = ["-p", "10", "-n", "3", "-w", "1", "--min-time", "0.02", "--quiet", "--inherit-environ=PYTHONPATH"]
HYPERFINE = ["--shell=none", "--warmup", "1", "--runs", "10", "--style", "none"]
OPTIONS = {
    "isobench": "the harness, as `isobench run` starts it; claims a difference where its interval excludes 1",
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
    """The packed harness over both sides, and what the trusted report computes from its rounds."""
    with tempfile.TemporaryDirectory() as scratch:
        job = Job(Path(scratch), {"base": sides[0], "head": sides[1]})
        found = job.measure(
            SCRIPT,
            within=budget * 6 + 120,
            alone=shutil.which("bwrap") is not None,
            budget_seconds=budget,
            seed=seed,
            minimum_effect_percent=str(MINIMUM_EFFECT_PERCENT),
        )
    if found.reason is not None:
        raise ToolError(f"{found.reason}: {str(found.outcome.get('tail'))[-300:]}")
    content = "\n".join(json.dumps(item) for item in found.rounds).encode()
    rounds = parse_rounds(content, base="base", other="head")[0]
    summary = summarise(
        rounds, loops=found.run["plan"]["loops"], rule=Rule(delta=MINIMUM_EFFECT_PERCENT / 100),
        distinct_inputs=(found.run["calibration"] or {}).get("distinct") is True,
    )  # fmt: skip
    if summary is None or summary.judgement.interval is None:
        raise ToolError(f"{len(rounds)} rounds are too few; raise --budget")
    low, high = summary.judgement.interval
    kept = [one for one in rounds if one.discarded is None]
    return {
        "ratio": summary.judgement.speedup,
        "claims": low > 1 or high < 1,
        "low": low,
        "high": high,
        "logs": tuple(rules.log_ratio(one.base.median_ns, one.other.median_ns) for one in kept),
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


def take(name: str, pair: Pair, level: str, sides: tuple[Side, Side], *, budget: int, seed: int) -> Reading:
    """One reading, whatever comes of it."""
    load = os.getloadavg()[0]
    begin = time.monotonic()
    found: Found
    try:
        found = TOOLS[name](pair, sides, budget=budget, seed=seed)
    except (ToolError, subprocess.TimeoutExpired) as error:
        found = {"ratio": None, "claims": False, "words": re.sub(r"\s+", " ", str(error))[-300:]}
    return Reading(
        tool=name,
        pair=pair.number,
        level=level,
        percent=pair.percent,
        truth=pair.truth,
        wall_seconds=round(time.monotonic() - begin, 2),
        load=round(load, 2),
        **found,  # type: ignore[arg-type]
    )
