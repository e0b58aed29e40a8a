"""Files that a Job was given: mounted ConfigMaps and Secrets, and plan files that are left for the next container."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path
from typing import Any

from isobench_runner.contract import Reason, StageError
from isobench_runner.store import Store, StoreError, write_atomic

MAX_SCRIPT_BYTES = 2_000_000


def read_mounted(path: str, what: str) -> bytes:
    """A mounted file.

    Args:
        what: the field of the spec that names it, for the error.

    Raises:
        StageError: MissingInput, naming field and file.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        name = Path(path)
        raise StageError(
            Reason.MISSING_INPUT,
            f"{what}: {name.name} is not there ({error.strerror}); create the ConfigMap or Secret with a key of that name, or the file",
        ) from error


def read_script(content: bytes, what: str) -> str:
    """A test script as text, which has to be Python.

    Raises:
        StageError: InputInvalid, naming the line.
    """
    if len(content) > MAX_SCRIPT_BYTES:
        raise StageError(
            Reason.INPUT_INVALID, f"{what}: {len(content):,} bytes are more than the {MAX_SCRIPT_BYTES:,} of a script"
        )
    try:
        text = content.decode("utf-8-sig")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except UnicodeDecodeError as error:
        raise StageError(Reason.INPUT_INVALID, f"{what}: not UTF-8 at offset {error.start}") from error
    except SyntaxError as error:
        words = f"line {error.lineno}, column {error.offset}: {error.msg}"
        raise StageError(Reason.INPUT_INVALID, f"{what} is no Python: {words}") from error
    except (ValueError, RecursionError, MemoryError) as error:
        raise StageError(Reason.INPUT_INVALID, f"{what} is no Python: {type(error).__name__} {error}") from error
    if not tree.body:
        raise StageError(Reason.INPUT_INVALID, f"{what} is empty")
    return text


def from_store(store: Store, digest: str, what: str) -> bytes:
    """An artifact that status names.

    Raises:
        StageError: StoreUnavailable, naming what it is.
    """
    try:
        return store.get(digest)
    except (StoreError, OSError) as error:
        raise StageError(Reason.STORE_UNAVAILABLE, f"{what}: {error}; a retry makes it again") from error


def json_from_store(store: Store, digest: str, what: str) -> Any:
    """An artifact that is JSON.

    Raises:
        StageError: StoreUnavailable where it is missing or no JSON.
    """
    try:
        return json.loads(from_store(store, digest, what))
    except ValueError as error:
        raise StageError(Reason.STORE_UNAVAILABLE, f"{what}: {digest} is no JSON: {error}") from error


def write_json(path: Path, value: Any) -> None:
    """Leave a value for the next container; what is no Unicode in it (a lone half of a surrogate pair) becomes `?`."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
    write_atomic(path, text.encode("utf-8", "replace"))
