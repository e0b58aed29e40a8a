"""Measuring Jobs on a GPU that is not there: the stub driver (compiled here: needs gcc) under the real harness and the real report."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from isobench_operator.cli import cli
from isobench_runner.harness import gpu_rules
from isobench_runner.store import Store
from support.gpus import KERNELS, StubGpu
from support.prepared import Job, Measured, make_environment, six

pytestmark = pytest.mark.slow

PACKAGE = """\
import kernels


def work(n):
    kernels.start()
    for _ in range(UNITS):
        kernels.launch(1_000_000, STREAM)
    WAIT
    return n * 3
"""
SCRIPT = six(setup="return seed", experiment="return [tiny.work(data)]")


def package(units: int, *, stream: str = "None", wait: str = "pass") -> dict[str, str]:
    text = PACKAGE.replace("UNITS", str(units)).replace("STREAM", stream).replace("WAIT", wait)
    return {"tiny/__init__.py": text, "kernels.py": KERNELS}


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> StubGpu:
    return StubGpu.build(tmp_path_factory.mktemp("stub"))


@pytest.fixture
def job(tmp_path: Path) -> Job:
    sides = {name: make_environment(tmp_path / name, package(units)) for name, units in (("base", 8), ("head", 4))}
    return Job(tmp_path, sides)


def measure(job: Job, stub: StubGpu, *, more: dict[str, str] | None = None, **plan: object) -> Measured:
    return job.measure(SCRIPT, environ=stub.variables(**(more or {})), **({"budget_seconds": 3} | plan))  # type: ignore[arg-type]


def ratio(measured: Measured) -> float:
    base, head = (
        median(one["wall_ns"] for line in measured.rounds for one in line["samples"][name]) for name in ("base", "head")
    )
    return base / head


def folder_of(root: Path, measured: Measured) -> Path:
    """The report's word on a head Job, as `isobench run` leaves it."""
    folder = root / "folder"
    told = measured.report(Store(folder / "artifacts"))
    kept = {name: told.data[name] for name in ("result", "evidence") if name in told.data}
    status = {"revisions": [{"name": "head", **kept}], "result": {"verdict": told.data.get("verdict")}}
    (folder / "status").mkdir(parents=True)
    body = {"kind": "Commit", "metadata": {"name": "c"}, "spec": {}, "status": status}
    (folder / "status/commit-c.yaml").write_text(yaml.safe_dump(body))
    return folder


def recomputed(root: Path, measured: Measured) -> tuple[int, list[dict[str, Any]]]:
    done = CliRunner().invoke(cli, ["recompute", str(folder_of(root, measured)), "-o", "json"])
    return done.exit_code, json.loads(done.output)


def test_work_that_nobody_waited_for_is_inside_the_clock(job: Job, stub: StubGpu) -> None:
    stub.set()
    measured = measure(job, stub)
    assert measured.reason is None, measured.why
    assert 1.3 < ratio(measured) < 2.7
    assert "deferred_work" not in measured.run["flags"]
    sample = measured.rounds[0]["samples"]["base"][0]
    assert 8 <= sample["gpu_ms"] <= sample["wall_ns"] / 1e6 + 0.1
    assert measured.run["plan"]["cache"] == "warm"
    assert measured.run["plan"]["single_cpu"] is False
    line = measured.rounds[0]["gpu"]
    assert line["foreign_processes"] == 0
    assert len(line["sample_clocks_mhz"]["base"]) == measured.run["plan"]["k"]
    assert gpu_rules.incomparable(measured.rounds) is None
    assert measured.run["fingerprint"]["gpu"]["name"] == "NVIDIA Stub 80GB"
    assert measured.run["gpu_seconds"] > 0
    code, [row] = recomputed(job.root, measured)
    assert (code, row["differences"]) == (0, [])
    assert row["written"] == row["recomputed"]["verdict"]


ENGINE = """\
import os
ENDS = []


def serve():
    asks, answers = os.pipe(), os.pipe()
    if os.fork() == 0:
        import kernels
        kernels.start()
        while os.read(asks[0], 1):
            for _ in range(UNITS):
                kernels.launch(1_000_000)
            kernels.wait()
            os.write(answers[1], b".")
    ENDS[:] = asks[1], answers[0]


def work(n):
    if not ENDS:
        serve()
    os.write(ENDS[0], b".")
    os.read(ENDS[1], 1)
    return n * 3
"""


def test_an_engine_in_a_process_of_its_own_is_work_on_the_gpu(tmp_path: Path, stub: StubGpu) -> None:
    stub.set()
    sides = {
        name: make_environment(
            tmp_path / name, {"tiny/__init__.py": ENGINE.replace("UNITS", str(units)), "kernels.py": KERNELS}
        )
        for name, units in (("base", 8), ("head", 4))
    }
    measured = measure(Job(tmp_path, sides), stub)
    assert measured.reason is None, measured.why
    assert 1.3 < ratio(measured) < 2.7
    assert measured.run["plan"]["cache"] == "warm"
    assert measured.run["plan"]["single_cpu"] is False
    assert all(line["gpu"]["foreign_processes"] == 0 for line in measured.rounds), "the card is watched"


def test_a_stream_of_its_own_hides_nothing_from_the_clock(tmp_path: Path, stub: StubGpu) -> None:
    stub.set()
    base = make_environment(tmp_path / "base", package(8))
    hides = "kernels.launch(8_000_000, kernels.stream(1))"
    head = make_environment(tmp_path / "head", package(0, wait=hides))
    measured = measure(Job(tmp_path, {"base": base, "head": head}), stub)
    assert measured.reason is None, measured.why
    assert 0.5 < ratio(measured) < 2, "the same kernels; a hundred times faster where nobody waited for them"
    samples = [one for line in measured.rounds for one in line["samples"]["head"]]
    assert all(one["wall_ns"] > 8_000_000 for one in samples)
    assert min(one["gpu_ms"] for one in samples) < 4, "events of the usual stream do not see it"


def test_kernel_size_work_meets_a_cold_cache_and_is_also_timed_as_one_queue(tmp_path: Path, stub: StubGpu) -> None:
    stub.set()
    sides = {name: make_environment(tmp_path / name, package(units)) for name, units in (("base", 3), ("head", 2))}
    measured = measure(Job(tmp_path, sides), stub)
    assert measured.reason is None, measured.why
    assert measured.run["plan"]["cache"] == "cold"
    assert measured.run["calibration"]["cache"] == "cold"
    queued = measured.rounds[0]["gpu"]["queued_ms"]
    assert queued["base"] == pytest.approx(3, abs=0.5)
    assert queued["head"] == pytest.approx(2, abs=0.5)


def test_a_call_that_waits_for_the_device_is_not_queued_and_costs_one_try(tmp_path: Path, stub: StubGpu) -> None:
    stub.set()
    sides = {name: make_environment(tmp_path / name, package(3, wait="kernels.wait()")) for name in ("base", "head")}
    measured = measure(Job(tmp_path, sides), stub)
    assert measured.reason is None, measured.why
    assert [line["gpu"]["queued_ms"] for line in measured.rounds] == [{}] * len(measured.rounds)


@pytest.mark.parametrize(
    ("bits", "words"), [("0x8", "slowdown by the hardware"), ("0x40", "thermal"), ("0x80", "power brake")]
)
def test_a_hardware_slowdown_is_a_cause_to_leave_a_round_out(job: Job, stub: StubGpu, bits: str, words: str) -> None:
    stub.set(reasons=bits)
    measured = measure(job, stub, budget_seconds=2)
    assert measured.reason is None, measured.why
    assert all(words in line["cause"] for line in measured.rounds)
    assert words in (gpu_rules.incomparable(measured.rounds) or "")
    code, [row] = recomputed(job.root, measured)
    assert (code, row["written"], row["recomputed"]["verdict"]) == (0, "Incomparable", "incomparable")
    assert words in row["recomputed"]["why"]


def test_the_power_cap_is_no_cause(job: Job, stub: StubGpu) -> None:
    stub.set(reasons="0x4")
    measured = measure(job, stub, budget_seconds=1)
    assert {line["cause"] for line in measured.rounds} <= {None} or all(
        "GPU" not in (line["cause"] or "") for line in measured.rounds
    )
    assert gpu_rules.incomparable(measured.rounds) is None


def test_another_process_on_the_card_makes_the_run_incomparable(job: Job, stub: StubGpu) -> None:
    stub.set(processes="4000001 4000002 4000003")
    measured = measure(job, stub, budget_seconds=1)
    assert measured.reason is None, measured.why
    assert "another process" in (gpu_rules.incomparable(measured.rounds) or "")


@pytest.mark.parametrize(
    ("knobs", "more", "words"),
    [
        ({}, {"CUDA_MPS_PIPE_DIRECTORY": "/mps"}, "MPS"),
        ({"mps_processes": "17"}, {}, "lists clients"),
        ({"compute_mode": 2}, {}, "prohibited"),
        ({"utilisation": 87}, {}, "87 % busy"),
    ],
)
def test_a_shared_device_is_refused(
    job: Job, stub: StubGpu, knobs: dict[str, object], more: dict[str, str], words: str
) -> None:
    stub.set(**knobs)
    measured = measure(job, stub, more=more)
    assert measured.reason == "DeviceShared", measured.why
    assert words in measured.outcome["tail"]
    assert measured.rounds == []


def test_a_device_for_one_process_gets_one_at_a_time(job: Job, stub: StubGpu) -> None:
    stub.set(compute_mode=3)
    measured = measure(job, stub, budget_seconds=1)
    assert measured.reason is None, measured.why
    assert measured.run["plan"]["order"] == "process"


def test_a_card_with_a_low_clock_is_warmed_until_it_rests(job: Job, stub: StubGpu) -> None:
    stub.set(sm_clock=345)
    measured = measure(job, stub, budget_seconds=2)
    assert measured.reason is None, measured.why
    assert measured.rounds[0]["gpu"]["sm_clock_mhz"] == [345, 345]


def test_a_cpu_test_beside_a_gpu_is_not_watched_and_has_no_context(tmp_path: Path, stub: StubGpu) -> None:
    stub.set()
    base = make_environment(tmp_path / "base", {"tiny/__init__.py": "def work(n): return sum(range(200_000)) + n\n"})
    measured = measure(Job(tmp_path, {"base": base, "base2": base}), stub, budget_seconds=1)
    assert measured.reason is None, measured.why
    assert measured.rounds[0]["gpu"] is None
    assert measured.rounds[0]["samples"]["base"][0]["gpu_ms"] is None
    assert measured.run["plan"]["cache"] is None
