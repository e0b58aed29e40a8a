"""Whether two inputs are the same values, across processes: a digest over plain data, arrays and tensors. Pure but for a clock's limit.

What it does not know it does not guess at: an object of a package's own has no digest, for revisions may lay it out differently, nor
has a path to a file of the process's own, whose name is another one in every process.
"""

import os
import sys
import time
from typing import Any, Optional

MAX_DEPTH = 40
MAX_SECONDS = 0.5
_PLAIN = (type(None), bool, int, float, complex, str, bytes, bytearray)


class _Opaque(Exception):  # noqa: N818 - an answer, not a fault
    """A value without a digest."""


class _Digest:
    def __init__(self) -> None:
        from hashlib import sha256

        self._sha256 = sha256
        self._until = time.monotonic() + MAX_SECONDS
        self._private = [os.environ[name] for name in ("HOME", "TMPDIR") if os.environ.get(name)]

    def of(self, value: Any, depth: int = 0) -> bytes:
        if depth > MAX_DEPTH or time.monotonic() > self._until:
            raise _Opaque
        kind = type(value)
        digest = self._sha256(kind.__name__.encode())
        if kind is str and any(place in value for place in self._private):
            raise _Opaque
        if kind in _PLAIN:
            digest.update(bytes(value) if kind is bytearray else repr(value).encode("utf-8", "surrogatepass"))
        elif kind in (list, tuple):
            for one in value:
                digest.update(self.of(one, depth + 1))
        elif kind in (set, frozenset):
            for piece in sorted(self.of(one, depth + 1) for one in value):
                digest.update(piece)
        elif kind is dict:
            for key, one in value.items():
                digest.update(self.of(key, depth + 1) + self.of(one, depth + 1))
        elif kind is range:
            digest.update(repr(value).encode())
        else:
            digest.update(self._of_array(value))
        return digest.digest()

    def _of_array(self, value: Any) -> bytes:
        numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
        if torch is not None and type(value) is getattr(torch, "Tensor", None):
            value = value.detach().cpu().contiguous().view(torch.uint8).numpy()
        if numpy is not None and type(value) is getattr(numpy, "ndarray", None) and not value.dtype.hasobject:
            head = "{}{}".format(value.dtype.str, value.shape).encode()
            return self._sha256(head + value.tobytes()).digest()
        raise _Opaque


def digest(value: Any) -> Optional[str]:
    """A digest that equal values share in every process and revision; None where there is none or it takes too long."""
    try:
        return _Digest().of(value).hex()
    except Exception:
        return None
