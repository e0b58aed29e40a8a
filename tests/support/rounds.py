"""Builds what a measuring container leaves behind, with true effects that the caller chooses."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path
from typing import Any


def make_rounds(
    *,
    rounds: int,
    ratio: float,
    noise: float = 0.01,
    k: int = 3,
    other: str = "head",
    seed: int = 1,
    base_ns: int = 50_000_000,
) -> list[dict[str, Any]]:
    """Rounds in which `other` takes base's time divided by `ratio`, with log-normal noise per round."""
    rng = random.Random(seed)

    def side(scale: float) -> list[dict[str, Any]]:
        walls = [int(base_ns * scale * math.exp(rng.gauss(0, noise))) for _ in range(k)]
        return [
            {
                "wall_ns": wall,
                "parent_ns": wall + 30_000,
                "cpu_ns": wall - 1000,
                "gpu_ms": None,
                "drain_ns": 0,
                "keep": False,
            }
            for wall in walls
        ]

    return [
        {
            "round": index,
            "order": ["base", other],
            "hashseed": index,
            "pad": 0,
            "samples": {"base": side(1), other: side(1 / ratio)},
            "cold": {
                "base": {"wall_ns": base_ns * 2, "cpu_ns": base_ns},
                other: {"wall_ns": int(base_ns * 2 / ratio), "cpu_ns": int(base_ns / ratio)},
            },
            "startup_ns": {"base": 1, other: 1},
            "discarded": None,
        }
        for index in range(rounds)
    ]


def write_out(
    root: Path, rounds: list[dict[str, Any]], *, reason: str | None = None, tail: str = "", **run: Any
) -> None:
    """Write ROOT/out as the measuring container does."""
    out = root / "out"
    out.mkdir(parents=True, exist_ok=True)
    body = {
        "v": 1,
        "plan": {
            "seed": 0,
            "warmups": 1,
            "k": 3,
            "loops": 1,
            "granularity": "function",
            "budget_seconds": 10,
            "order": "sample",
            "cpus": [0],
        },
        "fingerprint": {"cpu": "test"},
        "checks": {},
        "flags": [],
        "equivalence": {"equal": True, "words": ""},
        "changed_share": 0.7,
        "calibration": {"distinct": True},
        "stopped": "verdict",
        "gpu_seconds": 0.0,
        **run,
    }
    (out / "rounds.jsonl").write_text("".join(json.dumps(item) + "\n" for item in rounds))
    (out / "run.json").write_text(json.dumps(body))
    (out / "outcome.json").write_text(
        json.dumps({"v": 1, "stage": "measure", "reason": reason, "tail": tail, "detail": {}})
    )
