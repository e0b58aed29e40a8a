"""The committed Jobs are those that decisions make, and no container of any of them has what it must not."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from isobench_runner.contract import REQUEST_VARIABLE
from support import golden
from support.jobs import containers, untrusted

Json = dict[str, Any]
FILES = golden.files()
KEYS = {"input-credentials": "fetch", "input-model-0": "generate"}
"""Who alone mounts what."""


@pytest.fixture(params=sorted(FILES))
def job(request: pytest.FixtureRequest) -> Json:
    found: Json = yaml.safe_load(FILES[request.param])
    return found


def test_the_committed_files_are_the_generated_ones() -> None:
    there = {path.relative_to(golden.FOLDER).as_posix(): path.read_text() for path in golden.FOLDER.glob("*/*.yaml")}
    assert there == FILES, "run: make golden, and read what has changed as an attacker would"


def mounts(container: Json) -> dict[str, Json]:
    return {one["name"]: one for one in container["volumeMounts"]}


def test_an_untrusted_container_shares_no_folder_with_another_revisions(job: Json) -> None:
    for one in containers(job):
        if one["name"].startswith("unpack-"):
            target = PurePosixPath(one["command"][-1].replace("$(ISOBENCH_ROOT)", "/isobench"))
            mount = mounts(one)["environments"]
            assert (mount["mountPath"], mount["subPath"]) == (str(target), target.name)
        if one["name"] == "measure":
            assert mounts(one)["environments"]["readOnly"] is True


def test_what_untrusted_code_wrote_is_read_only_to_whoever_is_trusted(job: Json) -> None:
    shut = untrusted(job)
    written = {
        name
        for one in containers(job)
        if one["name"] in shut
        for name, mount in mounts(one).items()
        if not mount.get("readOnly")
    }
    for one in containers(job):
        if one["name"] not in shut:
            shared = {name: mount for name, mount in mounts(one).items() if name in written}
            assert all(mount.get("readOnly") is True for mount in shared.values()), (one["name"], shared)
            assert shared.keys() <= {"out"}


def test_store_keys_and_tokens_are_mounted_in_their_containers_alone(job: Json) -> None:
    shut = untrusted(job)
    for one in containers(job):
        found = mounts(one)
        if one["name"] in shut:
            assert not found.keys() & {"store", "mirrors", "credentials", "scratch", "report", "token", *KEYS}
        for name, owner in KEYS.items():
            assert name not in found or one["name"] == owner
        variables = {entry["name"]: entry for entry in one["env"]}
        assert one["name"] not in shut or not variables.keys() & {
            "ISOBENCH_STORE",
            "ISOBENCH_STORE_CREDENTIALS",
            REQUEST_VARIABLE,
        }
        assert all("secretKeyRef" not in (entry.get("valueFrom") or {}) for entry in variables.values())


def test_a_nonce_is_one_jobs_and_in_trusted_containers_alone(job: Json) -> None:
    requests = [entry["value"] for one in containers(job) for entry in one["env"] if entry["name"] == REQUEST_VARIABLE]
    assert len(set(requests)) == 1
    nonce = yaml.safe_load(requests[0])["nonce"]
    assert len(nonce) == 32
    for one in containers(job):
        assert one["name"] not in untrusted(job) or nonce not in str(one)


def test_a_pod_satisfies_restricted(job: Json) -> None:
    spec = job["spec"]["template"]["spec"]
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & spec.keys()
    assert spec.get("hostUsers") in (None, False)
    allowed = {"name", "emptyDir", "configMap", "secret", "projected", "persistentVolumeClaim", "image", "downwardAPI"}
    assert all(volume.keys() <= allowed for volume in spec["volumes"])
    for one in containers(job):
        context = one["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] > 0
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"privileged", "procMount"} & context.keys()
        assert not {"lifecycle", "ports"} & one.keys()


def test_every_pod_is_bounded_and_guaranteed(job: Json) -> None:
    for one in containers(job):
        limits = one["resources"]["limits"]
        assert {"cpu", "memory", "ephemeral-storage"} <= limits.keys()
        assert one["resources"]["requests"] == limits
    for volume in job["spec"]["template"]["spec"]["volumes"]:
        assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"]


def test_only_builds_of_untrusted_containers_know_the_index(job: Json) -> None:
    for one in containers(job):
        if one["name"] in untrusted(job) - {"build"}:
            names = {entry["name"] for entry in one["env"]}
            assert not names & {"PIP_INDEX_URL", "HTTPS_PROXY", "PIP_CERT"}
