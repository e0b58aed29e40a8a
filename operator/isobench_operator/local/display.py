"""What a person sees of a run: a live table on a terminal, one plain line per change elsewhere. Reads resources, decides nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import click
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

Json = Mapping[str, Any]
_COLOURS = {"faster": "green", "slower": "red", "negligible": "cyan", "no_change": "cyan", "inconclusive": "yellow"}


def condition(resource: Json, kind: str) -> Json:
    """The condition of a type, or an empty one."""
    conditions = (resource.get("status") or {}).get("conditions") or ()
    return next((item for item in conditions if item["type"] == kind), {})


def finished(resource: Json) -> bool:
    """Whether nothing more will happen to a Commit, well or badly; a Dataset is finished when it has been collected or has failed."""
    kind = "Finished" if resource["kind"] == "Commit" else "Succeeded"
    return condition(resource, kind).get("status") in (("True",) if kind == "Finished" else ("True", "False"))


def succeeded(resource: Json) -> bool:
    """Whether it ended as it should."""
    return bool(condition(resource, "Succeeded").get("status") == "True")


def in_a_line(message: str) -> str:
    """A message on one line; of a traceback in it, whole or cut at its beginning, the error alone: report and status have the rest."""
    lines = message.splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith('  File "')]
    if frames:
        errors = [
            line for line in lines[frames[-1] :] if line.strip() and not line.startswith((" ", "(while handling "))
        ]
        stage, colon, _ = lines[0].partition(": ")
        message = f"{stage}{colon}{errors[0] if errors else lines[-1]}" if frames[0] > 0 else (errors or lines)[-1]
    return " ".join(message.split())


def sentence(resource: Json) -> str:
    """Where a Commit stands, in a few words."""
    result = (resource.get("status") or {}).get("result") or {}
    summary = condition(resource, "Succeeded")
    if succeeded(resource) and result.get("speedup"):
        interval = result.get("ci95")
        between = f" [{interval[0]}, {interval[1]}]" if interval else ""
        floor = result.get("noiseFloorPercent") if result["verdict"] == "inconclusive" else None
        noise = f", noise floor {floor} %" if floor else ""
        return f"{str(result['verdict']).replace('_', ' ')}: {result['speedup']}x{between}{noise}"
    reason, message = summary.get("reason", "Pending"), in_a_line(str(summary.get("message", "")))
    return f"{reason}: {message}" if message else str(reason)


class Display(Protocol):
    """Told of every change."""

    def show(self, resource: Json) -> None:
        """A resource as it is now."""

    def close(self) -> None:
        """Nothing more comes."""


class Lines:
    """One line per change, with the seconds since the start; for logs and pipes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self._last: dict[str, str] = {}

    def show(self, resource: Json) -> None:
        name = f"{str(resource['kind']).lower()}/{resource['metadata']['name']}"
        text = sentence(resource)
        if self._last.get(name) != text:
            self._last[name] = text
            click.echo(f"{self._clock() - self._start:7.1f} s  {name}  {text[:400]}")

    def close(self) -> None:
        pass


class Table_:  # noqa: N801 - `Table` is rich's
    """A table that is redrawn in place."""

    def __init__(self, console: Console | None = None) -> None:
        self._resources: dict[str, Json] = {}
        self._started: dict[str, float] = {}
        self._ended: dict[str, float] = {}
        self._live = Live(console=console or Console(stderr=True), refresh_per_second=4, get_renderable=self._draw)
        self._live.start()

    def show(self, resource: Json) -> None:
        name = f"{str(resource['kind']).lower()}/{resource['metadata']['name']}"
        self._resources[name] = resource
        self._started.setdefault(name, time.monotonic())
        if finished(resource):
            self._ended.setdefault(name, time.monotonic())
        else:
            self._ended.pop(name, None)

    def close(self) -> None:
        self._live.refresh()
        self._live.stop()

    def _draw(self) -> Table:
        table = Table(box=None, pad_edge=False, show_header=False)
        for name, resource in self._resources.items():
            end = self._ended.get(name, time.monotonic())
            verdict = ((resource.get("status") or {}).get("result") or {}).get("verdict", "")
            mark: Text | Spinner = Spinner("dots")
            colour = _COLOURS.get(str(verdict), "default")
            if finished(resource):
                mark = Text("✓", "green") if succeeded(resource) else Text("✗", "red")
                colour = colour if succeeded(resource) else "red"
            table.add_row(mark, name, f"{end - self._started[name]:5.0f} s", Text(sentence(resource)[:160], colour))
        return table


class Silence:
    """Nothing at all: what was asked for is machine-readable."""

    def show(self, resource: Json) -> None:
        pass

    def close(self) -> None:
        pass


def make(*, live: bool, quiet: bool = False) -> Display:
    """A table for a terminal, lines for everything else, nothing where it was asked for."""
    if quiet:
        return Silence()
    return Table_() if live else Lines()
