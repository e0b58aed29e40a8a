"""The contract of a test script, checked by reading it: six functions, work in `experiment`, no copy and no mock of what is judged.

A script is parsed, never imported or run. Scripts of the older kind (pytest tests, or a program without the functions) are recognised
and timed as whole processes where they are given; a generated script has to meet the contract.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from isobench_runner.contract import Reason

from .findings import Finding, Granularity, Origin
from .leaks import leaked
from .mocks import mocked, target_roots

Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True)
class _Shape:
    """How a function is called: with `least` to `most` positional arguments, or by these keywords alone."""

    form: str
    least: int
    most: int
    keywords: tuple[str, ...] = ()


SIX: dict[str, _Shape] = {
    "setup": _Shape("setup() or setup(seed)", 0, 1),
    "experiment": _Shape("experiment(data)", 1, 1),
    "store_result": _Shape("store_result(result, path)", 2, 2),
    "load_result": _Shape("load_result(path)", 1, 1),
    "check_equivalence": _Shape("check_equivalence(current, reference)", 2, 2),
    "run_test": _Shape(
        'run_test(eqcheck=False, reference=False, prefix="") -> float', 0, 3, ("eqcheck", "reference", "prefix")
    ),
}
"""The functions of the contract `six`, which ISO-Bench's and GSO's scripts have in common."""

_IDLE_CALLS = frozenset(
    {
        "print",
        "sleep",
        "time.sleep",
        "len",
        "id",
        "repr",
        "str",
        "time.time",
        "time.perf_counter",
        "gc.collect",
        "dict",
        "list",
        "tuple",
        "set",
    }
)


def parse(source: str) -> ast.Module | Finding:
    """The syntax tree, or the compiler's words."""
    try:
        return ast.parse(source)
    except SyntaxError as error:
        text = f": {error.text.strip()}" if error.text and error.text.strip() else ""
        words = f"line {error.lineno}: {error.msg}{text}"
        return Finding(reason=Reason.TEST_SYNTAX, fatal=True, words=words, line=error.lineno)
    except (ValueError, RecursionError, MemoryError) as error:
        return Finding(
            reason=Reason.TEST_SYNTAX, fatal=True, words=f"it does not compile: {str(error) or type(error).__name__}"
        )


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the script is loaded, those inside of if, try and with among them."""
    for node in body:
        yield node
        match node:
            case ast.If() | ast.Try() | ast.With():
                yield from _top_level([child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)])
                for handler in getattr(node, "handlers", []):
                    yield from _top_level(handler.body)
            case _:
                pass


def _functions(tree: ast.Module) -> dict[str, Function | None]:
    """What is callable at the top level by name, the last definition winning; None for names bound to something unknown."""
    found: dict[str, Function | None] = {}
    for node in _top_level(tree.body):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found[name] = node
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name in SIX:
                found[name] = value if isinstance(value, ast.Lambda) else None
            case ast.ImportFrom(names=aliases):
                found.update(
                    {alias.asname or alias.name: None for alias in aliases if (alias.asname or alias.name) in SIX}
                )
            case _:
                pass
    return found


def _signature(name: str, function: Function) -> str | None:
    """Why the harness could not call it, or None."""
    shape, arguments = SIX[name], function.args
    if isinstance(function, ast.AsyncFunctionDef):
        return "is async; the harness calls it plainly"
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own(function)):
        return "is a generator: its work would be done by whoever looks at the result"
    positional = [*arguments.posonlyargs, *arguments.args]
    required = len(positional) - len(arguments.defaults)
    asked = [a.arg for a, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if value is None]
    if shape.keywords:
        names = {a.arg for a in [*arguments.args, *arguments.kwonlyargs]}
        missing = [word for word in shape.keywords if word not in names] if arguments.kwarg is None else []
        if missing:
            return f"has no parameter {missing[0]}"
        return f"has parameters without a default; wanted is {shape.form}" if required or asked else None
    if asked:
        return f"wants the keyword {asked[0]}"
    most = shape.most if arguments.vararg is not None else len(positional)
    if required > shape.most or most < shape.least:
        return f"takes {len(positional)} arguments; wanted is {shape.form}"
    return None


def _own(function: Function) -> Iterator[ast.AST]:
    """The nodes of a function's body, without functions and classes defined inside of it."""
    queue: list[ast.AST] = list(function.body) if isinstance(function.body, list) else [function.body]
    while queue:
        node = queue.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            queue.extend(ast.iter_child_nodes(node))


def _call_name(node: ast.Call) -> str:
    return ast.unparse(node.func) if isinstance(node.func, ast.Name | ast.Attribute) else ""


def _varies(node: ast.AST) -> bool:
    """Whether evaluating it can depend on anything: constants and what is built of them alone do not."""
    return any(isinstance(inner, ast.Name | ast.Call) for inner in ast.walk(node))


def _idle(function: Function) -> set[int]:
    """Calls that are no work, with the names they are called by: idle ones, containers being built, exceptions being made."""
    idle = set[int]()
    for node in _own(function):
        if isinstance(node, ast.Raise):
            idle |= {id(inner) for inner in ast.walk(node)}
        if isinstance(node, ast.Call) and _call_name(node) in _IDLE_CALLS:
            idle |= {id(node), *(id(inner) for inner in ast.walk(node.func))}
    return idle


def _works(function: Function) -> bool:
    """Whether a body does something that could be measured: a call, an operation, a loop, an import, on something that is no constant."""
    idle = _idle(function)
    for node in _own(function):
        match node:
            case ast.Call() | ast.Attribute(ctx=ast.Load()) if id(node) not in idle:
                return True
            case ast.For() | ast.While() | ast.With() | ast.Delete() | ast.AugAssign():
                return True
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                return True
            case ast.BinOp() | ast.Compare() | ast.UnaryOp() if _varies(node):
                return True
            case _:
                pass
    return False


def _mentions(tree: ast.Module, roots: frozenset[str]) -> bool:
    """Whether one of the packages is imported, or named in a text from which it could be."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases) if any(alias.name.partition(".")[0] in roots for alias in aliases):
                return True
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] in roots:
                return True
            case ast.Constant(value=str(text)) if text.partition(".")[0] in roots:
                return True
            case _:
                pass
    return False


def _judges(function: Function) -> bool:
    """Whether check_equivalence can say no: an assert, a raise, a call, or a value returned that is no constant."""
    for node in _own(function):
        if isinstance(node, ast.Assert | ast.Raise | ast.Call):
            return True
        if isinstance(node, ast.Return) and node.value is not None and _varies(node.value):
            return True
    return False


def _six(tree: ast.Module) -> list[Finding]:
    """What keeps a script from being called function by function."""
    functions = _functions(tree)
    findings = []
    for name, shape in SIX.items():
        if name not in functions:
            words = f"it has no function {name}; wanted is {shape.form}"
            findings.append(Finding(reason=Reason.CONTRACT_UNMET, fatal=True, words=words))
            continue
        function = functions[name]
        wrong = _signature(name, function) if function is not None else None
        if wrong is not None:
            line = getattr(function, "lineno", None)
            findings.append(Finding(reason=Reason.CONTRACT_UNMET, fatal=True, words=f"{name} {wrong}", line=line))
    return findings


def _quality(tree: ast.Module, roots: frozenset[str]) -> list[Finding]:
    functions = _functions(tree)
    findings = []
    experiment, check = functions.get("experiment"), functions.get("check_equivalence")
    if experiment is not None and not _works(experiment):
        words = "experiment does nothing, or returns a constant or its input"
        findings.append(
            Finding(reason=Reason.TEST_TRIVIAL, fatal=True, words=words, line=getattr(experiment, "lineno", None))
        )
    if check is not None and not _judges(check):
        words = "check_equivalence has no assert, raise or comparison, so it accepts every result"
        findings.append(
            Finding(reason=Reason.VACUOUS_EQUIVALENCE, fatal=True, words=words, line=getattr(check, "lineno", None))
        )
    if roots and not _mentions(tree, roots):
        words = f"it never imports {' or '.join(sorted(roots))}"
        findings.append(Finding(reason=Reason.TEST_TRIVIAL, fatal=True, words=words))
    return findings


def _old_style(tree: ast.Module) -> str | None:
    """How a script without the six functions runs as a process: `pytest`, `script`, or None where loading it does nothing."""
    for node in _top_level(tree.body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test"):
            return "pytest"
        if isinstance(node, ast.ClassDef) and (
            node.name.startswith("Test") or any("TestCase" in ast.unparse(b) for b in node.bases)
        ):
            return "pytest"
    does = any(isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) for node in _top_level(tree.body))
    loops = any(isinstance(node, ast.For | ast.While | ast.AsyncFor) for node in tree.body)
    return "script" if does or loops else None


def granularity(source: str) -> Granularity:
    """Whether a script that parses is timed function by function, or as a whole process."""
    tree = parse(source)
    return "function" if not isinstance(tree, Finding) and not _six(tree) else "process"


def meets_contract(source: str) -> bool:
    """Whether all six functions are there and can be called as the harness does."""
    return granularity(source) == "function"


def inspect_script(
    source: str,
    *,
    patch: str = "",
    package: str | None = None,
    origin: Origin = "generated",
    functions: tuple[str, ...] = (),
) -> list[Finding]:
    """Everything about a test script that reading it shows, the fatal findings first.

    Args:
        patch: the unified diff between base and head, without tests.
        package: the import name of the package under test.
        origin: in a given script only what keeps it from running at all is fatal; the rest is a warning.
        functions: qualified names of what the change touches.
    """
    tree = parse(source)
    if isinstance(tree, Finding):
        return [tree]
    roots = target_roots(package, patch)
    contract = _six(tree)
    findings = [*contract, *_quality(tree, roots if package else frozenset())]
    findings += [
        replace(finding, fatal=True)
        for finding in [*leaked(source, patch), *mocked(tree, roots=roots, functions=functions)]
    ]
    if origin == "given":
        findings = [replace(finding, fatal=False) for finding in findings]
        if contract and _old_style(tree) is None:
            words = f"{contract[0].words}; and run as a program or by pytest it would do nothing"
            findings.insert(0, replace(contract[0], fatal=True, words=words))
    return sorted(findings, key=lambda finding: not finding.fatal)
