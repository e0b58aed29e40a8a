"""Checks 1, 5, 6 and 7: what the card says of itself, waiting and clocks, caches, the power cap."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median

from isobench_runner.harness import gpu, gpu_rules, nvml, watch

from . import kernels
from .bench import Bench, has, owed, ratio

REASONS = {0x1: "idle", 0x2: "application clocks", 0x4: "power cap", 0x20: "heat (software)", **gpu_rules.HARDWARE}
L2_ATTRIBUTE = 38
AGREE = 0.01


def fingerprint(bench: Bench) -> list[str]:
    """Every field of the record, those that are not supported, and the seconds to a steady clock after rest."""
    described = nvml.describe()
    assert described is not None
    lines = [f"{name}: {value}" for name, value in described.items() if value is not None]
    lines.append(f"not supported: {', '.join(name for name, value in described.items() if value is None) or 'nothing'}")
    kernels.start()
    lines.append(f"L2: {kernels.attribute(L2_ATTRIBUTE) / (1 << 20):g} MiB by the driver's attribute")
    found = nvml.Nvml.open(None)
    assert found is not None
    turns = turns_for(5.0)
    for rest in [bench.scaled(one, one / 100) for one in (1, 5, 30)]:
        time.sleep(rest)
        before = found.devices[0].sm_clock()
        begin, clocks = time.monotonic(), [before]
        while not gpu_rules.warm(clocks, described["sm_clock_max_mhz"]) and time.monotonic() - begin < 10:
            kernels.burn(turns)
            kernels.wait()
            clocks.append(found.devices[0].sm_clock())
        lines.append(
            f"after {rest:g} s of rest: {before} MHz; steady at {clocks[-1]} MHz after {time.monotonic() - begin:.2f} s of work"
        )
    return lines


def turns_for(milliseconds: float) -> int:
    """Turns of `burn` for about this long, on a warm card."""
    kernels.start()
    turns, took = 20_000, 0.0
    for _ in range(12):
        begin = time.perf_counter()
        kernels.burn(turns)
        kernels.wait()
        took = 1e3 * (time.perf_counter() - begin)
        if took >= milliseconds / 2:
            break
        turns *= 2
    return max(1, int(turns * milliseconds / took))


def _median_ms(call: Callable[[], float | None], repeats: int) -> float | None:
    found = [one for one in (call() for _ in range(repeats)) if one is not None]
    return median(found) if found else None


def waiting(bench: Bench) -> list[str]:
    """Whether waiting covers side streams; wall, events and queued time beside each other over five decades; what waiting costs."""
    kernels.start()
    devices = gpu.Devices()
    devices.look()

    def wall(ns: int, on: object = None) -> float:
        begin = time.perf_counter()
        kernels.spin(ns, on)
        devices.synchronize()
        return 1e3 * (time.perf_counter() - begin)

    def events(ns: int) -> float | None:
        marks = devices.marks()
        assert marks is not None
        marks.begin()
        kernels.spin(ns)
        marks.end()
        devices.synchronize()
        return marks.milliseconds()

    lines = []
    side = wall(20_000_000, kernels.stream())
    lines.append(f"20 ms on a side stream: {side:.2f} ms by the wall, {'covered' if side >= 19.9 else 'MISSED'}")
    agree = None
    for ns in (10_000, 100_000, 1_000_000, 10_000_000, 100_000_000):
        repeats = int(bench.scaled(30 if ns <= 10_000_000 else 10, 3))
        outside, inside = _median_ms(lambda ns=ns: wall(ns), repeats), _median_ms(lambda ns=ns: events(ns), repeats)
        queued = _median_ms(lambda ns=ns: devices.queued_ms(lambda: kernels.spin(ns)), repeats)
        assert outside is not None
        if agree is None and inside is not None and abs(outside / inside - 1) <= AGREE:
            agree = ns
        told = [f"{name} {'none' if value is None else f'{value:.4f} ms'}" for name, value in (("wall", outside), ("events", inside), ("queued", queued))]  # fmt: skip
        lines.append(f"kernel of {ns / 1e6:g} ms: {', '.join(told)}")
    lines.append(f"wall and events agree within 1 % from {'no size on' if agree is None else f'{agree / 1e6:g} ms on'}")
    begin = time.perf_counter()
    for _ in range(1000):
        devices.synchronize()
    lines.append(f"waiting for an idle card: {1e3 * (time.perf_counter() - begin):.2f} µs")
    return [*lines, *_with_torch(devices)]


def _with_torch(devices: gpu.Devices) -> list[str]:
    if not has("torch"):
        return owed("the same with torch's streams and its synchronise")
    import torch

    side = torch.cuda.Stream()
    x = torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16)
    devices.look()
    torch.cuda.synchronize()
    found = []
    for stream in (torch.cuda.current_stream(), side):
        begin = time.perf_counter()
        with torch.cuda.stream(stream):
            for _ in range(20):
                x @ x
        devices.synchronize()
        found.append(1e3 * (time.perf_counter() - begin))
    return [f"torch, 20 products on its own stream {found[0]:.2f} ms, on a side stream {found[1]:.2f} ms by the wall"]


def caches(bench: Bench) -> list[str]:
    """A working set of 20 MB with and without emptying the L2, and how much has to be written to empty it."""
    kernels.start()
    devices = gpu.Devices()
    devices.look()
    size = 20 << 20

    def timed(empty: Callable[[], object]) -> float | None:
        empty()
        devices.synchronize()
        marks = devices.marks()
        assert marks is not None
        marks.begin()
        kernels.copy(size)
        marks.end()
        devices.synchronize()
        return marks.milliseconds()

    repeats = int(bench.scaled(50, 3))
    lines = []
    ways: list[tuple[str, Callable[[], object]]] = [
        ("warm", lambda: None),
        ("as the harness empties it", devices.flush),
    ]
    ways += [(f"{mb} MB overwritten", lambda mb=mb: kernels.overwrite(mb << 20)) for mb in (60, 120, 256)]
    for name, empty in ways:
        found = _median_ms(lambda empty=empty: timed(empty), repeats)
        lines.append(f"copy of 20 MB, {name}: {'none' if found is None else f'{found:.4f} ms'}")
    return [*lines, *_contents()]


def _contents() -> list[str]:
    if not has("torch"):
        return owed("a product of random numbers against one of zeros")
    import torch

    lines = []
    for name, x in (("random", torch.randn(8192, 8192)), ("zeros", torch.zeros(8192, 8192))):
        one = x.to("cuda", torch.bfloat16)
        times = []
        for _ in range(20):
            torch.cuda.synchronize()
            begin = time.perf_counter()
            one @ one
            torch.cuda.synchronize()
            times.append(1e3 * (time.perf_counter() - begin))
        lines.append(f"product of 8192² bf16, {name}: {median(times):.3f} ms")
    return lines


def power(bench: Bench) -> list[str]:
    """Clocks, watts and reasons second by second under full load; then base beside itself: ratio of clocks and of cycles."""
    base = bench.package("burning", f"kernels.burn({turns_elsewhere(bench)})")
    measured = bench.measure("power", base)
    lines = []
    found = ratio(measured, "base2")
    clocks = gpu_rules.clock_ratio(measured.rounds, "base2")
    lines.append(f"base beside itself: {found if isinstance(found, str) else found.words}")
    if clocks is None or isinstance(found, str):
        lines.append("ratio of clocks: the card does not say")
    else:
        lines.append(
            f"ratio of clocks {clocks:.4f}, of cycles {found.speedup * clocks:.4f}; both 1 where nothing differs"
        )
    kernels.start()
    card = nvml.Nvml.open(None)
    assert card is not None
    turns, device = turns_for(20.0), card.devices[0]
    for second in range(int(bench.scaled(30, 1))):
        counters = watch.Watch(card.devices)
        counters.begin()
        end = time.monotonic() + bench.scaled(1, 0.1)
        while time.monotonic() < end:
            kernels.burn(turns)
            kernels.wait()
            counters.poll()
        seen = counters.end([])
        bits = [name for bit, name in REASONS.items() if int(seen["reasons"] or 0) & bit]
        lines.append(
            f"second {second + 1}: {seen['sm_clock_mhz']} MHz, {(seen['power_mw'] or 0) / 1e3:.0f} W, {seen['temperature_c']} °C, "
            f"reasons {', '.join(bits) or 'none'}, held down {seen['violations_ns']}, utilisation {device.utilisation()}"
        )
    return lines


def turns_elsewhere(bench: Bench) -> int:
    """Turns for 20 ms, found in a process of its own: the harness wants the card for itself."""
    code = (
        f"import sys; sys.path[:0] = {sys.path!r}; from bench.gpu_checks.card import turns_for; print(turns_for(20.0))"
    )
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
