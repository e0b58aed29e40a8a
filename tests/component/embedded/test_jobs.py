"""Jobs as real processes: what Kubernetes promises of order, volumes, messages, deadlines and retries holds here."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest
import yaml

from isobench_operator.cluster.embedded.pods import UNTRUSTED_LIMITS
from isobench_operator.cluster.ports import ClusterError, Event, Key, Rejected
from isobench_operator.cluster.sandbox import detect
from support.embedded_jobs import (
    COMMIT,
    alive,
    cluster,
    commit,
    container,
    ended,
    job,
    pods_of,
    terminated,
    until,
    until_ended,
)

pytestmark = pytest.mark.slow

SAY = "import os, pathlib; pathlib.Path(os.environ['ISOBENCH_TERMINATION']).write_text({!r})"


async def test_containers_run_in_order_and_share_volumes_and_messages_come_back(tmp_path: Path) -> None:
    write = "import os, pathlib, sys; p = pathlib.Path(os.environ['ISOBENCH_ROOT'], 'out', 'order'); p.open('a').write(sys.argv[1])"
    first = container("first", write, mounts={"out": "/isobench/out"})
    first["command"].append("1")
    second = container("second", write, mounts={"out": "/isobench/out"}, args=["$(WORD)"])
    second["env"] = [{"name": "A", "value": "2"}, {"name": "WORD", "value": "$(A)$$(A)$(NONE)"}]
    last = container(
        "report",
        "import os, pathlib, sys; r = pathlib.Path(os.environ['ISOBENCH_ROOT'])\n"
        "text = ' '.join([(r / 'results/order').read_text(), (r / 'inputs/x/key').read_text(), (r / 'inputs/s/key').read_text(), os.environ['POD'], os.environ['FROM']])\n"
        "pathlib.Path(os.environ['ISOBENCH_TERMINATION']).write_text(text)",
        mounts={
            "out": "/isobench/results",
            "cm": "/isobench/inputs/x",
            "secret": "/isobench/inputs/s",
            "gone": "/isobench/inputs/gone",
        },
    )
    last["env"] = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "FROM", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "key"}}},
    ]
    volumes = [
        {"name": "out", "emptyDir": {}},
        {"name": "cm", "configMap": {"name": "cm"}},
        {"name": "secret", "secret": {"secretName": "s", "items": [{"key": "key", "path": "key"}]}},
        {"name": "gone", "secret": {"secretName": "gone", "optional": True}},
    ]
    changes: list[Key] = []
    maps, secrets = {"cm": {"key": "of-the-map"}}, {"s": {"key": "canary-4711", "other": "canary-4712"}}
    async with cluster(tmp_path / "o", config_maps=maps, secrets=secrets, on_change=changes.append) as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [first, second, last], volumes=volumes))
        [done] = await until_ended(runtime, owner, "j")
        [pod] = await pods_of(runtime, owner, "j")
    assert ended(done)["type"] == "Complete", pod["status"]
    message = terminated(pod, "report")["message"]
    assert message == f"12$(A)$(NONE) of-the-map canary-4711 {pod['metadata']['name']} of-the-map"
    assert pod["status"]["phase"] == "Succeeded"
    assert COMMIT in changes
    kept = b"".join(
        path.read_bytes() for path in (tmp_path / "o").rglob("*") if path.is_file() and "logs" not in path.parts
    )
    # The report container itself said the first one; the runtime wrote neither.
    assert kept.count(b"canary-4711") == 2
    assert b"canary-4712" not in kept


async def test_a_secret_never_reaches_the_disk_nor_untrusted_code(tmp_path: Path) -> None:
    secrets = {"s": {"key": "canary-4713"}}
    seen = "import os, pathlib; p = pathlib.Path(os.environ['ISOBENCH_ROOT'], 'inputs/s/key'); assert p.read_text() == '-'.join(['canary', '4713']); assert p.stat().st_mode & 0o777 == 0o600; assert p.resolve().parent.parent.parent.stat().st_mode & 0o777 == 0o700"
    volumes = [{"name": "secret", "secret": {"secretName": "s"}}]
    async with cluster(tmp_path / "o", secrets=secrets) as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(
            job(owner, "j", [container("report", seen, mounts={"secret": "/isobench/inputs/s"})], volumes=volumes)
        )
        [done] = await until_ended(runtime, owner, "j")
        assert ended(done)["type"] == "Complete"
        hostile = container("build", "", mounts={"secret": "/isobench/inputs/s"})
        with pytest.raises(Rejected, match="mounts the Secret"):
            await runtime.create(
                job(
                    owner,
                    "k",
                    [hostile, container("report", "")],
                    volumes=volumes,
                    annotations={"isobench.dev/untrusted": "build"},
                )
            )
    assert not any(b"canary-4713" in path.read_bytes() for path in (tmp_path / "o").rglob("*") if path.is_file())


async def test_an_init_container_that_fails_ends_the_pod_before_report(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("fetch", "raise SystemExit(3)"), container("report", "")]))
        [done] = await until_ended(runtime, owner, "j")
        [pod] = await pods_of(runtime, owner, "j")
    assert ended(done)["reason"] == "BackoffLimitExceeded"
    assert terminated(pod, "fetch")["exitCode"] == 3
    assert "waiting" in pod["status"]["containerStatuses"][0]["state"]


async def test_failures_back_off_up_to_the_limit_and_the_last_pod_may_succeed(tmp_path: Path) -> None:
    code = f"import pathlib, time; p = pathlib.Path({str(tmp_path / 'n')!r}); n = int(p.read_text()) if p.exists() else 0; p.write_text(str(n + 1)); raise SystemExit(0 if n == 2 else 75)"
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", code)], spec={"backoffLimit": 2}))
        [done] = await until_ended(runtime, owner, "j")
        pods = await pods_of(runtime, owner, "j")
    assert ended(done)["type"] == "Complete"
    assert [terminated(pod, "report")["exitCode"] for pod in pods] == [75, 75, 0]
    assert done["status"]["failed"] == 2
    assert sorted(path.name for path in (tmp_path / "o/jobs/j").iterdir()) == [
        "attempt-1",
        "attempt-2",
        "attempt-3",
        "job.json",
    ]


@pytest.mark.parametrize(
    ("code", "reason", "pods"),
    [(42, "PodFailurePolicy", 1), (75, "BackoffLimitExceeded", 3), (9, "BackoffLimitExceeded", 3)],
)
async def test_the_failure_policy_decides_by_exit_code(tmp_path: Path, code: int, reason: str, pods: int) -> None:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "report", "operator": "In", "values": [42]}},
        {"action": "Count", "onExitCodes": {"operator": "NotIn", "values": [0]}},
    ]
    spec = {"backoffLimit": 2, "podFailurePolicy": {"rules": rules}}
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", f"raise SystemExit({code})")], spec=spec))
        [done] = await until_ended(runtime, owner, "j")
        assert ended(done)["reason"] == reason
        assert len(await pods_of(runtime, owner, "j")) == pods


SURVIVOR = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import os, signal, time; os.setsid(); signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"])
orphan = subprocess.run([sys.executable, "-c", "import os, sys, time\\nif pid := os.fork(): print(pid); sys.stdout.flush(); os._exit(0)\\nos.setsid(); os.close(1); time.sleep(600)"], stdout=subprocess.PIPE, text=True).stdout
pathlib.Path(os.environ["PIDS"]).write_text(f"{os.getpid()} {child.pid} {orphan}")
time.sleep(float(os.environ.get("STAY", "600")))
"""


def survivor(pids: Path, *, stay: float = 600, name: str = "report") -> dict[str, object]:
    """A container with a child and an orphan that have sessions of their own and ignore SIGTERM."""
    return container(name, SURVIVOR, env=[{"name": "PIDS", "value": str(pids)}, {"name": "STAY", "value": str(stay)}])


async def three_pids(path: Path) -> list[int]:
    """The pids that a survivor wrote."""
    words = await until(lambda: path.exists() and len(path.read_text().split()) == 3 and path.read_text().split())
    return [int(word) for word in words]


async def test_a_pod_past_its_deadline_is_killed_to_its_last_grandchild_and_keeps_its_evidence(tmp_path: Path) -> None:
    fetch = container("fetch", "print('words', flush=True)")
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [fetch, survivor(tmp_path / "pids")], pod={"activeDeadlineSeconds": 2}))
        [done] = await until_ended(runtime, owner, "j")
        [pod] = await pods_of(runtime, owner, "j")
    assert not any(alive(pid) for pid in await three_pids(tmp_path / "pids"))
    assert (pod["status"]["phase"], pod["status"]["reason"]) == ("Failed", "DeadlineExceeded")
    assert terminated(pod, "report")["exitCode"] == 137
    assert terminated(pod, "fetch")["exitCode"] == 0
    assert ended(done)["reason"] == "BackoffLimitExceeded"
    assert (tmp_path / "o/jobs/j/attempt-1/logs/fetch.log").read_text() == "words\n"


async def test_a_jobs_own_deadline_takes_the_pod_with_it(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        spec = {"activeDeadlineSeconds": 1, "backoffLimit": 5}
        await runtime.create(job(owner, "j", [container("report", "import time; time.sleep(600)")], spec=spec))
        [done] = await until_ended(runtime, owner, "j")
        assert ended(done)["reason"] == "DeadlineExceeded"
        assert await pods_of(runtime, owner, "j") == []


async def test_what_a_container_left_running_dies_when_it_ends(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [survivor(tmp_path / "pids", stay=0)]))
        [done] = await until_ended(runtime, owner, "j")
    assert ended(done)["type"] == "Complete"
    assert not any(alive(pid) for pid in await three_pids(tmp_path / "pids"))


@pytest.mark.parametrize("shut_in", [False, True])
async def test_sigterm_comes_first_and_is_honoured(tmp_path: Path, shut_in: bool) -> None:
    code = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7)); time.sleep(600)"
    annotations = {"isobench.dev/untrusted": "report"} if shut_in else {}
    async with cluster(tmp_path / "o", isolation=detect() if shut_in else None) as runtime:
        owner = await runtime.apply(commit())
        pod = {"activeDeadlineSeconds": 2, "terminationGracePeriodSeconds": 30}
        await runtime.create(job(owner, "j", [container("report", code)], pod=pod, annotations=annotations))
        await until_ended(runtime, owner, "j", seconds=20)
        [pod] = await pods_of(runtime, owner, "j")
    assert terminated(pod, "report")["exitCode"] == 7


async def test_untrusted_code_meets_its_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(UNTRUSTED_LIMITS, "nproc", 300)
    code = (
        "import errno, os, resource, time\n"
        "assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)\n"
        "assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] < 1 << 40\n"
        "assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] <= 8192\n"
        "count = 0\n"
        "try:\n"
        "    while count < 20000:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(600)\n"
        "        count += 1\n"
        "except BlockingIOError:\n"
        "    open(os.environ['ISOBENCH_ROOT'] + '/out/count', 'w').write(str(count))\n"
    )
    async with cluster(tmp_path / "o", isolation=detect()) as runtime:
        owner = await runtime.apply(commit())
        annotations = {"isobench.dev/untrusted": "report"}
        await runtime.create(job(owner, "j", [container("report", code)], annotations=annotations))
        await until_ended(runtime, owner, "j")
    assert 200 < int((tmp_path / "o/jobs/j/attempt-1/out/count").read_text()) <= 300


async def test_deleting_a_job_kills_its_processes_and_removes_its_folder(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [survivor(tmp_path / "pids")]))
        pids = await three_pids(tmp_path / "pids")
        await runtime.delete("Job", "default", "j")
        assert not any(alive(pid) for pid in pids)
        assert not (tmp_path / "o/jobs/j").exists()
        await runtime.delete("Job", "default", "j")
        assert (await runtime.children(owner)).jobs == ()


async def test_a_suspended_job_has_no_pod_and_its_lost_one_does_not_count(tmp_path: Path) -> None:
    code = f"import pathlib, time; p = pathlib.Path({str(tmp_path / 'n')!r}); again = p.exists(); p.touch(); time.sleep(0 if again else 600)"
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", code)]))
        await until((tmp_path / "n").exists)
        [found] = (await runtime.children(owner)).jobs
        await runtime.suspend(found, suspend=True)
        [found] = (await runtime.children(owner)).jobs
        assert (await pods_of(runtime, owner, "j"), found["status"]["active"]) == ([], 0)
        assert found["status"]["conditions"][0]["type"] == "Suspended"
        await runtime.suspend(found, suspend=False)
        [done] = await until_ended(runtime, owner, "j")
        assert (ended(done)["type"], done["status"]["failed"]) == ("Complete", 0)


async def test_a_job_created_suspended_waits(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", "")], spec={"suspend": True}))
        await asyncio.sleep(0.3)
        [found] = (await runtime.children(owner)).jobs
        assert (await runtime.children(owner)).pods == ()
        await runtime.suspend(found, suspend=False)
        await until_ended(runtime, owner, "j")


async def test_a_flood_of_output_fills_neither_disk_nor_memory_and_keeps_both_ends(tmp_path: Path) -> None:
    code = "import sys; print('the beginning'); [sys.stdout.write('x' * 1023 + chr(10)) for _ in range(64 << 10)]; print('the end')"
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", code)]))
        await until_ended(runtime, owner, "j")
    log = tmp_path / "o/jobs/j/attempt-1/logs/report.log"
    text = log.read_text()
    assert log.stat().st_size < 5 << 20
    assert text.startswith("the beginning\n")
    assert text.endswith("the end\n")
    assert "bytes of output were dropped here" in text


async def test_messages_are_cut_as_kubernetes_cuts_them(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", SAY.format("y" * 5000))]))
        link = "import os; p = os.environ['ISOBENCH_TERMINATION']; os.unlink(p); os.symlink('/etc/hostname', p)"
        await runtime.create(job(owner, "k", [container("report", link)]))
        fall = container(
            "report", "print('last words'); raise SystemExit(1)", terminationMessagePolicy="FallbackToLogsOnError"
        )
        await runtime.create(job(owner, "l", [fall]))
        await until_ended(runtime, owner, "j", "k", "l")
        messages = [terminated((await pods_of(runtime, owner, name))[0], "report")["message"] for name in "jkl"]
    assert messages == ["y" * 4096, "", "last words"]


async def test_a_container_over_its_memory_limit_is_oom_killed(tmp_path: Path) -> None:
    code = "import time; held = b'x' * (300 << 20); time.sleep(600)"
    fat = container("report", code, resources={"limits": {"memory": "100Mi"}})
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [fat]))
        await until_ended(runtime, owner, "j")
        [pod] = await pods_of(runtime, owner, "j")
    assert (terminated(pod, "report")["reason"], terminated(pod, "report")["exitCode"]) == ("OOMKilled", 137)


async def test_a_job_that_is_stopped_gets_no_further_pod_and_keeps_the_one_that_failed(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", "raise SystemExit(1)")], spec={"backoffLimit": 20}))
        await until(lambda: list((tmp_path / "o/jobs/j").glob("attempt-*/logs/report.log")))
        await runtime.stop("", "j")
        await until_ended(runtime, owner, "j")
        assert 1 <= len(await pods_of(runtime, owner, "j")) <= 2
        [found] = (await runtime.children(owner)).jobs
    assert found["status"]["conditions"][-1]["reason"] == "BackoffLimitExceeded"


async def test_what_cannot_start_is_a_failed_container_with_words(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        missing = container("report", "", command=["/no/such/program"])
        await runtime.create(job(owner, "j", [missing]))
        needs = container("report", "", mounts={"cm": "/isobench/inputs/cm"})
        await runtime.create(job(owner, "k", [needs], volumes=[{"name": "cm", "configMap": {"name": "absent"}}]))
        await until_ended(runtime, owner, "j", "k")
        start = terminated((await pods_of(runtime, owner, "j"))[0], "report")
        config = terminated((await pods_of(runtime, owner, "k"))[0], "report")
    assert (start["reason"], start["exitCode"]) == ("StartError", 128)
    assert "/no/such/program" in start["message"]
    assert (config["reason"], config["message"]) == (
        "CreateContainerConfigError",
        "ConfigMap absent does not exist; add it to the manifests",
    )


async def test_exclusive_pods_run_alone_and_nobody_starves(tmp_path: Path) -> None:
    spans = tmp_path / "spans"
    code = f"import os, sys, time; a = time.monotonic(); time.sleep(0.3); os.write(os.open({str(spans)!r}, os.O_CREAT | os.O_APPEND | os.O_WRONLY), f'{{sys.argv[1]}} {{a}} {{time.monotonic()}}\\n'.encode())"
    names = ["p1", "x1", "p2", "p3", "x2", "p4", "p5"]
    async with cluster(tmp_path / "o", parallelism=3) as runtime:
        owner = await runtime.apply(commit())
        for name in names:
            alone = {"isobench.dev/exclusive": "true"} if name.startswith("x") else {}
            await runtime.create(job(owner, name, [container("report", code, args=[name])], annotations=alone))
        await until_ended(runtime, owner, *names)
    found = {name: (float(a), float(b)) for name, a, b in (line.split() for line in spans.read_text().splitlines())}

    def together(one: str, other: str) -> bool:
        return found[one][0] < found[other][1] and found[other][0] < found[one][1]

    assert not any(together(alone, other) for alone in ("x1", "x2") for other in names if other != alone)
    assert together("p2", "p3")
    assert together("p4", "p5")
    assert found["x1"][0] < found["p2"][0] < found["x2"][0] < found["p4"][0]


async def test_resources_are_kept_as_yaml_and_immutable_once_accepted(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.apply_status(owner, {"conditions": [{"type": "Accepted", "status": "True"}]})
        await runtime.emit(owner, Event("Normal", "Done", "words"))
        kept = yaml.safe_load((tmp_path / "o/status/commit-c.yaml").read_text())
        assert kept["status"]["conditions"][0]["type"] == "Accepted"
        assert (await runtime.apply(commit()))["metadata"]["uid"] == owner["metadata"]["uid"]
        other = commit()
        other["spec"]["head"] = "b" * 40
        with pytest.raises(Rejected, match=r"spec\.head cannot change"):
            await runtime.apply(other)
        mutable = commit()
        mutable["spec"]["suspend"] = True
        mutable["metadata"]["annotations"] = {"isobench.dev/retry": "1"}
        changed = await runtime.apply(mutable)
        assert changed["metadata"]["generation"] == 2
        assert changed["status"] == kept["status"]
    assert json.loads((tmp_path / "o/events.jsonl").read_text())["reason"] == "Done"


async def test_deleting_a_resource_takes_its_jobs_with_it(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", "import time; time.sleep(600)")]))
        await runtime.delete("Commit", "default", "c")
        assert await runtime.get(COMMIT) is None
        assert list((tmp_path / "o/jobs").iterdir()) == []
        assert list((tmp_path / "o/status").iterdir()) == []


async def test_closing_kills_everything_within_the_grace(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [survivor(tmp_path / "pids")]))
        pids = await three_pids(tmp_path / "pids")
        began = time.monotonic()
    assert time.monotonic() - began < 8
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(ClusterError, match="not started, or closed"):
        await runtime.get(COMMIT)


async def test_two_runtimes_on_one_folder_are_told_apart(tmp_path: Path) -> None:
    async with cluster(tmp_path / "o"):
        with pytest.raises(ClusterError, match=f"in use by process {os.getpid()};"):
            await cluster(tmp_path / "o").start()
    async with cluster(tmp_path / "o"):
        pass


async def test_a_folder_that_cannot_be_written_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ClusterError, match=r"file.*cannot be written: .*choose another folder"):
        await cluster(tmp_path / "file" / "o", cache=tmp_path / "cache").start()
    with pytest.raises(ClusterError, match=r"cannot be written: .*choose a"):
        await cluster(Path("/proc/o"), cache=tmp_path / "cache").start()
