"""Checks 2, 3, 4 and 10: equal sides, known effects, several contexts, neighbours."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean, median, stdev

from bench.timing.load import neighbours as busy_cpus
from isobench_runner.harness import gpu_rules
from support.prepared import Measured

from .bench import Bench, Ratio, has, logs_of, middle_ns, owed, ratio, variables
from .card import turns_elsewhere

LAUNCHES = "for _ in range(50):\n    kernels.spin(10_000)"
MIXED = "x = sum(range(200_000))\nfor _ in range(10):\n    kernels.spin(200_000)\n    x += sum(range(20_000))"
INJECTED = ((51, 50), (21, 20), (11, 10))
PROCESSES = 5


def _kept(measured: Measured) -> list[dict[str, object]]:
    return [line for line in measured.rounds if not line["discarded"]]


def equal(bench: Bench) -> list[str]:
    """Base beside itself on four kinds of work, with what other orders would have read from the same samples."""
    kinds = {
        "power bound": f"kernels.burn({turns_elsewhere(bench)})",
        "4 GB copied": f"kernels.copy({int(bench.scaled(4 << 30, 4 << 20))})",
        "50 launches of 10 µs": LAUNCHES,
        "host bound": MIXED,
    }
    lines = []
    for name, body in list(kinds.items())[: int(bench.scaled(4, 2))]:
        measured = bench.measure(
            f"equal-{len(lines)}", bench.package(f"equal-{len(lines)}", body), minimum_effect_percent="0.1"
        )
        found = ratio(measured, "base2")
        if isinstance(found, str):
            lines.append(f"{name}: {found}")
            continue
        kept = _kept(measured)
        half = len(kept) // 2
        block = median(middle_ns(line, "base") for line in kept[:half]) / median(
            middle_ns(line, "base2") for line in kept[-half:]
        )
        later = logs_of(kept, "base", "base2", later=1)
        lines.append(
            f"{name}: {found.words}; SD of a round {100 * stdev(found.logs):.3f} %, a process later {100 * stdev(later):.3f} %; "
            f"error {100 * abs(found.speedup - 1):.3f} %, in block order {100 * abs(block - 1):.3f} %; "
            f"claims a difference: {'YES' if found.low > 1 or found.high < 1 else 'no'}"
        )
    return lines


def injected(bench: Bench) -> list[str]:
    """One kernel more: whether the interval holds the exact ratio and excludes 1, beside events alone and GSO's order."""
    lines = []
    for more, fewer in INJECTED[: int(bench.scaled(3, 1))]:
        base, head = (
            bench.package(f"units-{units}", f"for _ in range({units}):\n    kernels.spin(200_000)")
            for units in (more, fewer)
        )
        truth = more / fewer
        measured = bench.measure(f"injected-{more}", base, head, minimum_effect_percent="0.5")
        found = ratio(measured, "head")
        if isinstance(found, str):
            lines.append(f"{truth:.4f}: {found}")
            continue
        lines.append(
            f"{truth:.4f}: reads {found.words}, {'found' if found.low > 1 else 'NOT FOUND'}, "
            f"{'holds' if found.low <= truth <= found.high else 'MISSES'} the truth; events alone {_by_events(measured)}; "
            f"five processes a side in block order {_in_blocks(bench, base, head):.4f}"
        )
    return [*lines, *owed("triton's do_bench beside it", "triton"), *(_do_bench() if has("triton") else [])]


def _by_events(measured: Measured) -> str:
    sides = []
    for name in ("base", "head"):
        values = [one["gpu_ms"] for line in _kept(measured) for one in line["samples"][name]]  # type: ignore[index]
        known = [value for value in values if value is not None]
        if not known:
            return "none"
        sides.append(median(known))
    return f"{sides[0] / sides[1]:.4f}"


def _in_blocks(bench: Bench, base: Path, head: Path) -> float:
    code = (
        "import time, tiny, kernels; kernels.start(); begin = time.perf_counter(); tiny.work(1); kernels.wait(); "
        "print(time.perf_counter() - begin)"
    )
    means = []
    for side in (base, head):
        command = [sys.executable, "-c", code]
        done = [
            subprocess.run(command, cwd=side / "tree", env=variables(), capture_output=True, text=True, check=True)
            for _ in range(PROCESSES)
        ]
        means.append(fmean(float(one.stdout) for one in done))
    return means[0] / means[1]


def _do_bench() -> list[str]:
    import triton.testing

    from . import kernels

    kernels.start()
    lines = []
    for more, fewer in INJECTED:
        base, head = (
            triton.testing.do_bench(lambda units=units: [kernels.spin(200_000) for _ in range(units)])
            for units in (more, fewer)
        )
        lines.append(f"do_bench on {more} against {fewer} kernels: {base / head:.4f}, true {more / fewer:.4f}")
    return lines


HOLD = (
    "import sys, time, kernels; kernels.start(); kernels.spin(1000); kernels.wait(); print('here', flush=True); {then}"
)
TIMED = """\
import time, kernels
from statistics import median
kernels.start()
times = []
for _ in range({count}):
    begin = time.perf_counter()
    kernels.spin(1_000_000)
    kernels.wait()
    times.append(time.perf_counter() - begin)
print(1e3 * median(times))
"""


@contextmanager
def holders(side: Path, count: int, then: str = "sys.stdin.read()") -> Iterator[None]:
    """Processes that hold a context, and do something in it until they are told to end."""
    command = [sys.executable, "-c", HOLD.format(then=then)]
    options = {"cwd": side / "tree", "env": variables(), "stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = [subprocess.Popen(command, **options) for _ in range(count)]  # type: ignore[call-overload]
    try:
        for one in started:
            if one.stdout.readline().strip() != b"here":
                raise RuntimeError("a process could not use the card")
        yield
    finally:
        for one in started:
            one.kill()
            one.communicate()


def contexts(bench: Bench) -> list[str]:
    """What a kernel of 1 ms takes with no, one and two other contexts on the card."""
    side = bench.package("contexts", "kernels.spin(1_000_000)")
    code = TIMED.format(count=int(bench.scaled(500, 5)))
    lines, alone = [], None
    for count in (0, 1, 2):
        with holders(side, count):
            done = subprocess.run(
                [sys.executable, "-c", code],
                cwd=side / "tree",
                env=variables(),
                capture_output=True,
                text=True,
                check=True,
            )
        found = float(done.stdout)
        alone = alone or found
        lines.append(
            f"{count} other contexts: {found:.4f} ms, {100 * (found / alone - 1):+.2f} % of what it takes alone"
        )
    return [*lines, "one at a time (order=process) is the better default where this is above 1 %"]


def neighbour(bench: Bench) -> list[str]:
    """A neighbour on the card at a tenth and half of the time, and one on the CPUs: whether each is noticed, and the interval."""
    side = bench.package("neighbour", "for _ in range(10):\n    kernels.spin(1_000_000)")
    spinning = "import time\nwhile True:\n    kernels.spin({busy}); kernels.wait(); time.sleep({idle})"
    lines = []
    for duty in (0.1, 0.5):
        then = f"exec({spinning.format(busy=10_000_000, idle=round(0.01 * (1 - duty) / duty, 4))!r})"
        with holders(side, 1, then):
            measured = bench.measure(f"neighbour-{duty}", side)
        lines.append(f"a neighbour on the card {duty:.0%} of the time: {_noticed(measured)}")
    with busy_cpus(1, duty=0.9):
        measured = bench.measure("neighbour-cpu", side)
    lines.append(f"neighbours on every CPU: {_noticed(measured)}")
    return lines


def _noticed(measured: Measured) -> str:
    found = ratio(measured, "base2")
    words = gpu_rules.incomparable(measured.rounds) or "comparable"
    causes = sum(bool(line["cause"]) for line in measured.rounds)
    width = (
        ""
        if not isinstance(found, Ratio)
        else f"; half of the interval {100 * ((found.high / found.low) ** 0.5 - 1):.2f} %, reads {found.speedup:.4f}"
    )
    return f"{found if isinstance(found, str) else words}; {causes} of {len(measured.rounds)} rounds disturbed{width}"


def diluted(overhead_ms: float, work_ms: float, factor: float) -> float:
    """What a clock around the whole process reads of a true speedup."""
    return (overhead_ms + work_ms) / (overhead_ms + work_ms / factor)
