"""Source text for the page: lines of diff and of Python with the class of each piece. Text stays text; the template escapes it."""

from __future__ import annotations

import io
import keyword
import tokenize
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Some text and the CSS class that it is shown in, empty for none."""

    text: str
    kind: str = ""


@dataclass(frozen=True)
class Source:
    """Lines ready to be shown.

    Attributes:
        lines: pieces per line, with the class of the whole line.
        left_out: lines that were cut off.
        total: lines that there were.
    """

    lines: tuple[tuple[str, tuple[Piece, ...]], ...]
    left_out: int
    total: int


WIDEST = 400
"""Characters of a line that are shown."""
_INVISIBLE = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C])


def plain(text: str) -> str:
    """Text whose direction marks and control characters are made visible: what is shown must be what is there."""
    shown = text.replace("\r\n", "\n").translate({mark: f"\\u{mark:04x}" for mark in _INVISIBLE})
    return "".join(c if c in "\n\t" or (c.isprintable() or c == " ") else f"\\x{ord(c):02x}" for c in shown)


def _cut(text: str, limit: int) -> tuple[list[str], int, int]:
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    kept, size = [], 0
    for line in lines:
        size += min(len(line), WIDEST) + 1
        if size > limit:
            break
        kept.append(line if len(line) <= WIDEST else f"{line[:WIDEST]}… ({len(line) - WIDEST} characters more)")
    return kept, len(lines) - len(kept), len(lines)


def diff(text: str, limit: int) -> Source:
    """A unified diff, at most `limit` characters of whole lines."""
    kept, left_out, total = _cut(plain(text), limit)
    lines: list[tuple[str, tuple[Piece, ...]]] = []
    in_hunk = False
    for line in kept:
        if line.startswith("diff --git "):
            in_hunk, kind = False, "file"
        elif line.startswith("@@"):
            in_hunk, kind = True, "hunk"
        elif not in_hunk:
            kind = "meta"
        else:
            kind = {"+": "added", "-": "removed"}.get(line[:1], "")
        lines.append((kind, (Piece(line),)))
    return Source(tuple(lines), left_out, total)


def _kind(token: tokenize.TokenInfo) -> str:
    if token.type == tokenize.COMMENT:
        return "comment"
    if token.type == tokenize.STRING:
        return "string"
    if token.type == tokenize.NUMBER:
        return "number"
    return "keyword" if token.type == tokenize.NAME and keyword.iskeyword(token.string) else ""


def _marks(text: str) -> dict[int, list[tuple[int, int, str]]]:
    """Coloured spans by line number, from 0; what does not tokenise has none from there on."""
    marks: dict[int, list[tuple[int, int, str]]] = {}
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kind = _kind(token)
            if not kind:
                continue
            (first, start), (last, end) = token.start, token.end
            for line in range(first, last + 1):
                span = (start if line == first else 0, end if line == last else 1 << 30, kind)
                marks.setdefault(line - 1, []).append(span)
    except (tokenize.TokenError, SyntaxError):
        pass
    return marks


def python(text: str, limit: int) -> Source:
    """Python source, at most `limit` characters of whole lines."""
    kept, left_out, total = _cut(plain(text), limit)
    marks = _marks("\n".join(kept) + "\n")
    lines: list[tuple[str, tuple[Piece, ...]]] = []
    for number, line in enumerate(kept):
        pieces, at = [], 0
        for start, end, kind in marks.get(number, []):
            pieces += [Piece(line[at:start]), Piece(line[start:end], kind)]
            at = min(end, len(line))
        pieces.append(Piece(line[at:]))
        lines.append(("", tuple(piece for piece in pieces if piece.text)))
    return Source(tuple(lines), left_out, total)
