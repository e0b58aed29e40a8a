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


def timed(root: Path, *arguments: str) -> tuple[float, float]:
    """Seconds and peak MiB of one stage."""
    request = CollectRequest(
        commit="bench", nonce="n", repository_url="", repository="", dataset="dataset", views=("canonical",)
    )
    environment = {**os.environ, REQUEST_VARIABLE: request.to_json(), "ISOBENCH_STORE": str(root / "artifacts")}
    started = time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "isobench_runner", *arguments], env=environment)
    _, status, usage = os.wait4(child.pid, 0)
    assert status == 0
    assert not list(root.glob("*/outcome.json")), f"{arguments[0]} failed"
    return time.monotonic() - started, usage.ru_maxrss / 1024


def main(commits: int) -> int:
    """Print both figures; the exit code says whether they keep their bounds."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    with tempfile.TemporaryDirectory(prefix="isobench-bench-") as folder:
        root = Path(folder)
        make(root, commits)
        listed = timed(root, "list", "--in", str(root / "status"), "--out", str(root / "in"))
        print(f"list    {commits:6} commits  {listed[0]:6.1f} s            peak {listed[1]:5.0f} MiB")
        seconds, mib = timed(root, "collect", "--in", str(root / "in"), "--out", str(root / "out"))
        size = (root / "dataset" / "dataset.jsonl").stat().st_size / 2**20
        records = sum(1 for _ in (root / "dataset" / "dataset.jsonl").open("rb"))
        print(
            f"collect {records:6} records  {seconds:6.1f} s (≤ {BOUND_SECONDS} s)  peak {mib:5.0f} MiB (≤ {BOUND_MIB} MiB)  {size:.0f} MiB of JSONL"
        )
        again, peak = timed(root, "collect", "--in", str(root / "in"), "--out", str(root / "out"))
        print(
            f"again, merged with what is there  {again:6.1f} s (≤ {BOUND_SECONDS} s)  peak {peak:5.0f} MiB (≤ {BOUND_MIB} MiB)"
        )
        return int(max(seconds, again) > BOUND_SECONDS or max(mib, peak) > BOUND_MIB)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000))
