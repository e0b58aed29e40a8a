"""The record's columns, and a Parquet file written row group by row group: a dataset of any size in the memory of one group.

The schema is written down, never inferred: an empty list or a missing number in the first rows must not change a column's type.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

_STRINGS = pa.list_(pa.string())
_NUMBERS = pa.list_(pa.float64())

SCHEMA = pa.schema([
    ("repo", pa.string()),
    ("instance_id", pa.string()),
    ("created_at", pa.string()),
    ("base_commit", pa.string()),
    ("head_commit", pa.string()),
    ("patch", pa.string()),
    ("test_patch", pa.string()),
    ("patch_functions", _STRINGS),
    ("test_functions", _STRINGS),
    ("efficiency_test", _STRINGS),
    ("duration_changes", pa.list_(pa.struct([(name, _NUMBERS) for name in ("base", "head", "main", "main_base")]))),
    ("human_performance", pa.float64()),
    ("version", pa.string()),
    ("setup_commands", _STRINGS),
    ("install_commands", _STRINGS),
    ("api", pa.string()),
    ("gt_commit_message", pa.string()),
    ("notes", pa.string()),
    ("commit", pa.string()),
    ("category", pa.string()),
    ("verdict", pa.string()),
    ("speedup", pa.float64()),
    ("ci95", _NUMBERS),
    ("ci_level", pa.float64()),
    ("rounds", pa.int64()),
    ("noise_floor_percent", pa.float64()),
    ("minimum_effect_percent", pa.float64()),
    ("cold_speedup", pa.float64()),
    ("cold_ci95", _NUMBERS),
    ("cpu_speedup", pa.float64()),
    ("cpu_ci95", _NUMBERS),
    ("headline", pa.string()),
    ("lower_bound", pa.bool_()),
    ("changed_share", pa.float64()),
    ("equivalent", pa.bool_()),
    ("granularity", pa.string()),
    ("flags", _STRINGS),
    ("main_commit", pa.string()),
    ("main_reason", pa.string()),
    ("isolation", pa.string()),
    ("gpu", pa.string()),
    ("cpu", pa.string()),
    ("image", pa.string()),
    ("image_digest", pa.string()),
    ("test_digest", pa.string()),
    ("environments", pa.struct([(name, pa.string()) for name in ("base", "head", "main")])),
    ("fingerprint", pa.string()),
    ("provenance", pa.struct([
        ("tool_version", pa.string()),
        ("test_origin", pa.string()),
        ("models", _STRINGS),
        ("prompts", _STRINGS),
        ("generation", pa.string()),
        ("attempts", pa.int64()),
        ("seed", pa.string()),
    ])),
    ("finished_at", pa.string()),
])  # fmt: skip
"""Every column, in the order of the JSONL's keys."""

GROUP_BYTES = 8 << 20
GROUP_ROWS = 1000


class ParquetFile:
    """A Parquet file that grows by records; the same records give the same bytes with the same pyarrow."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SCHEMA, compression="zstd")
        self._rows: list[Mapping[str, Any]] = []
        self._bytes = 0

    def add(self, record: Mapping[str, Any], size: int) -> None:
        """Append a record whose JSON is `size` bytes long.

        Raises:
            pyarrow.ArrowInvalid, pyarrow.ArrowTypeError: a value is not of its column's type.
        """
        self._rows.append(record)
        self._bytes += size
        if self._bytes >= GROUP_BYTES or len(self._rows) >= GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=SCHEMA))
        self._rows, self._bytes = [], 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()
