"""The checks for a real card, all ten against the stub driver (compiled here: needs gcc): every line runs; figures are the card's affair."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.gpu_checks.bench import Ratio, logs_of
from bench.gpu_checks.compared import diluted
from bench.gpu_checks.hidden import cheat_words, honest_words
from bench.gpu_checks.kernels import PTX
from support.gpus import StubGpu

PROGRAM = Path(__file__).resolve().parents[2] / "bench" / "gpu.py"


def ratio(speedup: float, half: float) -> Ratio:
    return Ratio((0.0,) * 8, speedup, speedup - half, speedup + half)


@pytest.mark.slow
def test_every_check_runs_on_a_driver(tmp_path: Path) -> None:
    stub = StubGpu.build(tmp_path / "stub")
    stub.set()
    done = subprocess.run(
        [sys.executable, str(PROGRAM), "--quick"], env=stub.environ(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    text = done.stdout
    assert re.findall(r"^## (\d+)\.", text, re.MULTILINE) == [str(number) for number in range(1, 11)]
    assert "not supported: mig\n" in text
    assert "L2: 50 MiB" in text
    assert re.search(r"20 ms on a side stream: \d+\.\d+ ms by the wall, covered", text)
    wall, events, queued = map(
        float,
        re.search(r"kernel of 100 ms: wall ([\d.]+) ms, events ([\d.]+) ms, queued ([\d.]+)", text).groups(),  # type: ignore[union-attr]
    )
    assert wall >= events >= 100
    assert queued == pytest.approx(100, abs=1)
    assert re.search(r"a thread that launches later: flagged: .*deferred_work", text)
    assert "NOT CAUGHT" not in text
    assert "MISSED" not in text


def test_without_a_card_everything_is_owed_and_nothing_fails() -> None:
    environ = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    done = subprocess.run([sys.executable, str(PROGRAM)], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(("no GPU here: owed: all 10 checks", "# "))


@pytest.mark.parametrize(
    ("overhead", "work", "reads"), [(3000, 50, 1.008), (3000, 3000, 4 / 3), (0, 50, 2.0)]
)  # of the protocol's own account
def test_a_clock_around_the_process_dilutes_a_factor_of_two(overhead: float, work: float, reads: float) -> None:
    assert diluted(overhead, work, 2.0) == pytest.approx(reads, abs=5e-4)


@pytest.mark.parametrize(
    ("found", "flags", "begins"),
    [
        (ratio(2.0, 0.1), [], "NOT CAUGHT"),
        (ratio(2.0, 0.1), ["deferred_work"], "flagged"),
        (ratio(1.0, 0.1), [], "gains nothing"),
        ("3 rounds kept", [], "not judged"),
        ("3 rounds kept", ["deferred_work"], "flagged"),
    ],
)
def test_a_cheat_is_flagged_or_gains_nothing(found: Ratio | str, flags: list[str], begins: str) -> None:
    assert cheat_words(found, flags).startswith(begins)


@pytest.mark.parametrize(
    ("found", "flags", "begins"),
    [
        (ratio(1.995, 0.001), [], "as it should be"),
        (ratio(1.8, 0.01), [], "LOOK AT IT"),
        (ratio(2.0, 0.1), ["lazy_result"], "FLAGGED"),
        ("3 rounds kept", [], "not judged"),
    ],
)
def test_an_honest_gain_is_neither_flagged_nor_misread(found: Ratio | str, flags: list[str], begins: str) -> None:
    assert honest_words(found, flags).startswith(begins)


def test_a_later_process_is_the_next_rounds() -> None:
    kept = [{"samples": {"base": [{"wall_ns": 8}], "head": [{"wall_ns": 2**n}]}} for n in range(4)]
    now, later = logs_of(kept, "base", "head"), logs_of(kept, "base", "head", later=1)
    assert later == now[1:]
    assert len(now) == 4


def test_both_kernels_are_in_the_module() -> None:
    assert re.findall(rb"\.visible \.entry (\w+)", PTX) == [b"spin", b"burn"]
