"""Which functions a change touches: the syntax trees of base and head, laid beside the changed lines of the diff.

Pure: source text and line numbers in, functions out. Files of other Python versions that ours cannot parse are read by their
indentation instead, and that is said.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Side = Literal["base", "head"]
_HEADER = re.compile(r"^(?P<indent>[ \t]*)(?:async[ \t]+)?(?P<kind>def|class)[ \t]+(?P<name>\w+)")
_ROOTS = frozenset({"", "src", "lib", "python"})


@dataclass(frozen=True)
class Function:
    """A function or method of one file.

    Attributes:
        qualname: as `__qualname__` has it: `Class.method`, `outer.<locals>.inner`.
        start: its first line, decorators included, as `co_firstlineno` has it.
        end: its last line.
        body: the first line of its body; what is before it runs at import.
        silent: lines of its body that run nothing: blank ones, comments, docstrings.
    """

    qualname: str
    start: int
    end: int
    body: int
    silent: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Changed:
    """A function with changed lines on one side.

    Attributes:
        path: of the file on that side.
        lines: changed lines of its body that run something, or where only the other side's lines changed, their neighbours here.
    """

    path: str
    side: Side
    qualname: str
    start: int
    end: int
    lines: tuple[int, ...]

    def to_json(self) -> dict[str, object]:
        """The entry of inputs.json."""
        return {
            "path": self.path,
            "side": self.side,
            "qualname": self.qualname,
            "start": self.start,
            "end": self.end,
            "lines": list(self.lines),
        }


@dataclass(frozen=True)
class SourceFile:
    """One side of a changed Python file.

    Attributes:
        functions: innermost ones after those that hold them.
        note: how it was read, where our parser could not.
    """

    path: str
    functions: tuple[Function, ...]
    note: str | None = None

    def at(self, line: int) -> Function | None:
        """The innermost function that holds a line, decorators and header included."""
        holders = [item for item in self.functions if item.start <= line <= item.end]
        return max(holders, key=lambda item: (item.start, -item.end), default=None)

    def running(self, line: int) -> Function | None:
        """The innermost function whose body runs a line; a nested function's header runs in the one around it."""
        holders = [item for item in self.functions if item.body <= line <= item.end and line not in item.silent]
        return max(holders, key=lambda item: (item.body, -item.end), default=None)

    def named(self, qualname: str) -> Function | None:
        """The last function of a name, which is the one that counts."""
        return next((item for item in reversed(self.functions) if item.qualname == qualname), None)


def _silent(lines: list[str], node: ast.FunctionDef | ast.AsyncFunctionDef) -> frozenset[int]:
    last = node.end_lineno or node.lineno
    silent = {
        number
        for number in range(node.lineno, min(last, len(lines)) + 1)
        if not lines[number - 1].strip() or lines[number - 1].lstrip().startswith("#")
    }
    if ast.get_docstring(node, clean=False) is not None:
        first = node.body[0]
        silent.update(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return frozenset(silent)


def _walk(node: ast.AST, prefix: str, lines: list[str]) -> Iterator[Function]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            name = prefix + child.name
            start = min([child.lineno, *(item.lineno for item in child.decorator_list)])
            end = child.end_lineno or child.lineno
            yield Function(name, start, end, child.body[0].lineno, _silent(lines, child))
            yield from _walk(child, f"{name}.<locals>.", lines)
        elif isinstance(child, ast.ClassDef):
            yield from _walk(child, f"{prefix}{child.name}.", lines)
        else:
            yield from _walk(child, prefix, lines)


@dataclass
class _Open:
    indent: int
    kind: str
    qualname: str
    line: int


def _by_indentation(lines: list[str]) -> list[Function]:
    """Functions as their headers and indentation show them, for source that does not parse."""
    found: list[Function] = []
    stack: list[_Open] = []
    last = 0

    def close(indent: int) -> None:
        while stack and stack[-1].indent >= indent:
            item = stack.pop()
            if item.kind == "def":
                found.append(Function(item.qualname, item.line, max(last, item.line), item.line + 1))

    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith(("#", ")", "]", "}")):
            continue
        width = len(line.expandtabs(8)) - len(line.expandtabs(8).lstrip())
        close(width)
        last = number
        match = _HEADER.match(line)
        if match:
            above = stack[-1] if stack else None
            prefix = "" if above is None else above.qualname + ("." if above.kind == "class" else ".<locals>.")
            stack.append(_Open(width, match["kind"], prefix + match["name"], number))
    close(0)
    return sorted(found, key=lambda item: (item.start, -item.end))


def parse_source(path: str, content: bytes) -> SourceFile:
    """Read one side of a Python file; never fails."""
    lines = content.decode("utf-8", "replace").split("\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(content)
        return SourceFile(path, tuple(_walk(tree, "", lines)))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        where = f" (line {error.lineno})" if isinstance(error, SyntaxError) and error.lineno else ""
        words = error.msg if isinstance(error, SyntaxError) else type(error).__name__
        note = f"{path} is no Python that can be parsed here{where}: {words}; its functions were found by indentation"
        return SourceFile(path, tuple(_by_indentation(lines)), note)


def _touched(source: SourceFile, lines: Iterable[int]) -> dict[str, set[int]]:
    result: dict[str, set[int]] = {}
    for line in lines:
        function = source.running(line)
        if function is not None:
            result.setdefault(function.qualname, set()).add(line)
    return result


def _neighbours(function: Function, gaps: Iterable[int]) -> set[int]:
    """The lines of a body on both sides of the places where the other side's lines are missing."""
    running = [line for line in range(function.body, function.end + 1) if line not in function.silent]
    result: set[int] = set()
    for gap in gaps:
        if function.start <= gap <= function.end:
            before = [line for line in running if line <= gap][-1:]
            after = [line for line in running if line > gap][:1]
            result.update(before + after)
    return result


def changed_functions(
    base: SourceFile | None,
    head: SourceFile | None,
    *,
    removed: Collection[int],
    added: Collection[int],
    inserts: Iterable[int] = (),
    cuts: Iterable[int] = (),
) -> list[Changed]:
    """The functions whose bodies a file's change touches, on both sides.

    A function that changed on one side and exists on the other by the same name is listed there too: where that side has no changed line
    in it, with the lines around the place, so that what runs the change can be told there as well.

    Args:
        removed, added: changed lines of base and of head.
        inserts: base lines after which head adds lines and base loses none; cuts: likewise of head.
    """
    sides: tuple[tuple[Side, SourceFile | None, Collection[int], tuple[int, ...]], ...] = (
        ("base", base, removed, tuple(inserts)),
        ("head", head, added, tuple(cuts)),
    )
    touched = {side: _touched(source, lines) if source else {} for side, source, lines, _ in sides}
    names = {name for lines in touched.values() for name in lines}
    result: list[Changed] = []
    for side, source, _, gaps in sides:
        for function in source.functions if source else ():
            if function.qualname not in names:
                continue
            lines = touched[side].get(function.qualname, set()) & set(range(function.start, function.end + 1))
            lines = lines or _neighbours(function, gaps)
            if lines and source:
                result.append(
                    Changed(source.path, side, function.qualname, function.start, function.end, tuple(sorted(lines)))
                )
    return result


def touched_names(
    base: SourceFile | None, head: SourceFile | None, *, removed: Collection[int], added: Collection[int]
) -> list[str]:
    """Qualified names of all functions that the change touches anywhere, headers and docstrings included, in order of appearance."""
    names: dict[str, None] = {}
    for source, lines in ((head, added), (base, removed)):
        for line in sorted(lines) if source else ():
            function = source.at(line) if source else None
            if function is not None:
                names.setdefault(function.qualname)
    return list(names)


def module_name(path: str, tree: Collection[str]) -> str | None:
    """The dotted name that a file is imported by, or None where its place does not tell.

    Args:
        tree: all Python files of the revision: packages are folders with an `__init__.py`.
    """
    place = PurePosixPath(path)
    parts = list(place.with_suffix("").parts)
    top = len(parts) - 1
    while top > 0 and str(PurePosixPath(*parts[:top], "__init__.py")) in tree:
        top -= 1
    root = "/".join(parts[:top])
    if top == len(parts) - 1 and root not in _ROOTS:
        return None
    dotted = parts[top:-1] if parts[-1] == "__init__" and len(parts) - top > 1 else parts[top:]
    return ".".join(dotted) if all(part.isidentifier() for part in dotted) else None


def full_name(path: str, qualname: str, tree: Collection[str]) -> str:
    """`pkg.mod.Class.func`, or `path::qualname` where the path has no dotted name."""
    module = module_name(path, tree)
    return f"{module}.{qualname}" if module else f"{path}::{qualname}"
