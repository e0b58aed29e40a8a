"""What one tool read of one pair, as a line of JSON: everything that the tables and plots are drawn from, so they can be drawn again."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

FILE = "readings.jsonl"


@dataclass(frozen=True, kw_only=True)
class Reading:
    """One tool's word on one pair.

    Attributes:
        level: of noise.
        truth, ratio: base's time over head's: the true one and the one that was read. None where the tool came to none.
        claims: whether the tool's own rule calls the two different.
        low, high: its interval of the ratio, where it has one.
        logs: ln(base / head) of every kept round, where it has rounds.
        cpu_ratio: of CPU times, where the tool reads them.
        words: the tool's verdict, or why it has none.
        load: the machine's load average over a minute, before.
    """

    tool: str
    pair: int
    level: str
    percent: int
    truth: float
    ratio: float | None
    claims: bool
    wall_seconds: float
    load: float
    low: float | None = None
    high: float | None = None
    logs: tuple[float, ...] = ()
    cpu_ratio: float | None = None
    words: str = ""

    @property
    def key(self) -> tuple[str, int, str]:
        """What makes a reading the same one."""
        return self.tool, self.pair, self.level


def write(folder: Path, reading: Reading) -> None:
    """Append one."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / FILE).open("a") as file:
        file.write(json.dumps(asdict(reading)) + "\n")


def read(folder: Path) -> tuple[Reading, ...]:
    """All of a folder, none where it has none yet."""
    path = folder / FILE
    return parse(path.read_text().splitlines()) if path.exists() else ()


def parse(lines: Iterable[str]) -> tuple[Reading, ...]:
    """Readings of lines; the last of equal ones counts."""
    found = {}
    for line in lines:
        body = json.loads(line)
        reading = Reading(**{**body, "logs": tuple(body.get("logs", ()))})
        found[reading.key] = reading
    return tuple(found.values())
