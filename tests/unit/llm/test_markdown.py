"""Python is found in whatever Markdown a model wraps it in."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isobench_runner.llm.markdown import python_of
from isobench_runner.llm.script_contract import meets_contract
from support.scripts import BROKEN, GOOD, markdown

SMALL = "import os\n\n\ndef f(x):\n    return os.fspath(x)\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"```python\n{SMALL}```",
        f"Sure!\n\n```py\n{SMALL}```\nBye.",
        f"~~~python\n{SMALL}~~~\n",
        f"```python\n{SMALL}",
        f"```python\n{SMALL}```".replace("\n", "\r\n"),
        f"````markdown\nintroduction\n````\n\n```python\n{SMALL}```",
        f"````python\n{SMALL}````",
        "1. First:\n\n" + "".join(f"   {line}\n" for line in f"```python\n{SMALL}```".splitlines()),
        SMALL,
        f"<think>\n```python\nimport wrong\n\ndef much_longer_function_name_than_the_other():\n    return wrong.way\n```\n</think>\n```python\n{SMALL}```",
        f"```bash\npip install it\n```\n\n```python\n{SMALL}```",
        f"```\n{SMALL}```",
        f"``` python\n{SMALL}```",
        f"```json\n[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]\n```\n```python\n{SMALL}```",
    ],
)
def test_the_code_comes_out_as_it_was_written(answer: str) -> None:
    found = python_of(answer)
    assert found is not None
    assert ast.dump(ast.parse(found)) == ast.dump(ast.parse(SMALL))


@pytest.mark.parametrize(
    "answer", ["", "I am sorry.", "x", "```text\nnot code at all, is it\n```", "No `code` here.\n\n    indented"]
)
def test_prose_is_no_code(answer: str) -> None:
    assert python_of(answer) is None


def test_of_two_blocks_the_one_that_meets_the_contract_is_taken_even_where_it_is_shorter() -> None:
    longer = GOOD.replace("def experiment", "def run") + "\n# padding\n" * 50
    assert python_of(markdown(longer) + markdown(GOOD), accepts=meets_contract) == GOOD


def test_a_file_split_over_two_blocks_is_joined() -> None:
    cut = GOOD.index("def store_result")
    answer = f"First the workload:\n```python\n{GOOD[:cut]}```\nthen the rest:\n```python\n{GOOD[cut:]}```\n"
    found = python_of(answer, accepts=meets_contract)
    assert found is not None
    assert ast.dump(ast.parse(found)) == ast.dump(ast.parse(GOOD))


def test_a_fence_inside_of_a_docstring_does_not_end_the_file() -> None:
    code = GOOD.replace("    return count(data)", '    """Count.\n\n```\nexample\n```\n    """\n    return count(data)')
    assert python_of(markdown(code), accepts=meets_contract) == code


def test_code_that_does_not_compile_is_kept_for_the_compilers_words() -> None:
    assert python_of(markdown(BROKEN), accepts=meets_contract) == BROKEN


def test_a_snippet_does_not_win_over_a_broken_file() -> None:
    assert python_of(f"```python\nimport pkg\n```\n{markdown(BROKEN)}", accepts=meets_contract) == BROKEN


@given(
    code=st.lists(
        st.sampled_from(["x = 1", "def f():\n    return '''~~~'''", "import os", "class A:\n    pass", "# `tick`"]),
        min_size=1,
    ),
    fence=st.sampled_from(["```", "~~~", "`````"]),
    language=st.sampled_from(["python", "py", ""]),
    before=st.text(alphabet="abc .\n", max_size=30),
    end=st.sampled_from(["\n", "\r\n"]),
    closed=st.booleans(),
)
def test_what_is_fenced_comes_out_whatever_the_fence(
    code: list[str], fence: str, language: str, before: str, end: str, *, closed: bool
) -> None:
    program = "\n".join(code) + "\n"
    text = f"{before}\n\n{fence}{language}\n{program}" + (f"{fence}\n" if closed else "")
    found = python_of(text.replace("\n", end))
    assert found is not None
    assert ast.dump(ast.parse(found)) == ast.dump(ast.parse(program))


@given(st.text(max_size=300))
def test_no_answer_at_all_raises(answer: str) -> None:
    found = python_of(answer)
    assert found is None or found.endswith("\n")


@given(st.text(alphabet="`~ \npython=1", max_size=200))
def test_fences_of_any_shape_raise_nothing(answer: str) -> None:
    python_of(answer, accepts=meets_contract)
