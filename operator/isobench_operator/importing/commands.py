"""What is remarkable about shell lines that somebody else wrote, before they are run. Pure.

This is a list for a person to read, not a guard: the sandbox is that.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

_ABSOLUTE = r"['\"]?(?:/(?!dev/null\b|tmp/)|~|\$\{?HOME\b)"
_REMARKABLE: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("sudo", re.compile(r"(?:^|[\s;&|(])sudo\b")),
    ("apt", re.compile(r"(?:^|[\s;&|(/])(?:apt|apt-get|aptitude|dpkg|yum|dnf|apk|pacman|brew)\s")),
    (
        "writes outside the tree",
        re.compile(
            rf">>?\s*{_ABSOLUTE}|\btee\s+(?:-a\s+)?{_ABSOLUTE}"
            rf"|\b(?:mkdir|rm|touch|chmod|chown|ln|cp|mv|install|unzip|git\s+clone)\s[^;&|]*\s{_ABSOLUTE}"
            rf"|\b(?:rm|mkdir|touch)\s+{_ABSOLUTE}"
            rf"|(?:^|\s)(?:--target|--prefix|--root|-o|-O|-C|-P|--output|--directory-prefix)[=\s]+{_ABSOLUTE}|\s--user\b"
        ),
    ),
)


@dataclass(frozen=True)
class Command:
    """A line that will run, or would.

    Attributes:
        kind: once per environment, or once per revision.
        remarks: why a person should look at it first; empty for most.
    """

    kind: Literal["setup", "install"]
    line: str
    remarks: tuple[str, ...] = ()


def remarks(line: str) -> tuple[str, ...]:
    """What is remarkable about a line."""
    return tuple(name for name, pattern in _REMARKABLE if pattern.search(line))


def look_at(setup: Iterable[str], install: Iterable[str]) -> tuple[Command, ...]:
    """All lines, the remarkable ones first, else in the order in which they run."""
    lines = [Command("setup", line, remarks(line)) for line in setup]
    lines += [Command("install", line, remarks(line)) for line in install]
    return tuple(sorted(lines, key=lambda command: not command.remarks))
