"""What is wrong with manifests, and where: a list, for a user corrects all of it in one go."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SHOWN = 60


class _Absent:
    """Stands for a value that is not there, or must not be shown."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


def shown(value: Any) -> str:
    """A value as a message shows it: JSON without a URL's credentials, cut to a length that leaves the line readable."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    text = re.sub(r"://[^/\s]*@", "://…@", text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


@dataclass(frozen=True, kw_only=True)
class DocumentError:
    """One thing that is wrong.

    Attributes:
        file: as the user named it.
        line, column: from 1; 0 where the file as a whole is meant.
        path: of the field (`spec.head`), empty where the document as a whole is meant.
        value: what stands there; ABSENT where nothing does or it must not be shown.
        message: what is wrong with it.
        remedy: what to do about it.
    """

    file: Path
    line: int = 0
    column: int = 0
    path: str = ""
    value: Any = ABSENT
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        parts = [place, *([self.path] if self.path else []), *([shown(self.value)] if self.value is not ABSENT else [])]
        return f"{': '.join([*parts, self.message])}{f'; {self.remedy}' if self.remedy else ''}"


class DocumentErrors(ValueError):  # noqa: N818 - one exception, several errors
    """Manifests that cannot be used.

    Attributes:
        errors: all of them, in the order of files and lines.
    """

    def __init__(self, errors: Sequence[DocumentError]) -> None:
        self.errors = tuple(errors)
        super().__init__("\n".join(map(str, self.errors)))
