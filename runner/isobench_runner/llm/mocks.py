"""Whether a script replaces the code under test: by mock libraries, by assignment into its modules, or by a fallback on ImportError.

Such a script can be timed without the revision's code ever running, and then says nothing. Inputs that merely look like the real thing
(a plain class of the test's own) are no mock. Everything is found in the syntax tree; nothing is imported.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from isobench_runner.contract import Reason

from .findings import Finding

_LIBRARIES = frozenset({"mock", "unittest.mock", "pytest_mock"})
_MAKERS = frozenset({"Mock", "MagicMock", "AsyncMock", "NonCallableMock", "PropertyMock", "create_autospec", "mocker"})
_STANDS_FOR = re.compile(r"^_?(?:Mock|Fake|Dummy|Stub|mock_|fake_|dummy_|stub_)(\w+)$")
_IMPORT_ERRORS = frozenset({"ImportError", "ModuleNotFoundError", "Exception", "BaseException", "AttributeError"})
_SOURCE_ROOTS = frozenset({"src", "lib", "python", "source"})


def target_roots(package: str | None, patch: str) -> frozenset[str]:
    """Top-level import names of the code under test: the package proved, and what the patch's Python files belong to."""
    roots = {package.partition(".")[0]} if package else set[str]()
    for line in patch.splitlines():
        if line.startswith(("+++ b/", "--- a/")) and line.rstrip().endswith((".py", ".pyx", ".pyi")):
            path = PurePosixPath(line[6:].strip()).with_suffix("")
            parts = [part for part in path.parts if part not in _SOURCE_ROOTS and part.isidentifier()]
            roots |= set(parts[:1])
    return frozenset(roots - {"setup", "tests", "test", "benchmarks", "docs"})


def _finding(node: ast.AST, words: str) -> Finding:
    return Finding(reason=Reason.TARGET_MOCKED, fatal=False, words=words, line=getattr(node, "lineno", None))


def _dotted(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attribute):
            inner = _dotted(value)
            return f"{inner}.{attribute}" if inner else ""
        case _:
            return ""


def _imported(body: Iterable[ast.AST], roots: frozenset[str]) -> set[str]:
    """Local names bound to something of the code under test (of anything, where its package is not known)."""
    names = set[str]()
    for node in body:
        for inner in ast.walk(node):
            match inner:
                case ast.ImportFrom(module=module, names=aliases) if module and _within(module, roots):
                    names |= {alias.asname or alias.name for alias in aliases}
                case ast.Import(names=aliases):
                    names |= {
                        alias.asname or alias.name.partition(".")[0] for alias in aliases if _within(alias.name, roots)
                    }
                case _:
                    pass
    return names


def _within(module: str, roots: frozenset[str]) -> bool:
    return not roots or module.partition(".")[0] in roots


def _libraries(tree: ast.AST) -> Iterator[Finding]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases) if any(alias.name in _LIBRARIES for alias in aliases):
                yield _finding(node, "imports a mock library: the real code has to run")
            case ast.ImportFrom(module=module, names=aliases) if module in _LIBRARIES or (
                module == "unittest" and any(alias.name == "mock" for alias in aliases)
            ):
                yield _finding(node, f"imports from {module}: the real code has to run")
            case ast.Call(func=ast.Name(id=name)) if name in _MAKERS:
                yield _finding(node, f"calls {name}: the real code has to run")
            case ast.FunctionDef(args=arguments) if any(a.arg in {"monkeypatch", "mocker"} for a in arguments.args):
                yield _finding(node, f"{node.name} takes a patching fixture: the real code has to run")
            case _:
                pass


def _assignments(tree: ast.AST, roots: frozenset[str]) -> Iterator[Finding]:
    """Assignments and setattr into what was imported from the code under test, and into sys.modules."""
    if not roots:
        return
    bound = _imported([tree], roots)
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=targets):
                for target in targets:
                    if isinstance(target, ast.Attribute) and _dotted(target).partition(".")[0] in bound:
                        yield _finding(node, f"assigns to {_dotted(target)}, which belongs to the code under test")
                    if isinstance(target, ast.Subscript) and _dotted(target.value) == "sys.modules":
                        key = target.slice.value if isinstance(target.slice, ast.Constant) else None
                        if isinstance(key, str) and _within(key, roots):
                            yield _finding(node, f"puts a module of its own in the place of {key}")
            case ast.Call(func=ast.Name(id="setattr"), args=[target, *_]) if _dotted(target).partition(".")[0] in bound:
                yield _finding(
                    node, f"replaces an attribute of {_dotted(target)}, which belongs to the code under test"
                )
            case _:
                pass


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    kinds = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type] if handler.type else []
    return not kinds or any(_dotted(kind).rpartition(".")[2] in _IMPORT_ERRORS for kind in kinds)


def _stand_ins(body: Iterable[ast.stmt]) -> Iterator[tuple[ast.AST, str]]:
    """What a handler defines by itself: classes, functions and lambdas, not further imports and not None."""
    for node in body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield node, name
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Lambda() | ast.Call(func=ast.Name(id="type"))):
                yield node, name
            case ast.If() | ast.With() | ast.Try():
                yield from _stand_ins(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))
            case _:
                pass


def _fallbacks(tree: ast.AST, roots: frozenset[str]) -> Iterator[Finding]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Try):
            continue
        wanted = _imported(node.body, roots)
        if not wanted:
            continue
        for handler in node.handlers:
            if not _catches_import_error(handler):
                continue
            for place, name in _stand_ins(handler.body):
                stands_for = _STANDS_FOR.match(name)
                if name in wanted or (stands_for is not None and stands_for[1] in wanted):
                    yield _finding(place, f"defines its own {name} where importing the real one fails")


def _named_after(tree: ast.AST, functions: Iterable[str]) -> Iterator[Finding]:
    """Classes and functions called MockX, FakeX and so on, where X is what the change touches."""
    touched = {part for function in functions for part in re.split(r"::|\.", function)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            stands_for = _STANDS_FOR.match(node.name)
            if stands_for is not None and stands_for[1] in touched:
                yield _finding(node, f"{node.name} stands in for {stands_for[1]}, which the change touches")


def mocked(tree: ast.AST, *, roots: frozenset[str], functions: Iterable[str] = ()) -> list[Finding]:
    """Every sign that the code under test is replaced, by line; never fatal by itself.

    Args:
        roots: top-level import names of the code under test; where empty, any import counts as one.
        functions: qualified names of what the change touches.
    """
    found = [*_libraries(tree), *_assignments(tree, roots), *_fallbacks(tree, roots), *_named_after(tree, functions)]
    unique = {(finding.line, finding.words): finding for finding in found}
    return sorted(unique.values(), key=lambda finding: (finding.line or 0, finding.words))
