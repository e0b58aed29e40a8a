"""Changed functions: the lines of the diff beside the syntax trees of both sides."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_runner.records.functions import changed_functions, full_name, module_name, parse_source, touched_names

SOURCE = textwrap.dedent('''\
    import x


    @decorated(
        1)
    async def top(a):
        """Say.

        More."""
        # words
        b = a

        def inner():
            return b

        return inner


    class Box:
        size = 3

        class Lid:
            def lift(self):
                return 1

        def fill(self): return 2


    if x:
        def twice(): return 1
    else:
        def twice(): return 2
''')


def lines_of(text: str, *, removed: set[int], added: set[int] | None = None) -> dict[str, tuple[int, ...]]:
    source = parse_source("m.py", text.encode())
    found = changed_functions(source, None, removed=removed, added=added or set())
    return {item.qualname: item.lines for item in found}


def test_functions_are_named_and_placed_as_code_objects_are() -> None:
    scope: dict[str, object] = {}
    source = parse_source("m.py", SOURCE.encode())
    runnable = SOURCE.replace("import x\n\n", "x = 1\ndecorated = lambda n: lambda f: f\n", 1)
    exec(compile(runnable, "m", "exec"), scope)
    top = scope["top"].__code__  # type: ignore[attr-defined]
    assert {item.qualname: item.start for item in source.functions}["top"] == top.co_firstlineno == 4
    names = [item.qualname for item in source.functions]
    assert names == ["top", "top.<locals>.inner", "Box.Lid.lift", "Box.fill", "twice", "twice"]


def test_a_line_belongs_to_the_innermost_body() -> None:
    source = parse_source("m.py", SOURCE.encode())
    found = changed_functions(source, None, removed=set(range(1, 40)), added=())
    assert [(item.qualname, item.lines) for item in found] == [
        ("top", (11, 13, 16)),
        ("top.<locals>.inner", (14,)),
        ("Box.Lid.lift", (24,)),
        ("Box.fill", (26,)),
        ("twice", (30,)),
        ("twice", (32,)),
    ]


@pytest.mark.parametrize("line", [4, 5, 6, 7, 9, 10, 12, 19, 20])
def test_headers_docstrings_comments_and_classes_run_in_no_repeated_call(line: int) -> None:
    assert lines_of(SOURCE, removed={line}) == {}


def test_headers_count_as_touched_all_the_same() -> None:
    source = parse_source("m.py", SOURCE.encode())
    assert touched_names(source, None, removed={4, 20, 24}, added=set()) == ["top", "Box.Lid.lift"]


def test_a_function_that_only_gains_lines_is_listed_on_base_by_the_lines_around() -> None:
    before = "def f(a):\n    b = a\n    # c\n    return b\n"
    after = "def f(a):\n    b = a\n    b += 1\n    # c\n    return b\n"
    found = changed_functions(
        parse_source("m.py", before.encode()),
        parse_source("m.py", after.encode()),
        removed=set(),
        added={3},
        inserts=(2,),
    )
    assert [(item.side, item.lines) for item in found] == [("base", (2, 4)), ("head", (3,))]


def test_a_new_function_is_on_head_alone_and_a_removed_one_on_base() -> None:
    before, after = (
        parse_source("m.py", b"def old():\n    return 1\n"),
        parse_source("m.py", b"def new():\n    return 2\n"),
    )
    found = changed_functions(before, after, removed={1, 2}, added={1, 2})
    assert [(item.side, item.qualname) for item in found] == [("base", "old"), ("head", "new")]


def test_a_renamed_file_has_its_own_path_on_each_side() -> None:
    text = b"def f():\n    return 1\n"
    found = changed_functions(parse_source("a.py", text), parse_source("b.py", text), removed={2}, added={2})
    assert [(item.side, item.path) for item in found] == [("base", "a.py"), ("head", "b.py")]


def test_source_of_another_python_is_read_by_its_indentation() -> None:
    text = "class A:\n    def f(self):\n        print 'x'\n\n    def g(self):\n        exec 'y'\n\ndef h():\n    raise E, 'z'\n"
    source = parse_source("m.py", text.encode())
    assert [(item.qualname, item.start, item.end) for item in source.functions] == [
        ("A.f", 2, 3),
        ("A.g", 5, 6),
        ("h", 8, 9),
    ]
    assert source.note is not None
    assert "line 3" in source.note
    assert lines_of(text, removed={3}) == {"A.f": (3,)}


@pytest.mark.parametrize(
    "content", [b"\0", b"x = '\xff'", b"(" * 5000, b"# -*- coding: nonsense -*-\n", b"", b"def f():\n\\"]
)
def test_no_content_is_too_odd(content: bytes) -> None:
    parse_source("m.py", content)


def test_invalid_escapes_are_no_warning() -> None:
    assert parse_source("m.py", b"def f():\n    return '\\d'\n").note is None


@given(st.text(alphabet=st.sampled_from("def class():\n\t xyz@#'\"\\,0"), max_size=200), st.sets(st.integers(1, 30)))
def test_anything_gives_lines_within_their_functions(text: str, removed: set[int]) -> None:
    source = parse_source("m.py", text.encode())
    for item in changed_functions(source, source, removed=removed, added=removed):
        assert all(item.start <= line <= item.end for line in item.lines)


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("pkg/sub/mod.py", "pkg.sub.mod.f"),
        ("src/pkg/mod.py", "pkg.mod.f"),
        ("pkg/__init__.py", "pkg.f"),
        ("single.py", "single.f"),
        ("src/single.py", "single.f"),
        ("bench/run.py", "bench/run.py::f"),
        ("my-script.py", "my-script.py::f"),
    ],
)
def test_names_are_dotted_where_the_place_tells(path: str, name: str) -> None:
    tree = {"pkg/__init__.py", "pkg/sub/__init__.py", "src/pkg/__init__.py"}
    assert full_name(path, "f", tree) == name
    assert (module_name(path, tree) is None) == ("::" in name)
