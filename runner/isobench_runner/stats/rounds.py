"""Raw rounds as the measuring parent wrote them, read as hostile data: every field has a type and a range, or nothing is believed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from statistics import median
from typing import Any

from isobench_runner.contract import Reason, StageError

MAX_ROUNDS = 256
MAX_SAMPLES = 64
MAX_NANOSECONDS = 24 * 3600 * 10**9
WITNESS_NANOSECONDS = 500_000
"""A worker's clock may disagree with the parent's by this or 1 %, whichever is more, and by the time that either process waited for a
CPU in between; a pipe's round trip takes about 30 µs."""

DELAYS = ("run_delay_ns", "parent_delay_ns")


@dataclass(frozen=True)
class Sample:
    """One timed call (or loop of calls), in nanoseconds.

    Attributes:
        wall_ns: by the worker's clock, without `wait_ns`: what the sample's process waited for the CPU, where that is not its own time.
        parent_ns: from the parent's word to the answer. delays_ns: what both processes waited for a CPU in that time.
    """

    wall_ns: int
    parent_ns: int
    cpu_ns: int
    delays_ns: int = 0
    wait_ns: int = 0

    @property
    def agrees(self) -> bool:
        """Whether both clocks tell the same story."""
        allowed = max(WITNESS_NANOSECONDS, self.parent_ns // 100) + max(0, self.delays_ns - self.wait_ns)
        return 0 <= self.parent_ns - self.wall_ns - self.wait_ns <= allowed

    @property
    def ns(self) -> int:
        """The time that counts: the parent's, where the worker's cannot be believed."""
        return self.wall_ns if self.agrees else self.parent_ns


@dataclass(frozen=True)
class Side:
    """One revision within a round.

    Attributes:
        cold_ns, cold_cpu_ns: of the first call of the fresh process.
        startup_cpu_ns: CPU time from the start of the process to its first call: interpreter, imports, setup.
    """

    samples: tuple[Sample, ...]
    cold_ns: int | None
    cold_cpu_ns: int | None
    startup_cpu_ns: int | None = None

    @property
    def median_ns(self) -> float:
        """Of the round's samples."""
        return float(median(sample.ns for sample in self.samples))

    @property
    def median_cpu_ns(self) -> float:
        """Of the round's samples."""
        return float(median(sample.cpu_ns for sample in self.samples))


@dataclass(frozen=True)
class Round:
    """One fresh process per revision.

    Attributes:
        discarded: the cause that the parent saw, or None: kept.
        cause: the same for rounds that were kept because too many would have had to go.
    """

    base: Side
    other: Side
    discarded: str | None
    cause: str | None = None


def _invalid(where: str, value: Any, wanted: str) -> StageError:
    return StageError(Reason.RESULT_INVALID, f"{where}: {str(value)[:80]!r} is not {wanted}")


def _nanoseconds(value: Any, where: str, *, least: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= MAX_NANOSECONDS:
        raise _invalid(where, value, f"a whole number of nanoseconds from {least} to a day")
    return value


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _invalid(where, value, "an object")
    return value


def _side(body: dict[str, Any], name: str, where: str) -> Side:
    samples = _object(body.get("samples"), f"{where}.samples").get(name)
    if not isinstance(samples, list) or not 1 <= len(samples) <= MAX_SAMPLES:
        raise _invalid(f"{where}.samples.{name}", samples, f"a list of 1 to {MAX_SAMPLES} samples")
    parsed = []
    for index, item in enumerate(samples):
        place = f"{where}.samples.{name}[{index}]"
        sample = _object(item, place)
        parsed.append(
            Sample(
                _nanoseconds(sample.get("wall_ns"), f"{place}.wall_ns", least=1),
                _nanoseconds(sample.get("parent_ns"), f"{place}.parent_ns", least=1),
                _nanoseconds(sample.get("cpu_ns"), f"{place}.cpu_ns"),
                sum(_nanoseconds(sample.get(name, 0), f"{place}.{name}") for name in DELAYS),
                _nanoseconds(sample.get("wait_ns", 0), f"{place}.wait_ns"),
            )
        )
    startup = _object(body.get("startup_cpu_ns") or {}, f"{where}.startup_cpu_ns").get(name)
    if startup is not None:
        startup = _nanoseconds(startup, f"{where}.startup_cpu_ns.{name}")
    cold = _object(body.get("cold") or {}, f"{where}.cold").get(name)
    if cold is None:
        return Side(tuple(parsed), None, None, startup)
    place = f"{where}.cold.{name}"
    cold = _object(cold, place)
    return Side(
        tuple(parsed),
        _nanoseconds(cold.get("wall_ns"), f"{place}.wall_ns", least=1),
        _nanoseconds(cold.get("cpu_ns"), f"{place}.cpu_ns"),
        startup,
    )


def parse_rounds(content: bytes, *, base: str, other: str) -> tuple[tuple[Round, ...], list[dict[str, Any]]]:
    """Read rounds.jsonl.

    Args:
        content: the file, one JSON object per line.
        base, other: the names of the two revisions that the request has.

    Returns:
        The rounds, and the same as the plain objects that go into the result artifact.

    Raises:
        StageError: ResultInvalid, naming line and field.
    """
    lines = content.splitlines()
    if len(lines) > MAX_ROUNDS:
        raise _invalid("rounds.jsonl", len(lines), f"at most {MAX_ROUNDS} rounds")
    rounds: list[Round] = []
    raw: list[dict[str, Any]] = []
    for number, line in enumerate(lines, 1):
        where = f"rounds.jsonl:{number}"
        try:
            body = _object(json.loads(line, parse_constant=lambda name: name), where)
        except (ValueError, RecursionError) as error:
            raise _invalid(where, error, "JSON") from error
        discarded = body.get("discarded")
        if discarded is not None and not isinstance(discarded, str):
            raise _invalid(f"{where}.discarded", discarded, "a cause or null")
        cause = body.get("cause")
        if cause is not None and not isinstance(cause, str):
            raise _invalid(f"{where}.cause", cause, "a cause or null")
        rounds.append(Round(_side(body, base, where), _side(body, other, where), discarded, cause))
        raw.append(body)
    return tuple(rounds), raw
