"""What a container may use of its machine, under both kinds of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from isobench_runner.harness.__main__ import main as harness
from isobench_runner.harness.pod import KILLED, Pressure, describe, exit_code, granted, oom_kills, quota, words

V2 = {
    "sys/fs/cgroup/cpu.max": "250000 100000",
    "sys/fs/cgroup/cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 3\nthrottled_usec 1200",
    "sys/fs/cgroup/cpu.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=77\nfull avg10=0.00 total=0",
    "sys/fs/cgroup/cpuset.cpus.effective": "0-3",
    "sys/fs/cgroup/memory.max": "1073741824",
    "proc/stat": "cpu  10 0 10 70 0 0 0 10 0 0\ncpu0 1 1 1",
}
V1 = {
    "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000",
    "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
    "sys/fs/cgroup/cpu/cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 1200000",
    "sys/fs/cgroup/cpuset/cpuset.cpus": "0-3",
    "sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824",
    "proc/pressure/cpu": "some avg10=0.00 avg60=0.00 avg300=0.00 total=77",
    "proc/stat": "cpu  10 0 10 70 0 0 0 10 0 0",
}


def tree(root: Path, files: dict[str, str]) -> str:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")
    return str(root)


@pytest.mark.parametrize(("files", "cpus"), [(V2, 2.5), (V1, 4.0), ({}, None), ({"sys/fs/cgroup/cpu.max": "max 100000"}, None), ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, None)])  # fmt: skip
def test_the_quota_in_cpus(tmp_path: Path, files: dict[str, str], cpus: float | None) -> None:
    assert quota(tree(tmp_path, files)) == cpus


@pytest.mark.parametrize("files", [V2, V1], ids=["v2", "v1"])
def test_counters_are_the_same_under_both_kinds(tmp_path: Path, files: dict[str, str]) -> None:
    assert Pressure.now(tree(tmp_path, files)) == Pressure(3, 1200, 10, 100, 77)
    found = describe(str(tmp_path))
    assert (found["cpuset"], found["memory_limit"]) == ("0-3", "1073741824")


def test_a_machine_that_shows_nothing_counts_as_nothing(tmp_path: Path) -> None:
    assert Pressure.now(str(tmp_path)) == Pressure(0, 0, 0, 0, None)


def test_throttling_and_theft_are_causes() -> None:
    before = Pressure(3, 1200, 10, 100, 5)
    assert Pressure(3, 1200, 10, 200, 6).cause_since(before) is None
    assert "throttled the container 2 times" in (Pressure(5, 1900, 10, 200, 6).cause_since(before) or "")
    assert "took 20 %" in (Pressure(3, 1200, 30, 200, 6).cause_since(before) or "")
    assert Pressure(5, 1900, 30, 200, 6).since(before) == {
        "throttled": 2, "throttled_us": 700, "steal_share": 0.2, "waiting_us": 1,
    }  # fmt: skip


def test_no_more_cpus_are_used_than_the_quota_pays_for() -> None:
    assert granted(range(8), None) == list(range(8))
    assert granted(range(8), 2.5) == [6, 7]
    assert granted(range(8), 0.5) == [7]
    assert granted([4, 5], 8.0) == [4, 5]


def test_what_is_wrong_with_a_containers_cpus_is_said() -> None:
    assert words(range(4), 4.0) is None
    assert words(range(4), None) is None
    assert "sees 8 CPUs and may use 4" in (words(range(8), 4.0) or "")
    assert "no whole number" in (words(range(3), 2.5) or "")
    assert "share one CPU" in (words([0], None) or "")


@pytest.mark.parametrize(
    ("files", "kills"),
    [
        ({**V2, "sys/fs/cgroup/memory.events": "low 0\noom 3\noom_kill 2"}, 2),
        ({**V1, "sys/fs/cgroup/memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 1"}, 1),
        ({**V2, "sys/fs/cgroup/memory.max": "max", "sys/fs/cgroup/memory.events": "oom_kill 2"}, 0),
        ({"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712", "sys/fs/cgroup/memory/memory.oom_control": "oom_kill 4"}, 0),
        (V1, 0),
        ({}, 0),
    ],
)  # fmt: skip
def test_kills_at_the_containers_own_limit_alone_are_counted(tmp_path: Path, files: dict[str, str], kills: int) -> None:
    assert oom_kills(tree(tmp_path, files)) == kills


@pytest.mark.parametrize(("kubelet", "kills", "code"), [(True, 1, KILLED), (True, 0, 0), (False, 1, 0)])
def test_only_under_a_kubelet_a_kill_is_the_containers_end(
    monkeypatch: pytest.MonkeyPatch, kubelet: bool, kills: int, code: int
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if kubelet:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setattr("isobench_runner.harness.pod.oom_kills", lambda: 2 + kills)
    assert exit_code(0, 2) == code


def test_the_harness_ends_as_the_kubelet_counts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = iter((0, 1))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.96.0.1")
    monkeypatch.setattr("isobench_runner.harness.pod.oom_kills", lambda: next(counted))
    assert harness(["unpack", "--in", str(tmp_path), "--out", str(tmp_path / "out")]) == KILLED
