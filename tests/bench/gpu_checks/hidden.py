"""Checks 8 and 9: work that hides from a clock, and a clock around a whole process."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median

from .bench import Bench, Ratio, has, owed, ratio
from .compared import diluted

BASE = "kernels.spin(8_000_000)"
TRUE_FACTOR = 2.0
TOLERANCE = 0.02
GAIN = 1.05

CHEATS = {
    "a stream of its own": (
        "kernels.spin(8_000_000, SIDE())",
        "import functools\nSIDE = functools.lru_cache(None)(kernels.stream)",
    ),
    "a thread that launches later": (
        "threading.Timer(0.001, later).start()",
        "import threading\n\n\ndef later():\n    kernels.start()\n    kernels.spin(8_000_000)\n    kernels.wait()",
    ),
    "a cache of outputs": (
        "if n not in SEEN:\n    SEEN[n] = True\n    kernels.spin(8_000_000)",
        "SEEN = {}",
    ),
}
HONEST = {"half of the work": "kernels.spin(4_000_000)"}
TORCH_ONLY = ("a patched torch.cuda.Event", "a lazy subclass of a tensor", "an output that was never written")


def cheats(bench: Bench) -> list[str]:
    """Each cheat beside base: flagged, or it gains nothing; and an honest gain, which must be neither."""
    base = bench.package("honest-base", BASE)
    lines = []
    for number, (name, (body, top)) in enumerate(CHEATS.items()):
        measured = bench.measure(f"cheat-{number}", base, bench.package(f"cheat-{number}", body, top))
        lines.append(f"{name}: {cheat_words(ratio(measured, 'head'), _names(measured))}")
    for number, (name, body) in enumerate(HONEST.items()):
        measured = bench.measure(f"honest-{number}", base, bench.package(f"honest-{number}", body))
        lines.append(f"{name}: {honest_words(ratio(measured, 'head'), _names(measured))}")
    return [*lines, *(f"owed: {name} (no case yet)" for name in TORCH_ONLY)]


def cheat_words(found: Ratio | str, flags: Sequence[str]) -> str:
    """What became of a cheat."""
    told = f"flags {', '.join(flags) or 'none'}"
    if flags:
        return f"flagged: {told}; {found if isinstance(found, str) else found.words}"
    if isinstance(found, str):
        return f"not judged: {found}"
    return f"{'NOT CAUGHT' if found.low > GAIN else 'gains nothing'}: {found.words}; {told}"


def honest_words(found: Ratio | str, flags: Sequence[str]) -> str:
    """What became of an honest gain."""
    if flags:
        return f"FLAGGED: {', '.join(flags)}"
    if isinstance(found, str):
        return f"not judged: {found}"
    right = abs(found.speedup / TRUE_FACTOR - 1) <= TOLERANCE
    return f"{'as it should be' if right else 'LOOK AT IT'}: {found.words}; no flags"


def _names(measured: object) -> list[str]:
    run = getattr(measured, "run", {})
    quiet = {"cpus", "memory", "state_between_calls"}
    failed = [name for name, check in run.get("checks", {}).items() if check["ok"] is False and name not in quiet]
    return sorted({*run.get("flags", ()), *failed})


SCRIPT = "import kernels; kernels.start(); {work} kernels.wait()"


def process_timer(bench: Bench) -> list[str]:
    """A clock around the whole process, for kernels of four lengths and a true factor of two, beside the formula of its dilution."""
    side = bench.package("process", BASE)
    repeats = int(bench.scaled(7, 1))

    def whole(ns: float) -> float:
        work = f"kernels.spin({int(ns)});" if ns else ""
        return median(bench.process_ms(side, SCRIPT.format(work=work)) for _ in range(repeats))

    first, overhead = bench.process_ms(side, SCRIPT.format(work="")), whole(0)
    lines = [f"start, context and modules: {first:.0f} ms the first time, {overhead:.0f} ms later"]
    for milliseconds in [5, 50, 500, 5000][: int(bench.scaled(4, 2))]:
        reads = whole(milliseconds * 1e6) / whole(milliseconds * 1e6 / TRUE_FACTOR)
        formula = diluted(overhead, milliseconds, TRUE_FACTOR)
        lines.append(
            f"kernel of {milliseconds} ms against half of it: reads {reads:.3f}, formula {formula:.3f}, true {TRUE_FACTOR:g}"
        )
    if has("torch"):
        cold = bench.process_ms(side, "import torch; torch.zeros(1, device='cuda')")
        warm = bench.process_ms(side, "import torch; torch.zeros(1, device='cuda')")
        lines.append(f"importing torch and its first tensor: {cold:.0f} ms, again {warm:.0f} ms")
    return [*lines, *owed("what importing torch costs, cold and warm")]
