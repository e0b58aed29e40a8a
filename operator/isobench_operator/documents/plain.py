"""ConfigMaps and Secrets of a manifest, as texts by key. Of a Secret no value is ever shown."""

from __future__ import annotations

import base64
import re

from .errors import ABSENT, DocumentError
from .nodes import Document
from .resources import MAX_CONFIG_MAP
from .words import near

KINDS = {
    "ConfigMap": ("apiVersion", "kind", "metadata", "data", "binaryData", "immutable"),
    "Secret": ("apiVersion", "kind", "metadata", "data", "stringData", "type", "immutable"),
}
"""Their fields."""
_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")


def read(document: Document, kind: str) -> tuple[dict[str, str], list[DocumentError]]:
    """The texts of a ConfigMap or Secret, and what is wrong with it."""
    errors = [
        document.error((unknown,), "unknown field", near(unknown, KINDS[kind]), key=True)
        for unknown in document.data
        if unknown not in KINDS[kind]
    ]
    encoded, bare = ("binaryData", "data") if kind == "ConfigMap" else ("data", "stringData")
    texts = _texts(document, encoded, errors, encoded=True, hidden=kind == "Secret")
    texts |= _texts(document, bare, errors, encoded=False, hidden=kind == "Secret")
    size = sum(len(key) + len(text.encode()) for key, text in texts.items())
    if size > MAX_CONFIG_MAP:
        message = f"holds {size:,} bytes, and a {kind} at most {MAX_CONFIG_MAP:,}"
        errors.append(document.error((), message, "split it, or keep the texts in files and name them by `file:`"))
    return texts, errors


def _texts(
    document: Document, section: str, errors: list[DocumentError], *, encoded: bool, hidden: bool
) -> dict[str, str]:
    body = document.data.get(section)
    if body is None:
        return {}
    if not isinstance(body, dict):
        errors.append(document.error((section,), "must be a mapping", "write a key and a text for each entry"))
        return {}
    found: dict[str, str] = {}
    for key, value in body.items():
        path = (section, key)
        if not _KEY.fullmatch(key):
            message = "is no key: letters, digits, dots, dashes and underscores"
            errors.append(document.error(path, message, "rename it", key=True))
        if not isinstance(value, str):
            written = "" if hidden else f': "{document.written.get(path, value)}"'
            error = document.error(
                path, "must be a string", f"put it in quotes{written}", value=ABSENT if hidden else value
            )
            errors.append(error)
            continue
        try:
            found[key] = base64.b64decode(re.sub(r"\s", "", value), validate=True).decode() if encoded else value
        except ValueError:
            remedy = "encode it with `base64 -w0`" + (", or write it under stringData" if hidden else "")
            errors.append(document.error(path, "is no UTF-8 text in base64", remedy))
    return found
