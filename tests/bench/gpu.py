"""Ten checks of measuring on a GPU, on a machine that has one: figures out, nothing set on the card.

    python tests/bench/gpu.py [--checks 1 5 …] [--quick]

Each check runs in a process of its own, so that none finds another's context on the card. Needs the driver alone; what torch or triton
would add says that it is owed. Without a GPU it says so and succeeds. docs/benchmarks/gpu.md has the figures, or says that they are owed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.gpu_checks import card, compared, hidden
from bench.gpu_checks.bench import Bench
from isobench_runner.harness import nvml

Check = Callable[[Bench], list[str]]
CHECKS: dict[int, tuple[str, Check]] = {
    1: ("what the card says of itself, and seconds to a steady clock", card.fingerprint),
    2: ("equal sides", compared.equal),
    3: ("known effects", compared.injected),
    4: ("several contexts", compared.contexts),
    5: ("waiting, events and queues", card.waiting),
    6: ("cold and warm caches", card.caches),
    7: ("the power cap", card.power),
    8: ("work that hides", hidden.cheats),
    9: ("a clock around the process", hidden.process_timer),
    10: ("neighbours", compared.neighbour),
}
LIMIT_SECONDS = 600
OWED = "no GPU here: owed: all {} checks ({})"


def inside(number: int, *, quick: bool) -> None:
    """Run one check and print its lines."""
    with tempfile.TemporaryDirectory() as scratch:
        for line in CHECKS[number][1](Bench(Path(scratch), quick)):
            print(f"- {line}", flush=True)


def main() -> None:
    """Run the checks one after the other; exit 1 where one failed to run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checks", type=int, nargs="+", choices=list(CHECKS), default=list(CHECKS))
    parser.add_argument("--quick", action="store_true", help="run every line once; the figures are worth nothing")
    parser.add_argument("--inside", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside is not None:
        inside(arguments.inside, quick=arguments.quick)
        return
    described = nvml.describe()
    if described is None:
        print(OWED.format(len(CHECKS), "; ".join(title for title, _ in CHECKS.values())))
        return
    print(f"# {described['name']}, driver {described['driver']}, CUDA {described['cuda']}")
    failed = []
    for number in arguments.checks:
        print(f"\n## {number}. {CHECKS[number][0]}\n", flush=True)
        options = ["--quick"] if arguments.quick else []
        try:
            done = subprocess.run(
                [sys.executable, __file__, "--inside", str(number), *options], check=False, timeout=LIMIT_SECONDS
            )
            if done.returncode != 0:
                failed.append(number)
        except subprocess.TimeoutExpired:
            print(f"- took longer than {LIMIT_SECONDS} s")
            failed.append(number)
    if failed:
        sys.exit(f"checks that did not come to an end: {', '.join(map(str, failed))}")


if __name__ == "__main__":
    main()
