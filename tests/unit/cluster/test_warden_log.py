"""A container's log keeps its beginning and its end, whatever the container prints and however it is cut into pieces."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from isobench_operator.cluster.embedded.warden import Log

TAIL = 64 << 10


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(min_value=1, max_value=1 << 16), max_size=12), st.integers(min_value=0, max_value=4096))
def test_beginning_and_end_are_kept(pieces: list[int], limit: int) -> None:
    sent = b""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        log = Log(str(path), limit)
        for number, size in enumerate(pieces):
            piece = (b"%06d" % number * (size // 6 + 1))[:size]
            log.write(piece)
            sent += piece
        log.close()
        kept = path.read_bytes()
    if len(sent) <= limit + TAIL:
        assert kept == sent
    else:
        assert kept.startswith(sent[:limit])
        assert kept.endswith(sent[-TAIL:])
        assert log.dropped == len(sent) - limit - TAIL
        assert b"[%d bytes of output were dropped here]" % log.dropped in kept


def test_a_log_that_cannot_be_written_loses_output_and_nothing_else(tmp_path: Path) -> None:
    log = Log(str(tmp_path / "no" / "folder"), 10)
    log.write(b"x" * 100)
    log.close()
