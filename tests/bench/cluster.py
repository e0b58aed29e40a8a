"""What a Commit costs on a real kubelet beyond its own work, beside the same chain of Jobs that do nothing, and what the operator writes.

    python tests/bench/cluster.py [--runs N]

The release, its namespace and its cluster are those of the end-to-end cases: KUBECONFIG's, else the test cluster's, which needs root.
A release that is there is used as it is. The bare chain has the Commit's own Jobs, volumes and limits included, in its order: both
prepare Jobs at once, then base, then head; only its commands do nothing. Both take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from cluster import Cluster
from e2e.cluster.helm import Helm
from e2e.cluster.lab import IMAGE, Lab
from e2e.cluster.operator import Operator
from e2e.cluster.servers import GitServer, ModelServer
from e2e.cluster.test_main_job import generate
from support.kube import Kube, is_true, until
from support.tiny import SCRIPT, Tiny, source

Json = dict[str, Any]
OVERHEAD_BOUND, WRITES_BOUND = 1.3, 16
RELEASE, WORK, SERVERS = "isobench", "work", "servers"
OPERATOR = f"system:serviceaccount:{RELEASE}:isobench-operator"
STEPS = (("prepare-base", "prepare-head"), ("base",), ("head",))
ROLE = "isobench.dev/role"


def spans(pod: Json) -> list[tuple[float, float]]:
    """When each container of a pod ran, as the kubelet says: to the second, both ends cut, so that errors cancel."""
    found = []
    for kind in ("initContainerStatuses", "containerStatuses"):
        for one in pod["status"].get(kind) or ():
            span = one["state"].get("terminated") or {}
            if span.get("startedAt"):
                first, last = (datetime.fromisoformat(span[name]).timestamp() for name in ("startedAt", "finishedAt"))
                found.append((first, last))
    return found


def work(pods: Iterable[Json]) -> float:
    """Seconds in which containers ran, of those pods that their step waited for: what another did meanwhile hides nothing."""
    last: dict[str, list[tuple[float, float]]] = {}
    for pod in pods:
        step = next("+".join(roles) for roles in STEPS if pod["metadata"]["labels"][ROLE] in roles)
        last[step] = max(last.get(step, []), spans(pod), key=lambda found: max((end for _, end in found), default=0.0))
    return sum(end - begin for found in last.values() for begin, end in found)


def commit(lab: Lab, name: str) -> tuple[float, float]:
    """Seconds from a Commit's creation to its end, and those of them in which its containers ran."""
    started = time.monotonic()
    lab.commit(name)
    body = until(f"{name} ends", lambda: (found := lab.get(name)) and is_true(found, "Finished") and found, seconds=600, every=0.05)  # fmt: skip
    wall = time.monotonic() - started
    assert is_true(body, "Succeeded"), body["status"]["conditions"]
    return wall, work(lab.kube.pods_of(name, lab.namespace))


def idle(job: Json, name: str) -> Json:
    """A Job of the same shape whose containers do nothing; nobody's, so the operator leaves it alone."""
    spec = json.loads(json.dumps(job["spec"]))
    for field in ("selector", "manualSelector"):
        spec.pop(field, None)
    kept = {key: value for key, value in spec["template"]["metadata"]["labels"].items() if key in (ROLE, "isobench.dev/exclusive", "isobench.dev/network")}  # fmt: skip
    spec["template"]["metadata"] = {"labels": {**kept, "bench": "idle"}}
    pod = spec["template"]["spec"]
    for container in [*pod["initContainers"], *pod["containers"]]:
        container |= {"image": IMAGE, "command": ["/bin/true"]}
    metadata = {"name": f"{name}-{job['metadata']['labels'][ROLE]}", "labels": {"bench": "idle"}}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def chain(lab: Lab, name: str, jobs: dict[str, Json]) -> tuple[float, float]:
    """Seconds of the bare chain, and those of them in which its containers ran."""
    started = time.monotonic()
    names = []
    for step in STEPS:
        bodies = [idle(jobs[role], name) for role in step]
        made = [body["metadata"]["name"] for body in bodies]
        names += made
        lab.kube.create(*bodies, namespace=lab.namespace)
        for one in made:
            until(f"{one} is complete", lambda one=one: is_true(lab.kube.get("Job", one, lab.namespace), "Complete"), seconds=600, every=0.05)  # type: ignore[misc]  # fmt: skip
    wall = time.monotonic() - started
    pods = [pod for one in names for pod in lab.kube.list("Pod", lab.namespace, labels=f"batch.kubernetes.io/job-name={one}")]  # fmt: skip
    lab.kube.kubectl("delete", "job", "-n", lab.namespace, *names, "--wait=false")
    return wall, work(pods)


def writes(cluster: Cluster, lab: Lab, name: str) -> Counter[str]:
    """What the API server wrote down of the operator about a Commit: refused and repeated requests too."""
    found: Counter[str] = Counter()
    for one in cluster.audit():
        about = one["objectRef"]
        of = about.get("name") or ""
        mine = of == name or of.startswith((f"{name}-", f"{name}."))
        if one["user"]["username"] == OPERATOR and about.get("namespace") == lab.namespace and mine:
            found[about["resource"] + ("/status" if about.get("subresource") == "status" else "")] += 1
    return found


def laboratory(cluster: Cluster | None, kube: Kube, folder: Path) -> Lab:
    """The release, as it is or installed anew, with the small repository served beside it."""
    if kube.get("Deployment", "isobench-operator", RELEASE) is None:
        if cluster is not None:
            cluster.images()
        binary = str(cluster.bin / "helm") if cluster is not None else "helm"
        helm = Helm(kube, binary=binary, release=RELEASE, namespace=RELEASE, work=WORK)
        helm.clean()
        helm.install()
    Operator(kube, RELEASE).ready()
    kube.kubectl("create", "namespace", SERVERS, check=False)
    git = GitServer(kube, SERVERS)
    tiny = Tiny.create(folder)
    tiny.repository.git("checkout", "--quiet", "-b", "next")
    main = tiny.repository.commit({"tinywork/__init__.py": source(8_000)}, "Work a little more")
    tiny.repository.git("checkout", "--quiet", "main")
    url = git.serve(f"bench-{os.getpid()}", tiny.repository.path)
    return Lab(kube=kube, namespace=WORK, release=RELEASE, git=git, tiny=tiny, url=url, main=main)


def overhead(lab: Lab, runs: int, prefix: str) -> bool:
    """Print what a Commit costs beyond its work; returns whether it keeps its bound."""
    ours, theirs = [], []
    commit(lab, f"{prefix}-first")  # builds the environments, which later ones take from the store
    jobs = {job["metadata"]["labels"][ROLE]: job for job in lab.kube.jobs_of(f"{prefix}-first", lab.namespace)}
    for number in range(runs):
        for found, (wall, ran), what in (
            (theirs, chain(lab, f"{prefix}-idle-{number}", jobs), "bare chain"),
            (ours, commit(lab, f"{prefix}-{number}"), "Commit"),
        ):
            found.append(wall - ran)
            print(f"{what:12} {wall:6.1f} s, of which containers ran {ran:5.1f} s: {wall - ran:5.1f} s beyond  (load {os.getloadavg()[0]:.1f})", flush=True)  # fmt: skip
    us, them = statistics.median(ours), statistics.median(theirs)
    print(f"beyond the work      {us / them:5.2f} x the bare chain  (bound ≤ {OVERHEAD_BOUND}; medians of {runs}: {us:.1f} s and {them:.1f} s)", flush=True)  # fmt: skip
    return us <= OVERHEAD_BOUND * them


def counted(cluster: Cluster, lab: Lab, name: str) -> bool:
    """Print the operator's writes for a Commit with a generated test and a main; returns whether they keep their bound."""
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "model-key"}, "stringData": {"key": "sk-bench"}}  # fmt: skip
    lab.kube.apply(secret, namespace=lab.namespace)
    model = ModelServer(lab.kube, SERVERS, {f"{lab.tiny.head[:8]}_test_case_generator.py": SCRIPT}, name="bench-model")
    measurement = {"budgetSeconds": 6, "minimumEffectPercent": "10"}
    lab.commit(name, script=None, test=generate(model), measurement=measurement, main=lab.main)
    body = lab.finished(name, seconds=600)
    assert is_true(body, "Succeeded"), body["status"]["conditions"]
    time.sleep(2)
    found = writes(cluster, lab, name)
    total = sum(found.values())
    print(f"writes per Commit    {total:5}  (bound ≤ {WRITES_BOUND}; {', '.join(f'{what} {count}' for what, count in found.most_common())})")  # fmt: skip
    return 0 < total <= WRITES_BOUND


def main(runs: int) -> int:
    """Print every figure; 1 where one misses its bound."""
    cluster = None if os.environ.get("KUBECONFIG") else Cluster()
    if cluster is None:
        kube = Kube(Path(os.environ["KUBECONFIG"].split(":")[0]), kubectl=shutil.which("kubectl") or "kubectl")
    else:
        if not all(cluster.status().values()):
            cluster.up()
        kube = Kube(cluster.kubeconfig, kubectl=str(cluster.bin / "kubectl"), path=str(cluster.bin))
    prefix = f"bench-{int(time.time()) % 100_000}"
    with tempfile.TemporaryDirectory() as folder:
        lab = laboratory(cluster, kube, Path(folder))
        kept = [overhead(lab, runs, prefix)]
        if cluster is None:
            print("writes per Commit: not counted, for only the test cluster's audit log can be read")
        else:
            kept.append(counted(cluster, lab, f"{prefix}-generated"))
    return int(not all(kept))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    sys.exit(main(parser.parse_args().runs))
