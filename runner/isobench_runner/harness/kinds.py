"""What a result is made of: types, element types and shapes, three levels deep, in one line. Values, and what a check allows, do not count."""

from typing import Any

DEPTH = 3
MANY = 100
MAX_CHARACTERS = 300


def _of(value: Any, depth: int) -> str:
    name = type(value).__name__
    dtype, shape = getattr(value, "dtype", None), getattr(value, "shape", None)
    if dtype is not None and shape is not None:
        return "{} of {} {}".format(name, dtype, tuple(shape))
    if depth == 0 or not isinstance(value, (list, tuple, dict)):
        return name
    if isinstance(value, dict):
        inside = ["{!r}: {}".format(key, _of(one, depth - 1)) for key, one in list(value.items())[:MANY]]
    else:
        inside = [_of(one, depth - 1) for one in value[:MANY]]
    return "{} of {}".format(name, ", ".join(sorted(set(inside)))) if inside else name


def kinds(value: Any) -> str:
    """In words, such as `tuple of int, ndarray of float32 (2, 3)`; equal words are no proof, different ones are a difference."""
    try:
        return _of(value, DEPTH)[:MAX_CHARACTERS]
    except Exception as error:
        return "a {} that does not tell ({})".format(type(value).__name__, type(error).__name__)
