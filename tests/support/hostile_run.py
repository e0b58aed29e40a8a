"""A run over one Job whose untrusted container is the hostile probe: `python hostile_run.py FOLDER KIND`, as whoever starts it.

KIND is `detect` or `none`. Prints what the probe got, with the isolation that was in force, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from isobench_operator.cluster.sandbox import detect, none
from support.embedded_jobs import cluster, commit, container, ended, job, pods_of, until, until_ended

FETCH = """
import json, os, pathlib, sys
root = pathlib.Path(os.environ["ISOBENCH_ROOT"])
root.joinpath("in", "harness.pyz").write_text(pathlib.Path(sys.argv[1]).read_text())
root.joinpath("in", "port").write_text(sys.argv[2])
root.joinpath("in", "tops").write_text(sys.argv[3])
root.joinpath("in", "harness.pyz").chmod(0o600)
envs = pathlib.Path(os.environ["ISOBENCH_ENVS"])
for name, text in (("mine", "mine"), ("theirs", "canary" + "-stolen-environment")):
    envs.joinpath(name).mkdir(exist_ok=True)
    envs.joinpath(name, "file").write_text(text)
pathlib.Path(os.environ["ISOBENCH_STORE"], "blob").write_text("canary" + "-stolen-store")
root.joinpath("inputs", "note").write_text("canary" + "-stolen-input")
root.joinpath("in", "binds.json").write_text(json.dumps({"ro": [str(envs / "mine")], "rw": []}))
"""


async def main(folder: Path, kind: str) -> int:
    """Run it."""
    home = folder / "home"
    home.mkdir()
    home.joinpath(".netrc").write_text("canary" + "-stolen-home")
    os.environ["HOME"] = str(home)
    os.environ["OPENAI_API_KEY"] = "canary" + "-stolen-variable"
    secrets = {"key": {"value": "canary" + "-stolen-secret"}}
    isolation = detect() if kind == "detect" else none("asked for")
    annotations = {"isobench.dev/untrusted": "measure", "isobench.dev/offline": "measure"}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = str(listener.getsockname()[1])
        probe = str(Path(__file__).with_name("hostile_probe.py"))
        tops = ["/"] if isolation.kind == "bubblewrap" else [str(folder), "/dev/shm"]
        fetch = container("fetch", FETCH, args=[probe, port, json.dumps(tops)])
        measure = container("measure", "", mounts={"in": "/isobench/in", "out": "/isobench/out"})
        measure["command"] = ["python3", "-I", "-S", "$(ISOBENCH_ROOT)/in/harness.pyz", "measure"]
        keyed = container("report", "import time; time.sleep(600)", mounts={"key": "/isobench/inputs/key"})
        directory = folder / "o"
        async with cluster(directory, isolation=isolation, secrets=secrets, parallelism=4) as runtime:
            owner = await runtime.apply(commit())
            volumes = [{"name": "in", "emptyDir": {}}, {"name": "out", "emptyDir": {}}]
            store = [{"name": "ISOBENCH_STORE", "value": "$(ISOBENCH_ROOT)/store"}]
            fetch["env"] = store
            await runtime.create(
                job(owner, "keyed", [keyed], volumes=[{"name": "key", "secret": {"secretName": "key"}}])
            )
            await until((directory / "jobs/keyed/attempt-1/logs/report.log").exists)
            containers = [fetch, measure, container("report", "")]
            await runtime.create(job(owner, "j", containers, volumes=volumes, annotations=annotations))
            [done] = await until_ended(runtime, owner, "j")
            pod = (await pods_of(runtime, owner, "j"))[-1]
            place = directory / "jobs/j/attempt-1"
            text = (place / "out/found.json").read_text() if (place / "out/found.json").exists() else "null"
            log = (place / "logs/measure.log").read_text() if (place / "logs/measure.log").exists() else ""
    words = {"kind": isolation.kind, "nested": isolation.nested, "words": isolation.words}
    print(
        json.dumps(
            {"isolation": words, "got": json.loads(text), "ended": ended(done), "log": log, "status": pod["status"]}
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(Path(sys.argv[1]), sys.argv[2])))
