"""Python out of what a model answered: Markdown, more or less, by markdown-it-py.

Answers in the wild leave fences open, nest them, use tildes or CRLF, split a file over blocks, show a draft before the final version, or
forget the fence. Candidates are gathered generously and chosen by what they are worth; nothing is run.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator

from markdown_it import MarkdownIt

_PYTHON = frozenset({"", "py", "python", "python3", "py3"})
_THOUGHT = re.compile(r"\A\s*<think(?:ing)?>.*?</think(?:ing)?>", re.DOTALL)
_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[^\n`]*$", re.MULTILINE)
_MAX_FENCES = 40
"""More fences than this are not paired with each other: an answer is a few blocks, and pairs grow with the square."""


def parses(code: str) -> bool:
    """Whether it is Python by this interpreter's grammar."""
    try:
        ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _is_program(code: str) -> bool:
    """Whether text without a fence is code: it parses, and does what no sentence does by accident."""
    try:
        body = ast.parse(code).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Import | ast.ImportFrom) for node in body)


def _blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of every fenced block, by CommonMark."""
    tokens = MarkdownIt("commonmark").parse(text)
    return [
        (token.info.strip().split(maxsplit=1)[0].lower() if token.info.strip() else "", token.content)
        for token in tokens
        if token.type == "fence"
    ]


def _spans(text: str) -> Iterator[str]:
    """From each Python opening fence to each later bare fence: a fence inside of a docstring closes a block too early by CommonMark."""
    fences = list(_FENCE.finditer(text))[:_MAX_FENCES]
    for index, opening in enumerate(fences):
        if opening[2].lower() not in _PYTHON:
            continue
        for closing in fences[index + 2 :]:
            if not closing[2] and closing[1][0] == opening[1][0]:
                yield text[opening.end() + 1 : closing.start()]


def python_of(answer: str, *, accepts: Callable[[str], bool] = parses) -> str | None:
    """The program in an answer, or None where there is none.

    Of all candidates the largest that `accepts` takes, else all blocks in a row where it takes those; else the largest that parses; else the largest block said to be Python, so that
    a compiler's words about it can be shown to the model.

    Args:
        accepts: whether a candidate is what was asked for; called on candidates that parse.
    """
    text = _THOUGHT.sub("", answer.replace("\r\n", "\n").replace("\r", "\n"))
    blocks = _blocks(text)
    named = [content for language, content in blocks if language in _PYTHON and content.strip()]
    candidates = [*named, *_spans(text)]
    if not blocks and _is_program(text):
        candidates.append(text)
    candidates += [content for language, content in blocks if language not in _PYTHON and _is_program(content)]
    sound = sorted((code for code in candidates if parses(code)), key=len, reverse=True)
    chosen = next((code for code in sound if accepts(code)), None)
    joined = "\n\n".join(named)
    if chosen is None and len(named) > 1 and parses(joined) and accepts(joined):
        chosen = joined
    if chosen is None:
        whole = [code for code in sound if code in named] or sound
        broken = sorted(named, key=len, reverse=True)
        chosen = _preferred(whole, broken)
    return None if chosen is None else chosen.strip("\n") + "\n"


def _preferred(sound: list[str], broken: list[str]) -> str | None:
    """Where nothing is accepted: a block that parses, unless one several times its size does not, which then was the attempt."""
    if not sound:
        return next(iter(broken), None)
    if broken and len(broken[0]) > 3 * len(sound[0]):
        return broken[0]
    return sound[0]
