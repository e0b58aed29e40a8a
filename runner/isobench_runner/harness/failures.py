"""What a test's exception becomes: its kind, and a traceback shortened to the frames of the test and the repository.

Everything asked of the exception may itself raise or be endless: nothing here may fail for it.
"""

import os
import traceback
from typing import Any, Dict, List, Sequence

MAX_FRAMES = 14
MAX_WORDS = 4000
SKIP_NAMES = ("Skipped", "SkipTest", "Skip")


def words_of(error: BaseException) -> str:
    """`Type: message`, cut; never raises."""
    try:
        message = str(error)
    except BaseException:
        message = "(its message cannot be read)"
    return "{}: {}".format(type(error).__name__, message)[:MAX_WORDS]


def relative(text: str, roots: Sequence[str]) -> str:
    """`text` with paths below `roots` as they are from there: what a reader knows, and the same in every run."""
    spelled = {one.rstrip(os.sep) + os.sep for root in roots for one in (root, os.path.realpath(root)) if root}
    for one in sorted(spelled, key=len, reverse=True):
        text = text.replace(one, "")
    return text


def shortened(error: BaseException, *, show: Sequence[str], hide: str) -> str:
    """The traceback's frames in files below `show` (all, where none is), the harness's own (`hide`) left out, and the last words."""
    try:
        frames = [one for one in traceback.extract_tb(error.__traceback__) if not one.filename.startswith(hide)]
        roots = [os.path.realpath(root) for root in show]
        chosen = [one for one in frames if any(os.path.realpath(one.filename).startswith(root) for root in roots)]
        if frames and (not chosen or chosen[-1] is not frames[-1]):
            chosen.append(frames[-1])
        lines: List[str] = ["Traceback (most recent call last):\n"]
        if len(chosen) > MAX_FRAMES:
            lines += traceback.format_list(chosen[: MAX_FRAMES // 2])
            lines.append("  ... {} frames ...\n".format(len(chosen) - MAX_FRAMES))
            lines += traceback.format_list(chosen[-MAX_FRAMES // 2 :])
        else:
            lines += traceback.format_list(chosen)
        syntax = isinstance(error, SyntaxError)
        last = "".join(traceback.format_exception_only(type(error), error)) if syntax else words_of(error)
        text = "".join(lines) + last
        cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        return (
            text if cause is None or cause is error else "{}\n(while handling {})".format(text, words_of(cause)[:600])
        )
    except BaseException as broken:
        return "{} ({} while reading its traceback)".format(words_of(error), type(broken).__name__)


def describe(error: BaseException, *, show: Sequence[str], hide: str) -> Dict[str, Any]:
    """What the worker answers for an exception of the test.

    Kinds: `skipped` (a skip exception, or SystemExit without a code), `exit` (SystemExit with one), `raised`.
    """
    kind = "raised"
    if isinstance(error, SystemExit):
        kind = "skipped" if error.code in (None, 0) else "exit"
    elif any(base.__name__ in SKIP_NAMES for base in type(error).__mro__):
        kind = "skipped"
    roots = [os.path.dirname(one) if one.endswith(".py") else one for one in show]
    full = relative(shortened(error, show=show, hide=hide), roots)
    return {"kind": kind, "words": relative(words_of(error), roots), "traceback": full[-12000:]}
