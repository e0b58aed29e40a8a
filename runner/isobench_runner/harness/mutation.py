"""A result changed on purpose, leaf by leaf, to see whether a test's check looks at values at all.

Works on what results are made of (numbers, text, bytes, containers, arrays, tensors, plain objects) without importing any library:
a numpy array is met only where the result brought numpy along. Pure.
"""

import cmath
import copy
import sys
from typing import Any, Tuple

MAX_LEAVES = 2_000_000
MAX_DEPTH = 60


class _Mutator:
    def __init__(self) -> None:
        self.changed = 0
        self._left = MAX_LEAVES

    def value(self, value: Any, depth: int = 0) -> Any:
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            return value
        kind = type(value)
        if isinstance(value, bool):
            return self._leaf(not value)
        if isinstance(value, (int, float, complex)) and kind in (int, float, complex):
            return self._leaf(_number(value))
        if kind is str:
            return self._leaf(value[::-1] + "~" if value else "~")
        if kind in (bytes, bytearray):
            return self._leaf(kind(byte ^ 0x55 for byte in value) if value else kind(b"~"))
        if isinstance(value, dict):
            return self._mapping(value, depth)
        if isinstance(value, (list, tuple)):
            items = [self.value(item, depth + 1) for item in value]
            if not items:
                return self._grown(value)
            return _rebuilt(value, items)
        if isinstance(value, (set, frozenset)):
            items = [self.value(item, depth + 1) for item in value]
            return self._leaf(kind([*items, "~"]))
        library = (kind.__module__ or "").partition(".")[0]
        if library in ("numpy", "torch", "pandas") and library in sys.modules:
            return self._array(value, depth)
        return self._plain_object(value, depth)

    def _leaf(self, value: Any) -> Any:
        self.changed += 1
        return value

    def _grown(self, value: Any) -> Any:
        if type(value) in (list, tuple):
            return self._leaf(type(value)([1]))
        return value

    def _mapping(self, value: Any, depth: int) -> Any:
        if not value and type(value) is dict:
            return self._leaf({"~": 1})
        changed = copy.copy(value)
        for key in list(value):
            changed[key] = self.value(value[key], depth + 1)
        return changed

    def _array(self, value: Any, depth: int) -> Any:
        try:
            if hasattr(value, "dtype") and str(value.dtype) == "object" and hasattr(value, "flat"):
                changed = value.copy()
                for index, item in enumerate(value.flat):
                    changed.flat[index] = self.value(item, depth + 1)
                return changed
            if "bool" in str(getattr(value, "dtype", "")):
                return self._leaf(~value)
            return self._leaf(value * 3 + 1)
        except Exception:
            return value

    def _plain_object(self, value: Any, depth: int) -> Any:
        fields = getattr(value, "__dict__", None)
        if not isinstance(fields, dict) or not fields or callable(value):
            return value
        try:
            changed = copy.copy(value)
            if changed is value:
                return value
            for name, item in list(fields.items()):
                object.__setattr__(changed, name, self.value(item, depth + 1))
        except Exception:
            return value
        return changed


def _number(value: Any) -> Any:
    if type(value) is int:
        return value * 3 + 1
    if not cmath.isfinite(value):
        return 1.0
    changed = value * 3 + 1 if abs(value) < 1e100 else value / 3
    return changed if changed != value else value + 1


def _rebuilt(like: Any, items: Any) -> Any:
    kind = type(like)
    try:
        return kind(*items) if hasattr(like, "_fields") else kind(items)
    except Exception:
        return items


def mutated(value: Any) -> Tuple[Any, int]:
    """A copy of `value` with every leaf changed but of the same shape and types, and how many leaves that were.

    None, functions and objects without state stay as they are; 0 leaves means that there was nothing to change.
    """
    mutator = _Mutator()
    return mutator.value(value), mutator.changed
