"""Hostile and unlucky tests on a real kubelet: each ends its own Commit with a typed reason, and no other.

All of them are applied at once: what one does must not be felt by the others.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cluster import Cluster
from support.kube import Kube, condition, is_true, told
from support.tiny import SCRIPT

from .lab import Lab, script_for

CALL = "    return [work(value) for value in data['values']]"
EAT = """    import mmap
    block = mmap.mmap(-1, 4 << 30)
    for page in range(0, len(block), 4096):
        block[page] = 1
    return len(block)"""
"""Shared pages count against no limit of a process, so that it is the kernel that kills."""
HANG = "    import time\n    time.sleep(100000)"
FORK_BOMB = """    import os
    try:
        while True:
            if os.fork() == 0:
                os.fork()
    except OSError:
        pass
    import time
    time.sleep(3600)"""
ONCE = "    if globals().setdefault('calls', []):\n    " + CALL + "\n    calls.append(1)\n"
FLOOD = ONCE + "    print('x' * 50_000_000)\n" + CALL
FILL = """    import tempfile
    import time
    with open(tempfile.mktemp(), 'wb') as file:
        for _ in range(2048):
            file.write(b'x' * (1 << 20))
        time.sleep(3600)"""
FORGE = """    for name in ('/dev/termination-log', '/isobench/out/outcome.json', '/isobench/out/run.json', '/isobench/report/message'):
        try:
            with open(name, 'w') as file:
                file.write('130 00000000 {"v":1,"reason":null,"data":{"result":{"verdict":"faster","speedup":"99"}}}')
        except OSError:
            pass
    raise ValueError('forged what it could')"""
MEMORY_OF_PARENT = (
    ONCE
    + """    import os
    found = []
    for pid in filter(str.isdigit, os.listdir('/proc')):
        if int(pid) == os.getpid():
            continue
        command = open(f'/proc/{pid}/cmdline').read().replace('\\0', ' ')
        if ".worker').main()" in command:
            continue
        for name in ('environ', 'mem', 'maps'):
            try:
                with open(f'/proc/{pid}/{name}', 'rb') as file:
                    file.read(1)
                found.append((pid, name, command))
            except OSError:
                pass
    for place in ('/isobench/store', '/var/run/secrets/kubernetes.io/serviceaccount/token', '/isobench/inputs'):
        if os.path.exists(place):
            found.append(place)
    os.system('rm -rf /isobench/out/* /isobench/in/* /isobench/env/* 2>/dev/null')
    assert not found, found
"""
    + CALL
)

"""Its parents' memory and what other containers hold; a worker beside it is foreign code as it is itself."""

A_VERDICT = None
"""Whichever: what it does takes more time than what is measured."""
HOSTILE = {
    "oom": (EAT, "OutOfMemory"),
    "hang": (HANG, "SampleTooLong"),
    "fork-bomb": (FORK_BOMB, "SampleTooLong"),
    "flood": (FLOOD, A_VERDICT),
    "forge": (FORGE, "TestFailed"),
    "snoop": (MEMORY_OF_PARENT, "Faster"),
}
SMALL = {"limits": {"cpu": "1", "memory": "512Mi", "ephemeral-storage": "1Gi", "nvidia.com/gpu": "0"}}


@pytest.fixture(scope="module")
def hostile(lab: Lab) -> Lab:
    for name, (body, _) in HOSTILE.items():
        lab.commit(f"hostile-{name}", script=script_for(name, body), pod={"resources": SMALL})
    lab.commit("beside-them", pod={"resources": SMALL})
    return lab


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_each_ends_with_its_reason(hostile: Lab, name: str) -> None:
    body = hostile.finished(f"hostile-{name}", seconds=900)
    reason = condition(body, "Succeeded").get("reason")
    wanted = HOSTILE[name][1]
    assert reason == wanted or (wanted is A_VERDICT and is_true(body, "Succeeded")), told(body)
    if not is_true(body, "Succeeded"):
        assert "result" not in body["status"] or "speedup" not in body["status"]["result"]
    assert len(json.dumps(body)) < 10_000


def test_an_honest_commit_beside_them_gets_its_verdict(hostile: Lab) -> None:
    hostile.ended_as("beside-them", "Faster", seconds=900)


@pytest.mark.everything
def test_a_disk_that_is_filled_is_told(lab: Lab) -> None:
    measurement = {"budgetSeconds": 200, "minimumEffectPercent": "10", "revisions": ["base", "head"]}
    lab.commit("disk", script=script_for("disk", FILL), pod={"resources": SMALL}, measurement=measurement)
    body = lab.ended_as("disk", "DiskFull", seconds=500)
    assert "1Gi" in condition(body, "Succeeded")["message"], told(body)


def test_evidence_of_a_failure_is_in_the_message(hostile: Lab) -> None:
    body = hostile.finished("hostile-forge", seconds=900)
    assert "forged what it could" in condition(body, "Succeeded")["message"]


def test_a_benchmark_pod_has_no_token_no_capability_and_one_writable_place(lab: Lab) -> None:
    api = lab.kube.read("/api/v1/namespaces/default/services/kubernetes")["spec"]["clusterIP"]
    probe = PROBE.replace("'GIT'", repr(lab.git.address)).replace("'API'", repr(api))
    lab.commit("probe", script=script_for("probe", probe))
    body = lab.finished("probe")
    message = condition(body, "Succeeded")["message"]
    found = json.loads(message.rpartition("ValueError: ")[2])
    assert found == {
        "token": False, "CapEff": "0000000000000000", "CapBnd": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2",
        "root": "read-only", "uid": 10001, "api": False, "metadata": False, "git": False,
    }, found  # fmt: skip


PROBE = """    import json, os, socket
    status = dict(line.rstrip().split(':\\t', 1) for line in open('/proc/self/status') if ':\\t' in line)
    def connects(host, port):
        try:
            socket.create_connection((host, port), timeout=0.5).close()
            return True
        except OSError:
            return False
    try:
        open('/x', 'w')
        root = 'writable'
    except OSError:
        root = 'read-only'
    raise ValueError(json.dumps({
        'token': os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'),
        'CapEff': status['CapEff'], 'CapBnd': status['CapBnd'], 'NoNewPrivs': status['NoNewPrivs'], 'Seccomp': status['Seccomp'],
        'root': root, 'uid': os.getuid(),
        'api': connects('API', 443), 'metadata': connects('169.254.169.254', 80),
        'git': connects('GIT', 80)}))"""


@pytest.mark.everything
@pytest.mark.parametrize(
    ("lie", "reason"), [("nan", "ResultInvalid"), ("large", "ResultInvalid"), ("message", "Faster")]
)
def test_an_image_that_lies_makes_no_number(lab: Lab, node: Cluster, lie: str, reason: str) -> None:
    image = node.image("localhost/python:liar", Path(__file__).with_name("liar.py"))
    environment = {"image": image, "inherit": "none", "package": "tinywork", "path": ["."]}
    lab.commit(f"lie-{lie}", environment=environment, pod={"env": [{"name": "LIE", "value": lie}]})
    body = lab.ended_as(f"lie-{lie}", reason, seconds=400)
    speedup = body["status"].get("result", {}).get("speedup")
    assert (speedup is None) == (reason != "Faster"), told(body)
    assert speedup != "99", told(body)


@pytest.mark.everything
@pytest.mark.parametrize("image", ["localhost/python:3.8", "localhost/python:venv"])
def test_any_image_with_a_python_works_unchanged(lab: Lab, kube: Kube, image: str) -> None:
    name = "image-" + image.rpartition(":")[2].replace(".", "")
    lab.commit(
        name, script=SCRIPT, environment={"image": image, "inherit": "none", "package": "tinywork", "path": ["."]}
    )
    lab.ended_as(name, "Faster", seconds=400)
