"""What a GPU's counters mean for a run: what is refused, which rounds are left out, when two sides did not meet the same card. Pure.

Used while measuring and again by the report, which reads the rounds as hostile data: anything that is not a number says nothing.
"""

from statistics import median
from typing import Any, Dict, List, Mapping, Optional, Sequence

HARDWARE_SLOWDOWN, SOFTWARE_THERMAL, HARDWARE_THERMAL, POWER_BRAKE = 0x8, 0x20, 0x40, 0x80
HARDWARE = {
    HARDWARE_THERMAL: "thermal slowdown by the hardware",
    POWER_BRAKE: "power brake from outside of the card",
    HARDWARE_SLOWDOWN: "slowdown by the hardware",
}
THERMAL_SHARE = 0.01
WARM_CLOCK = 0.9
STEADY = 0.01
MAX_DRIFT = 0.03
KERNEL_NS = 5_000_000
MPS_VARIABLES = ("CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE", "CUDA_MPS_PINNED_DEVICE_MEM_LIMIT")
BUSY_AT_REST = 10


def number(value: Any) -> Optional[float]:
    """A finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if 0 <= value < 1e18 else None


def refusal(
    described: Mapping[str, Any], environ: Mapping[str, str], *, at_rest: Sequence[Optional[int]]
) -> Optional[str]:
    """Why nothing is timed on this device, or None. A time-sliced one looks like any other from inside, unless another is using it:
    the pod's node affinity keeps away from nodes that say so.

    Args:
        described: its fingerprint.
        environ: of the container.
        at_rest: the utilisation of each device in percent, before any process of ours used it.
    """
    mps = [name for name in MPS_VARIABLES if environ.get(name)]
    if mps or number(described.get("mps_clients")):
        return "the GPU is shared through MPS ({})".format(
            mps[0] + " is set" if mps else "the driver lists clients of it"
        )
    if described.get("compute_mode") == "prohibited":
        return "the GPU's compute mode is prohibited: no process may use it"
    busy = [one for one in at_rest if one is not None and one > BUSY_AT_REST]
    if busy:
        return "the GPU was {} % busy before anything of this run used it: another container has it too".format(busy[0])
    return None


def one_context_alone(described: Optional[Mapping[str, Any]]) -> bool:
    """Whether the device takes one process at a time, so that revisions cannot live side by side."""
    return described is not None and str(described.get("compute_mode")).startswith("exclusive")


def cold_cache(call_ns: float, *, gpu: bool, loops: int) -> bool:
    """Whether a sample is so short that what is left in the L2 decides it: then the L2 is emptied before each."""
    return gpu and loops == 1 and call_ns < KERNEL_NS


def warm(clocks: Sequence[Optional[int]], highest: Optional[int]) -> bool:
    """Whether a card needs no more warming: its clock is near its maximum, or has come to rest below it."""
    if not clocks or clocks[-1] is None or not highest:
        return True
    if clocks[-1] >= WARM_CLOCK * highest:
        return True
    last = [one for one in clocks[-3:] if one is not None]
    return len(last) == 3 and max(last) - min(last) <= STEADY * max(last)


def hardware_words(reasons: Any) -> Optional[str]:
    """Which of the bits that no kernel causes were set."""
    bits = int(number(reasons) or 0)
    names = [words for bit, words in HARDWARE.items() if bits & bit]
    return ", ".join(names) or None


def cause(seen: Optional[Mapping[str, Any]]) -> Optional[str]:
    """Why a round is left out, or None. The software power cap is no cause: denser kernels draw more power, and that is theirs."""
    words = hardware_words(seen.get("reasons")) if seen else None
    return "the GPU reported a {}".format(words) if words else None


def _hot(seen: Mapping[str, Any], spent_ns: float) -> bool:
    bits = int(number(seen.get("reasons")) or 0)
    violations = seen.get("violations_ns")
    held = number(violations.get("thermal")) if isinstance(violations, dict) else None
    return bool(bits & SOFTWARE_THERMAL) or (held or 0) > THERMAL_SHARE * max(1.0, spent_ns)


def _spent(line: Mapping[str, Any]) -> float:
    spent = line.get("spent_ns")
    return sum(number(one) or 0 for one in spent.values()) if isinstance(spent, dict) else 0.0


def _watched(lines: Sequence[Mapping[str, Any]]) -> List[Mapping[str, Any]]:
    return [one for one in lines if isinstance(one.get("gpu"), dict) and not one.get("discarded")]


def incomparable(lines: Sequence[Mapping[str, Any]]) -> Optional[str]:
    """Why the kept rounds of a run are no comparison, or None.

    Args:
        lines: rounds as rounds.jsonl has them.
    """
    kept = _watched(lines)
    for line in kept:
        words = hardware_words(line["gpu"].get("reasons"))
        if words:
            return "round {} was kept although the GPU reported a {}: too many would have had to go".format(
                line.get("round"), words
            )
        if number(line["gpu"].get("foreign_processes")):
            return "another process used the GPU in round {}".format(line.get("round"))
    hot = sum(_hot(line["gpu"], _spent(line)) for line in kept)
    if 0 < hot < len(kept):
        return "the GPU slowed down for heat in {} of {} rounds".format(hot, len(kept))
    drift = clock_drift(kept)
    if drift is not None and abs(drift) > MAX_DRIFT:
        return "base's own GPU clock changed by {:+.1f} % between the first and the last third of the rounds".format(
            100 * drift
        )
    return None


def degraded(lines: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the card was held down by heat in every round: still a fair comparison, of a slower card."""
    kept = _watched(lines)
    return bool(kept) and all(_hot(line["gpu"], _spent(line)) for line in kept)


def _clocks(lines: Sequence[Mapping[str, Any]], name: str) -> List[float]:
    found = []
    for line in lines:
        clocks = line["gpu"].get("sample_clocks_mhz")
        values = clocks.get(name) if isinstance(clocks, dict) else None
        found += [one for one in map(number, values if isinstance(values, list) else ()) if one]
    return found


def clock_ratio(lines: Sequence[Mapping[str, Any]], other: str) -> Optional[float]:
    """base's median SM clock over the other's; None where the card does not say. Reported, never corrected for."""
    kept = _watched(lines)
    ours, theirs = _clocks(kept, "base"), _clocks(kept, other)
    return float(median(ours) / median(theirs)) if ours and theirs else None


def clock_drift(kept: Sequence[Mapping[str, Any]]) -> Optional[float]:
    """How much base's median clock changed between the first and the last third of the rounds, as a fraction."""
    third = len(kept) // 3
    if third < 2:
        return None
    first, last = _clocks(kept[:third], "base"), _clocks(kept[-third:], "base")
    return float(median(last) / median(first) - 1) if first and last else None


def event_share(lines: Sequence[Mapping[str, Any]], name: str) -> Optional[float]:
    """Of a side's time, the part that the events of its streams cover; None where they did not say."""
    shares = []
    for line in _watched(lines):
        samples = line.get("samples")
        for one in samples.get(name) or () if isinstance(samples, dict) else ():
            gpu, wall = number(one.get("gpu_ms")), number(one.get("wall_ns"))
            if gpu is None or not wall:
                return None
            shares.append(gpu * 1e6 / wall)
    return float(median(shares)) if shares else None


def summary(lines: Sequence[Mapping[str, Any]], other: str) -> Dict[str, Any]:
    """What the result says of the card."""
    shares = {name: event_share(lines, name) for name in ("base", other)}
    return {"clock_ratio": clock_ratio(lines, other), "degraded": degraded(lines), "gpu_shares": shares}
