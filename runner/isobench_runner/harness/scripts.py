"""What kind of test a script is, read from its text alone: the measuring parent never imports it. Pure."""

import ast
import re
from typing import Iterator, List, Set

from .calls import REQUIRED

SIX = "six"
PYTEST = "pytest"
SCRIPT = "script"
_SKIP_LINE = re.compile(r"^\W*(skip|skipped|skipping)\b", re.IGNORECASE)
_DEFINITION = re.compile(r"^(?:async\s+)?def\s+(\w+)|^class\s+(\w+)", re.MULTILINE)


def _statements(body: List[ast.stmt]) -> Iterator[ast.stmt]:
    for one in body:
        yield one
        for name in ("body", "orelse", "finalbody"):
            if isinstance(one, (ast.If, ast.Try, ast.With)):
                yield from _statements(getattr(one, name, []))
        if isinstance(one, ast.Try):
            for handler in one.handlers:
                yield from _statements(handler.body)


def _names(source: str) -> Set[str]:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {name for pair in _DEFINITION.findall(source) for name in pair if name}
    names: Set[str] = set()
    for one in _statements(tree.body):
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(one.name)
        elif isinstance(one, ast.Assign):
            names.update(target.id for target in one.targets if isinstance(target, ast.Name))
        elif isinstance(one, (ast.Import, ast.ImportFrom)):
            names.update(alias.asname or alias.name for alias in one.names)
    return names


def kind_of(source: str) -> str:
    """`six` for the contract's functions, `pytest` for test functions or classes, else `script`.

    A source that this interpreter cannot parse may be of a newer Python: then its top-level definitions are found by their lines.
    """
    names = _names(source)
    if set(REQUIRED) <= names:
        return SIX
    if any(name.startswith(("test_", "Test")) for name in names):
        return PYTEST
    return SCRIPT


def says_it_skipped(printed: str) -> bool:
    """Whether the last line that a script printed before it left with success says that it did nothing."""
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    if not lines:
        return False
    last = lines[-1]
    if last.startswith("{") and last.endswith("}"):
        return bool(
            re.search(r"[\"'](skipped|skip|error|skip_reason)[\"']\s*:|[\"']status[\"']\s*:\s*[\"'](skip|error)", last)
        )
    return bool(_SKIP_LINE.match(last))
