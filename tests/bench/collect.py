"""How long `list` and `collect` take over 10,000 Commits and how much memory they hold, beside their bounds.

Run as `python tests/bench/collect.py [commits]`. Making the Commits is not timed; both stages run as processes of their own, whose
peak resident size the kernel reports.
"""

from __future__ import annotations

import dataclasses
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).parents[1]))

from isobench_runner.contract import REQUEST_VARIABLE, CollectRequest
from isobench_runner.store import Store
from support.run_folder import CASES, commit_document

BOUND_SECONDS, BOUND_MIB = 60, 256
DISTINCT = 200
"""Commits with artifacts of their own; the others share these, each with a head of its own, so that none is a duplicate."""


def make(root: Path, commits: int) -> None:
    """Write the status documents and artifacts of a run over so many Commits."""
    store = Store(root / "artifacts")
    status = root / "status"
    status.mkdir()
    kinds = [case for case in CASES if case.reason is None and case.main in ("measured", "same")]
    for number in range(min(DISTINCT, commits)):
        kind = kinds[number % len(kinds)]
        case = dataclasses.replace(
            kind, name=f"c{number}", subject=f"Change {number}", patch=kind.patch * (1 + number % 40), rounds=32
        )
        document = commit_document(case, store)
        inputs = store.get_json(document["status"]["artifacts"]["inputs"])
        for copy in range(number, commits, DISTINCT):
            head = f"{copy:040x}"
            document["metadata"] = {"name": f"c{copy}", "uid": head[:32]}
            document["status"]["artifacts"]["inputs"] = store.put_json({**inputs, "head": head})
            text = yaml.dump(document, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper))
            (status / f"commit-c{copy}.yaml").write_text(text)


def timed(root: Path, *arguments: str) -> tuple[float, float, float]:
    """Seconds, seconds of CPU, and peak MiB of one stage."""
    request = CollectRequest(
        commit="bench", nonce="n", repository_url="", repository="", dataset="dataset", views=("canonical",)
    )
    environment = {**os.environ, REQUEST_VARIABLE: request.to_json(), "ISOBENCH_STORE": str(root / "artifacts")}
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "isobench_runner", *arguments], env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0
    assert not list(root.glob("*/outcome.json")), f"{arguments[0]} failed"
    return time.monotonic() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(commits: int) -> int:
    """Print both figures; the exit code says whether they keep their bounds."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    with tempfile.TemporaryDirectory(prefix="isobench-bench-") as folder:
        root = Path(folder)
        make(root, commits)
        bounds = f"≤ {BOUND_SECONDS} s, ≤ {BOUND_MIB} MiB"
        print(f"{commits} Commits; load of the machine {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")
        seconds, cpu, mib = timed(root, "list", "--in", str(root / "status"), "--out", str(root / "in"))
        print(f"list              {seconds:6.1f} s  {cpu:6.1f} s CPU  {mib:4.0f} MiB")
        seconds, cpu, mib = timed(root, "collect", "--in", str(root / "in"), "--out", str(root / "out"))
        print(f"collect           {seconds:6.1f} s  {cpu:6.1f} s CPU  {mib:4.0f} MiB  ({bounds})")
        again, cpu, peak = timed(root, "collect", "--in", str(root / "in"), "--out", str(root / "out"))
        print(f"collect and merge {again:6.1f} s  {cpu:6.1f} s CPU  {peak:4.0f} MiB  ({bounds})")
        file = root / "dataset" / "dataset.jsonl"
        with file.open("rb") as lines:
            print(f"{sum(1 for _ in lines)} records, {file.stat().st_size / 2**20:.0f} MiB of JSONL")
        return int(max(seconds, again) > BOUND_SECONDS or max(mib, peak) > BOUND_MIB)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
