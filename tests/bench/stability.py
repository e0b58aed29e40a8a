"""The same Commits measured again and again, at rest and beside a neighbour, by `isobench run`: do the verdicts agree?

    python tests/bench/stability.py --repositories DIR [MANIFEST…] [--repeats N] [--budget S] [--loads none busy] [--out DIR]
    python tests/bench/stability.py --from DIR

DIR holds clones as DIR/owner/name. Without a manifest: stability/commits.yaml, twelve commits of twelve repositories. Every Commit is
run alone, into a folder of its own; the environments are built once. The same command with the same --out goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.timing.load import neighbours
from bench.timing.tables import markdown

HERE = Path(__file__).resolve().parent
COMMITS = HERE / "stability" / "commits.yaml"
LOADS = ("none", "busy")
FILE = "runs.jsonl"
UNDECIDED = "inconclusive"
SETTLED = ("faster", "slower", "negligible", "no_change")
LIMIT_SECONDS = 900


@dataclass(frozen=True, kw_only=True)
class Run:
    """How one run of one Commit ended.

    Attributes:
        load: beside it, one of LOADS; average: the machine's, before.
        budget: seconds of measuring per Job.
        verdict: or the reason why there is none.
    """

    commit: str
    repository: str
    head: str
    load: str
    repeat: int
    verdict: str
    speedup: float | None
    low: float | None
    high: float | None
    floor: float | None
    seconds: float
    average: float
    budget: int


def disagreement(one: Run, other: Run) -> str | None:
    """What two runs of one Commit cannot both be right about, or None. An undecided run contradicts nothing."""
    if one.verdict != other.verdict and one.verdict in SETTLED and other.verdict in SETTLED:
        return f"{one.verdict} and {other.verdict}"
    failed = [run.verdict not in (*SETTLED, UNDECIDED) for run in (one, other)]
    if any(failed) and one.verdict != other.verdict:
        return f"{one.verdict} and {other.verdict}"
    if one.low and one.high and other.low and other.high and (one.high < other.low or other.high < one.low):
        return f"intervals apart: {_interval(one)} and {_interval(other)}"
    return None


def disagreements(runs: Sequence[Run]) -> list[str]:
    """Those of all pairs of a Commit's runs, each said once."""
    found = (disagreement(one, other) for one, other in combinations(runs, 2))
    return list(dict.fromkeys(words for words in found if words))


def _interval(run: Run) -> str:
    return f"{run.low:.3f} to {run.high:.3f}"


def cell(runs: Sequence[Run]) -> str:
    """Every run of a Commit under one load."""
    return "<br>".join(_told(run) for run in sorted(runs, key=lambda one: one.repeat))


def _told(run: Run) -> str:
    floor = "" if run.floor is None else f"; floor {run.floor:.1f} %"
    if run.low is not None and run.high is not None:
        middle = f" {run.speedup:.3f} ({_interval(run)}{floor})"
    else:
        middle = " (too few rounds for an interval)" if run.verdict == UNDECIDED else ""
    return f"{run.verdict}{middle} in {run.seconds:.0f} s (budget {run.budget} s)"


def table(runs: Sequence[Run]) -> str:
    """A row per Commit, and how many disagree."""
    names = list(dict.fromkeys(run.commit for run in runs))
    loads = [load for load in LOADS if any(run.load == load for run in runs)]
    rows, apart, undecided = [], 0, 0
    for name in names:
        own = [run for run in runs if run.commit == name]
        words = disagreements(own)
        apart += bool(words)
        open_runs = sum(run.verdict == UNDECIDED for run in own)
        undecided += open_runs
        agreed = "; ".join(words) or ("yes" if not open_runs else f"yes; {open_runs} of {len(own)} undecided")
        title = f"{own[0].repository} {own[0].head[:10]}"
        rows.append([title, *(cell([run for run in own if run.load == load]) for load in loads), agreed])
    head = ["commit", *(f"load: {load}" for load in loads), "agree"]
    averages = sorted(run.average for run in runs)
    return (
        f"{markdown(head, rows)}\n\n{len(runs)} runs of {len(names)} Commits: {apart} Commits whose runs disagree, "
        f"{undecided} runs undecided. Load average before the runs: {averages[0]:g} to {averages[-1]:g}."
    )


def documents(
    manifests: Sequence[Path], repositories: Path, folder: Path, *, budget: int | None = None
) -> list[dict[str, Any]]:
    """The Commits of the manifests, their repositories found below a folder, each written to `folder` by its name; `budget` wins over theirs."""
    found = []
    for manifest in manifests:
        for body in yaml.safe_load_all(manifest.read_text()):
            if not isinstance(body, dict) or body.get("kind") != "Commit":
                continue
            place = repositories / body["spec"]["repository"]["url"]
            if not place.exists():
                print(f"{body['metadata']['name']}: {place} is not there; left out")
                continue
            body["spec"]["repository"]["url"] = str(place)
            if budget is not None:
                body["spec"]["measurement"]["budgetSeconds"] = budget
            script = body["spec"]["test"]["script"]
            script["file"] = str((manifest.parent / script["file"]).resolve())
            (folder / f"{body['metadata']['name']}.yaml").write_text(yaml.safe_dump(body))
            found.append(body)
    return found


def run_once(body: dict[str, Any], manifest: Path, load: str, repeat: int, out: Path) -> Run:
    """`isobench run` on one Commit, and what its status says."""
    average, begin = os.getloadavg()[0], time.monotonic()
    with neighbours(repeat) if load == "busy" else nullcontext():
        done = subprocess.run(
            [sys.executable, "-m", "isobench_operator.cli", "run", str(manifest), "--out", str(out), "-o", "json"],
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=LIMIT_SECONDS, check=False,
        )  # fmt: skip
    seconds = time.monotonic() - begin
    if done.returncode not in (0, 3):
        sys.exit(f"isobench run {manifest} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    resources = json.loads(done.stdout)
    status = next(one for one in resources if one["kind"] == "Commit").get("status", {})
    result = status.get("result") or {}
    low, high = (float(one) for one in result["ci95"]) if result.get("ci95") else (None, None)
    return Run(
        commit=body["metadata"]["name"], repository=body["spec"]["repository"]["name"], head=body["spec"]["head"], load=load,
        repeat=repeat, verdict=result.get("verdict") or _why(status), speedup=_number(result.get("speedup")), low=low, high=high,
        floor=_number(result.get("noiseFloorPercent")), seconds=round(seconds, 1), average=round(average, 2), budget=body["spec"]["measurement"]["budgetSeconds"],
    )  # fmt: skip


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _why(status: dict[str, Any]) -> str:
    finished = [one for one in status.get("conditions", ()) if one.get("type") == "Succeeded"]
    return str(finished[0].get("reason")) if finished else "no verdict"


def read(folder: Path) -> list[Run]:
    """What was recorded."""
    path = folder / FILE
    return [Run(**json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


def measure(arguments: argparse.Namespace, out: Path) -> None:
    """Run what has not run yet: every Commit once under each load, then again."""
    known = {(run.commit, run.load, run.repeat) for run in read(out)}
    out.mkdir(parents=True, exist_ok=True)
    manifests = out / "manifests"
    manifests.mkdir(exist_ok=True)
    bodies = documents(
        arguments.manifests or [COMMITS], arguments.repositories.resolve(), manifests, budget=arguments.budget
    )
    for repeat in range(arguments.repeats):
        for body in bodies:
            name = body["metadata"]["name"]
            for load in arguments.loads:
                if (name, load, repeat) in known:
                    continue
                with tempfile.TemporaryDirectory() as scratch:
                    run = run_once(body, manifests / f"{name}.yaml", load, repeat, Path(scratch) / "run")
                with (out / FILE).open("a") as file:
                    file.write(json.dumps(asdict(run)) + "\n")
                print(f"{name}, {load}, {repeat}: {run.verdict} in {run.seconds} s", file=sys.stderr, flush=True)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifests", nargs="*", type=Path)
    parser.add_argument("--repositories", type=Path, help="folder of clones")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--budget", type=int, help="seconds of measuring per Job; default: the manifests'")
    parser.add_argument("--loads", nargs="+", choices=LOADS, default=list(LOADS))
    parser.add_argument("--out", type=Path, help="folder of raw results; default: one that is thrown away")
    parser.add_argument("--from", dest="recorded", type=Path, help="print what this folder has and run nothing")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        out = arguments.recorded or arguments.out or Path(scratch)
        if arguments.recorded is None:
            if arguments.repositories is None:
                print("no --repositories: clone those of stability/commits.yaml as DIR/owner/name and name DIR")
                return
            measure(arguments, out)
        runs = read(out)
        if not runs:
            sys.exit(f"{out} has no runs: see --help")
        print(table(runs))


if __name__ == "__main__":
    main()
