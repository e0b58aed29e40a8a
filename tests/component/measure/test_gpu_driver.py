"""The driver and NVML through their real ABI, against stub libraries (compiled here: needs gcc): waiting, events, caches, fields."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.gpus import KERNELS, StubGpu

pytestmark = pytest.mark.slow

FIELDS = (
    "name", "uuid", "pci", "vbios", "power_limit", "power_limit_default", "sm_clock", "sm_clock_max", "memory_clock_max",
    "sm_clock_application", "memory_clock_application", "temperature", "persistence", "ecc", "compute_mode",
    "pcie_generation", "pcie_width", "performance_state",
)  # fmt: skip
DESCRIBED = {
    "power_limit": "power_limit_mw",
    "power_limit_default": "power_limit_default_mw",
    "temperature": "temperature_c",
}


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> StubGpu:
    return StubGpu.build(tmp_path_factory.mktemp("stub"))


def ask(stub: StubGpu, code: str, **variables: str) -> Any:
    """Run code in a process that finds the stub; it prints one JSON value."""
    (stub.folder / "kernels.py").write_text(KERNELS)
    lines = [
        "import json, sys, time",
        f"sys.path.insert(0, {str(stub.folder)!r})",
        "from isobench_runner.harness import gpu, nvml, watch",
        code,
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        env=stub.environ(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_process_without_the_driver_gets_no_context(stub: StubGpu) -> None:
    assert ask(stub, "d = gpu.Devices(); print(json.dumps([d.look(), d.marks(), d.flush(), gpu.cuda_is_loaded()]))") == [
        False, None, False, False,
    ]  # fmt: skip


def test_a_loaded_driver_without_an_active_context_is_left_alone(stub: StubGpu) -> None:
    code = (
        "import kernels; kernels.cuda.cuInit(0); d = gpu.Devices(); print(json.dumps([gpu.cuda_is_loaded(), d.look()]))"
    )
    assert ask(stub, code) == [True, False]


@pytest.mark.parametrize(
    "stream", ["None", "kernels.stream(0)", "kernels.stream(1)"], ids=["legacy", "blocking", "other"]
)
def test_waiting_covers_every_stream(stub: StubGpu, stream: str) -> None:
    code = f"""
import kernels
kernels.start(); d = gpu.Devices(); d.look()
begin = time.monotonic(); kernels.launch(30_000_000, {stream}); launched = time.monotonic() - begin
d.synchronize(); print(json.dumps([launched, time.monotonic() - begin]))"""
    launched, waited = ask(stub, code)
    assert launched < 0.02
    assert waited >= 0.03


def test_every_device_with_an_active_context_is_waited_for(stub: StubGpu) -> None:
    code = """
import ctypes, kernels
kernels.start()
second = ctypes.c_void_p(); kernels.cuda.cuDevicePrimaryCtxRetain(ctypes.byref(second), 1)
kernels.context = second; d = gpu.Devices(); d.look()
begin = time.monotonic(); kernels.launch(30_000_000); d.synchronize()
print(json.dumps([len(d._contexts), time.monotonic() - begin]))"""
    count, waited = ask(stub, code, NVIDIA_STUB_DEVICES="3")
    assert count == 2
    assert waited >= 0.03


def test_events_agree_with_the_wall_clock_and_miss_what_runs_beside_their_stream(stub: StubGpu) -> None:
    code = """
import kernels
kernels.start(); d = gpu.Devices(); d.look()
found = []
for stream in (None, kernels.stream(1)):
    marks = d.marks(); begin = time.perf_counter(); marks.begin(); kernels.launch(200_000_000, stream); marks.end()
    d.synchronize(); found.append([1e3 * (time.perf_counter() - begin), marks.milliseconds()])
print(json.dumps(found))"""
    (wall, events), (other_wall, other_events) = ask(stub, code)
    assert 200 <= events <= wall < events + 100
    assert other_wall >= 200
    assert other_events < 100


def test_a_flush_overwrites_twice_the_cache(stub: StubGpu) -> None:
    code = """
import ctypes, kernels
kernels.start(); d = gpu.Devices(); d.look()
kernels.cuda.stub_flushed.restype = ctypes.c_int64
done = d.flush(); print(json.dumps([done, kernels.cuda.stub_flushed()]))"""
    assert ask(stub, code) == [True, 2 * (50 << 20)]


def test_queued_time_leaves_out_the_gaps_between_launches(stub: StubGpu) -> None:
    code = """
import kernels
kernels.start(); d = gpu.Devices(); d.look()
def call():
    for _ in range(4):
        kernels.launch(1_000_000); time.sleep(0.004)
marks = d.marks(); marks.begin(); call(); marks.end(); d.synchronize()
print(json.dumps([marks.milliseconds(), d.queued_ms(call)]))"""
    marked, queued = ask(stub, code)
    assert marked > 12
    assert 4 <= queued < 6


def test_queued_time_is_unknown_where_streams_cannot_wait(stub: StubGpu) -> None:
    code = "import kernels; kernels.start(); d = gpu.Devices(); d.look(); print(json.dumps(d.queued_ms(lambda: None)))"
    assert ask(stub, code, NVIDIA_STUB_NO_WAIT="1") is None


def test_the_fingerprint_has_every_field(stub: StubGpu) -> None:
    stub.set()
    found = ask(stub, "print(json.dumps(nvml.describe()))")
    assert {name for name, value in found.items() if value is None} == {"mig"}
    assert (found["name"], found["cuda"], found["pci"], found["compute_mode"]) == (
        "NVIDIA Stub 80GB", "12.4", "00000000:3B:00.0", "default",
    )  # fmt: skip


def test_each_field_alone_may_be_unsupported(stub: StubGpu) -> None:
    code = f"""
found = []
for field in {FIELDS!r}:
    open({str(stub.folder / "knobs")!r}, "w").write(field + " unsupported\\n")
    described = nvml.describe()
    found.append([field, sorted(name for name, value in described.items() if value is None)])
print(json.dumps(found))"""
    for field, missing in ask(stub, code):
        expected = DESCRIBED.get(field, f"{field}_mhz" if "clock" in field else field)
        assert missing == sorted({"mig", expected}), field


def test_a_card_that_supports_nothing_is_watched_without_a_fault(stub: StubGpu) -> None:
    everything = (
        "reasons",
        "old_reasons",
        "processes",
        "energy",
        "power",
        "memory_clock",
        "memory_temperature",
        *FIELDS,
    )
    stub.set(**dict.fromkeys(everything, "unsupported"), **{f"violation_{n}": "unsupported" for n in range(6)})
    seen = ask(
        stub, "w = watch.Watch(nvml.Nvml.open(None).devices); w.begin(); w.poll(); print(json.dumps(w.end([1])))"
    )
    assert seen.pop("foreign_processes") == 0
    assert seen.pop("violations_ns") == dict.fromkeys(("power", "thermal", "board", "reliability"))
    assert set(seen.values()) == {None}


def test_an_older_driver_names_the_reasons_otherwise(stub: StubGpu) -> None:
    stub.set(reasons="unsupported", old_reasons="0x4")
    assert ask(stub, "print(json.dumps(nvml.Nvml.open(None).devices[0].reasons()))") == 4


def test_a_mig_instance_is_a_model_of_its_own(stub: StubGpu) -> None:
    stub.set(mig=1)
    found = ask(stub, "print(json.dumps(nvml.describe()))")
    assert found["name"] == "NVIDIA Stub 80GB MIG 1g.10gb"
    assert found["mig"] == {"uuid": "MIG-stub-0", "profile": "1g.10gb"}
    assert found["uuid"] == "GPU-stub-0"


@pytest.mark.parametrize(
    ("visible", "uuids"),
    [("", ["GPU-stub-0", "GPU-stub-1"]), ("1", ["GPU-stub-1"]), ("GPU-stub-1,GPU-stub-0", ["GPU-stub-1", "GPU-stub-0"]), ("MIG-stub-0", ["MIG-stub-0"]), ("-1", [])],
)  # fmt: skip
def test_only_what_cuda_may_see_is_watched(stub: StubGpu, visible: str, uuids: list[str]) -> None:
    stub.set(count=2)
    code = f"n = nvml.Nvml.open({visible!r}); print(json.dumps([one.text('nvmlDeviceGetUUID') for one in n.devices] if n else []))"
    assert ask(stub, code) == uuids


def test_no_library_is_no_gpu(tmp_path: Path) -> None:
    code = "from isobench_runner.harness import nvml; assert nvml.describe() is None"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
