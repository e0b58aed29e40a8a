"""What a `kill -9` at any moment leaves behind: no process, no half-written result that is believed, and a folder to go on from."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isobench_operator.cluster.embedded.private import PrivateFolder
from isobench_operator.cluster.ports import ClusterError
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

SUPPORT = Path(__file__).parents[2] / "support"
STAGE = """
import os, pathlib, sys, time
folder, stage, code = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
with folder.joinpath("trace").open("a") as trace:
    trace.write(f"{stage} {os.getpid()}\\n")
while folder.joinpath("block-" + stage).exists():
    time.sleep(0.01)
raise SystemExit(code)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that the sandbox's user can reach."""
    path = Path(tempfile.mkdtemp(prefix="isobench-test-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def stages(folder: Path, *, code: int = 0, limit: int = 0) -> dict[str, Any]:
    """A Job of fetch, measure and report that writes a trace and waits where it is told to."""
    containers = [
        container(name, STAGE, args=[str(folder), name, str(code if name == "report" else 0)])
        for name in ("fetch", "measure", "report")
    ]
    owner = commit()
    owner["metadata"]["uid"] = "later"
    return job(owner, "j", containers, spec={"backoffLimit": limit})


def trace(folder: Path) -> list[str]:
    path = folder / "trace"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def last_pid(folder: Path) -> int:
    return int((folder / "trace").read_text().split()[-1])


class Killable:
    """A runtime in a process of its own."""

    def __init__(self, folder: Path, manifest: dict[str, Any], *, isolation: str = "none") -> None:
        file = folder / "job.json"
        file.write_text(json.dumps(manifest))
        argv = [sys.executable, str(SUPPORT / "killable_run.py"), str(folder / "o"), isolation, str(file)]
        self.process = subprocess.Popen(argv, stdout=subprocess.PIPE)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.mark.parametrize("stage", ["fetch", "measure", "report"])
async def test_a_job_killed_in_any_stage_begins_again_without_counting(folder: Path, stage: str) -> None:
    (folder / f"block-{stage}").touch()
    first = Killable(folder, stages(folder))
    await until(lambda: stage in trace(folder))
    pid = last_pid(folder)
    first.kill()
    await until(lambda: not alive(pid))
    (folder / f"block-{stage}").unlink()
    before = len(trace(folder))
    async with cluster(folder / "o") as runtime:
        owner = await runtime.get(COMMIT)
        assert owner is not None
        [done] = await until_ended(runtime, owner, "j")
        pods = await pods_of(runtime, owner, "j")
    assert trace(folder)[before:] == ["fetch", "measure", "report"]
    assert (ended(done)["type"], done["status"]["failed"], len(pods)) == ("Complete", 0, 1)
    assert sorted(path.name for path in (folder / "o/jobs/j").iterdir()) == ["attempt-1", "job.json"]


async def test_what_had_ended_is_not_run_again(folder: Path) -> None:
    first = Killable(folder, stages(folder))
    state = folder / "o/jobs/j/job.json"
    await until(lambda: state.exists() and '"Complete"' in state.read_text())
    first.kill()
    async with cluster(folder / "o") as runtime:
        owner = await runtime.apply(commit())
        [done] = await until_ended(runtime, owner, "j")
        [pod] = await pods_of(runtime, owner, "j")
        assert terminated(pod, "report")["exitCode"] == 0
        await runtime.create(json.loads((folder / "job.json").read_text()))
    assert ended(done)["type"] == "Complete"
    assert trace(folder) == ["fetch", "measure", "report"]


async def test_failures_counted_before_a_kill_still_count(folder: Path) -> None:
    first = Killable(folder, stages(folder, code=75, limit=1))
    state = folder / "o/jobs/j/job.json"
    await until(lambda: state.exists() and json.loads(state.read_text())["job"]["status"]["failed"] == 1)
    first.kill()
    async with cluster(folder / "o") as runtime:
        owner = await runtime.apply(commit())
        [done] = await until_ended(runtime, owner, "j")
    assert ended(done)["reason"] == "BackoffLimitExceeded"
    assert done["status"]["failed"] == 2


@pytest.mark.parametrize(
    "content", ["", '{"v": 1, "attempts": 1, "job": {"meta', '{"v": 1, "attempts": 1, "job": {}, "pods": []}', "null"]
)
async def test_a_half_written_job_is_not_believed_and_made_anew(folder: Path, content: str) -> None:
    async with cluster(folder / "o") as runtime:
        owner = await runtime.apply(commit())
        await runtime.create(job(owner, "j", [container("report", "")]))
        await until_ended(runtime, owner, "j")
    (folder / "o/jobs/j/job.json").write_text(content)
    async with cluster(folder / "o") as runtime:
        assert (await runtime.children(owner)).jobs == ()
        assert not (folder / "o/jobs/j").exists()
        await runtime.create(job(owner, "j", [container("report", "")]))
        await until_ended(runtime, owner, "j")


async def test_a_damaged_resource_is_named(folder: Path) -> None:
    async with cluster(folder / "o") as runtime:
        await runtime.apply(commit())
    path = folder / "o/status/commit-c.yaml"
    path.write_text(path.read_text()[:40])
    with pytest.raises(ClusterError, match=r"commit-c\.yaml is no custom resource .*; remove it"):
        await cluster(folder / "o").start()
    path.unlink()
    async with cluster(folder / "o"):
        pass


async def test_sandboxed_processes_die_with_a_killed_runtime(folder: Path) -> None:
    assert detect().kind == "bubblewrap"
    mark = f"{folder.name}-mark"
    fork = "import os, subprocess, sys, time\nif os.fork() == 0:\n    os.setsid()\nopen(os.environ['ISOBENCH_ROOT'] + '/out/up', 'w').write('x')\ntime.sleep(600)\n"
    owner = commit()
    owner["metadata"]["uid"] = "later"
    hostile = container("measure", fork, args=[mark])
    manifest = job(
        owner,
        "j",
        [hostile, container("report", "")],
        annotations={"isobench.dev/untrusted": "measure", "isobench.dev/offline": "measure"},
    )
    first = Killable(folder, manifest, isolation="detect")

    def running() -> list[int]:
        found = []
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
            except OSError:
                continue
            if mark.encode() in words and alive(int(entry.name)):
                found.append(int(entry.name))
        return found

    await until((folder / "o/jobs/j/attempt-1/out/up").exists)
    assert len(running()) >= 2
    first.kill()
    await until(lambda: not running())


async def test_a_second_process_is_told_who_holds_the_folder(folder: Path) -> None:
    (folder / "block-fetch").touch()
    first = Killable(folder, stages(folder))
    await until(lambda: "fetch" in trace(folder))
    with pytest.raises(ClusterError, match=f"in use by process {first.process.pid};"):
        await cluster(folder / "o").start()
    first.kill()
    async with cluster(folder / "o"):
        pass


def test_a_full_disk_is_an_error_in_words_and_the_run_goes_on_once_there_is_room(folder: Path) -> None:
    script = f"""
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {str(SUPPORT.parent)!r})
from support.embedded_jobs import *
from isobench_operator.cluster.embedded.private import PrivateFolder
from isobench_operator.cluster.ports import ClusterError
async def main():
    small = Path({str(folder)!r}, "small")
    async with cluster(small / "o", cache=Path({str(folder)!r}, "cache")) as runtime:
        owner = await runtime.apply(commit())
        blocked = container("report", "import pathlib, time\\nwhile not pathlib.Path({str(folder)!r}, 'go').exists(): time.sleep(0.01)")
        await runtime.create(job(owner, "j", [blocked]))
        await until(lambda: (small / "o/jobs/j/attempt-1/logs").exists())
        with (small / "ballast").open("wb", 0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * 512)
            except OSError:
                pass
        for attempt in (lambda: runtime.apply_status(owner, {{"words": "x" * 9000}}), lambda: runtime.create(job(owner, "k", [container("report", "")]))):
            try:
                await attempt()
            except ClusterError as error:
                print(error)
        Path({str(folder)!r}, "go").touch()
        while True:
            try:
                await runtime.children(owner)
            except ClusterError as error:
                print(error)
                break
            await asyncio.sleep(0.05)
        (small / "ballast").unlink()
        await asyncio.sleep(1.5)
        [done] = await until_ended(runtime, owner, "j")
        print(ended(done)["type"])
asyncio.run(main())
"""
    (folder / "small").mkdir()
    small = [
        "bwrap",
        "--dev-bind",
        "/",
        "/",
        "--size",
        str(1 << 20),
        "--tmpfs",
        str(folder / "small"),
        "--",
        sys.executable,
        "-c",
        script,
    ]
    done = subprocess.run(small, check=False, capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert len(lines) == 4, lines
    assert all("No space left on device; free some space and run again" in line for line in lines[:3])
    assert lines[3] == "Complete"


async def test_a_builder_waits_for_another_of_the_same_environment_and_looks_again(folder: Path) -> None:
    fetch = (
        "import json, os, pathlib\nroot = pathlib.Path(os.environ['ISOBENCH_ROOT'])\nenv = pathlib.Path(os.environ['ISOBENCH_ENVS'], 'key')\nenv.mkdir(exist_ok=True)\n"
        "root.joinpath('in', 'binds.json').write_text(json.dumps({'ro': [], 'rw': [str(env)]}))\n"
        "root.joinpath('in', 'hit').write_text(str(env.with_name('key.ready.json').exists()))\n"
    )
    build = "import os, time\nroot = os.environ['ISOBENCH_ROOT']\nif open(root + '/in/hit').read() == 'False':\n    time.sleep(1)\n    open(os.environ['ISOBENCH_ENVS'] + '/key/built', 'a').write('once ')\n"
    report = "import os, pathlib\npathlib.Path(os.environ['ISOBENCH_ENVS'], 'key.ready.json').write_text('{}')"
    annotations = {"isobench.dev/untrusted": "build"}
    folder.joinpath("cache").mkdir()
    first, second = (
        cluster(folder / "o1", isolation=detect(), cache=folder / "cache"),
        cluster(folder / "o2", isolation=detect(), cache=folder / "cache"),
    )
    async with first, second:
        for runtime in (first, second):
            owner = await runtime.apply(commit())
            await runtime.create(
                job(
                    owner,
                    "j",
                    [container("fetch", fetch), container("build", build), container("report", report)],
                    annotations=annotations,
                    pod={"activeDeadlineSeconds": 30},
                )
            )
        for runtime in (first, second):
            owner = await runtime.get(COMMIT)
            [done] = await until_ended(runtime, owner, "j")
            assert ended(done)["type"] == "Complete", await pods_of(runtime, owner, "j")
    assert (folder / "cache/envs/key/built").read_text() == "once "


async def test_a_bind_that_would_show_what_is_hidden_ends_the_pod(folder: Path) -> None:
    asks = [
        ("ro", str(Path.home())),
        ("ro", "/"),
        ("rw", str(folder / "o")),
        ("ro", str(folder / "o/artifacts/x")),
        ("rw", "/etc"),
        ("ro", "relative"),
    ]
    async with cluster(folder / "o", isolation=detect()) as runtime:
        owner = await runtime.apply(commit())
        for index, (kind, path) in enumerate(asks):
            binds = json.dumps({"ro": [], "rw": []} | {kind: [path]})
            fetch = (
                f"import os, pathlib; pathlib.Path(os.environ['ISOBENCH_ROOT'], 'in/binds.json').write_text({binds!r})"
            )
            containers = [container("fetch", fetch), container("measure", ""), container("report", "")]
            await runtime.create(job(owner, f"j{index}", containers, annotations={"isobench.dev/untrusted": "measure"}))
        await until_ended(runtime, owner, *(f"j{index}" for index in range(len(asks))))
        for index in range(len(asks)):
            [pod] = await pods_of(runtime, owner, f"j{index}")
            measure = terminated(pod, "measure")
            assert measure["reason"] == "CreateContainerConfigError", asks[index]
            assert measure["message"].startswith("in/binds.json: ")


SECRETS = """
import os, pathlib, sys, time
from isobench_operator.cluster.embedded.private import PrivateFolder
folder = PrivateFolder(pathlib.Path(sys.argv[1]))
folder.path.joinpath("key").write_text("canary")
print("made", flush=True)
time.sleep(600)
"""


def test_secrets_of_a_killed_runtime_are_removed_by_the_next_and_those_of_a_living_one_are_not(tmp_path: Path) -> None:
    runtimes = [
        subprocess.Popen([sys.executable, "-c", SECRETS, str(tmp_path)], stdout=subprocess.PIPE) for _ in range(2)
    ]
    for runtime in runtimes:
        assert runtime.stdout is not None
        assert runtime.stdout.readline() == b"made\n"
        runtime.stdout.close()
    assert len(list(tmp_path.glob("*/key"))) == 2
    runtimes[0].kill()
    runtimes[0].wait()
    own = PrivateFolder(tmp_path)
    assert len(list(tmp_path.glob("*/key"))) == 1
    assert own.path.stat().st_mode & 0o777 == 0o700
    runtimes[1].kill()
    runtimes[1].wait()
    own.close()
    PrivateFolder(tmp_path).close()
    assert list(tmp_path.iterdir()) == []
