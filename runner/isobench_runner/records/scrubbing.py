"""Takes who and where out of words that people wrote, before a model reads them. Pure; code is never given to it."""

from __future__ import annotations

import re

_TRAILER = re.compile(r"^\s*(?:[A-Za-z-]+-by|Cc|Author|Committer|Co-developed-by)\s*:.*$", re.IGNORECASE | re.MULTILINE)
_ADDRESS = re.compile(r"(?:[A-Z][\w.'-]*\s+){0,3}<[^<>\s]+@[^<>\s]+>|[\w.+-]+@[\w-]+\.[\w.-]+")
_CREDIT = re.compile(
    r"\b((?:by|thanks(?: to)?|cc|credits? to|courtesy of|from|with)\s+)@[\w-]+(?:\s*(?:,|and|&)\s*@[\w-]+)*",
    re.IGNORECASE,
)
_ABSOLUTE = re.compile(r"(?<![\w/.:~>-])(?:/(?!/)|[A-Za-z]:\\|~/)[^\s'\"`,;:()\[\]{}]+")


def scrub(text: str) -> str:
    """Words without what says who or where: trailers, addresses, credits and absolute paths."""
    text = _TRAILER.sub("", text)
    text = _ADDRESS.sub("", text)
    text = _CREDIT.sub(r"\1a contributor", text)
    text = _ABSOLUTE.sub(lambda match: match[0].replace("\\", "/").rstrip("/").rpartition("/")[2] or "path", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()
