"""Every Job keeps the pod contract, whatever the Commit asks for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from isobench_operator.core import naming
from isobench_operator.core.settings import PodSettings, Settings, Storage
from isobench_runner.contract import REQUEST_VARIABLE, MeasureRequest
from support.builders import EMBEDDED, SETTINGS, commit, generated
from support.fake_cluster import request_of, role_of
from support.jobs import RICH, containers, every_job, jobs_of, untrusted

Json = dict[str, Any]


@pytest.fixture(params=[SETTINGS, EMBEDDED], ids=["kubernetes", "embedded"])
def jobs(request: pytest.FixtureRequest) -> list[Json]:
    return list(every_job(request.param))


def test_a_commit_and_a_dataset_have_all_their_jobs(jobs: list[Json]) -> None:
    roles = {role_of(job).partition("-")[0] for job in jobs}
    assert roles == {"prepare", "generate", "base", "head", "main", "collect"}


def test_report_is_the_main_container_and_alone(jobs: list[Json]) -> None:
    for job in jobs:
        assert [one["name"] for one in job["spec"]["template"]["spec"]["containers"]] == ["report"]


def test_pods_satisfy_restricted_and_hold_no_token(jobs: list[Json]) -> None:
    for job in jobs:
        pod = job["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["enableServiceLinks"] is False
        assert pod["restartPolicy"] == "Never"
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for one in containers(job):
            context = one["securityContext"]
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert context["allowPrivilegeEscalation"] is False
            assert context["readOnlyRootFilesystem"] is True
            assert context["runAsNonRoot"] is True
            assert context["runAsUser"] == (10001 if one["name"] in untrusted(job) else 10002)


def test_an_untrusted_container_is_told_next_to_nothing(jobs: list[Json]) -> None:
    allowed = {"ISOBENCH_ROOT", "ISOBENCH_ENVS", "ISOBENCH_PIP", "HOME", "TMPDIR", "LANG", "USER", "PATH", "HF_HOME"}
    seen = 0
    for job in jobs:
        volumes = {one["name"]: one for one in job["spec"]["template"]["spec"]["volumes"]}
        for one in containers(job):
            if one["name"] not in untrusted(job):
                continue
            seen += 1
            assert {entry["name"] for entry in one["env"]} <= allowed
            assert all("valueFrom" not in entry for entry in one["env"])
            mounted = {mount["name"]: mount for mount in one["volumeMounts"]}
            assert not {"store", "mirrors", "scratch", "report", "token"} & mounted.keys()
            assert all("secret" not in volumes[name] and "projected" not in volumes[name] for name in mounted)
            assert mounted["in"]["readOnly"] is True
    assert seen


def test_keys_reach_their_container_alone(jobs: list[Json]) -> None:
    holders = {
        (mount["name"], one["name"])
        for job in jobs
        for one in containers(job)
        for mount in one["volumeMounts"]
        if mount["name"] in ("input-credentials", "input-model-0")
    }
    assert holders == {("input-credentials", "fetch"), ("input-model-0", "generate")}


def test_a_missing_input_never_keeps_a_pod_from_starting(jobs: list[Json]) -> None:
    sources = [
        volume.get("configMap") or volume.get("secret")
        for job in jobs
        for volume in job["spec"]["template"]["spec"]["volumes"]
        if volume["name"].startswith("input-")
    ]
    assert sources
    assert all(source["optional"] is True for source in sources)


def test_every_mount_has_its_volume_and_every_empty_volume_its_limit(jobs: list[Json]) -> None:
    for job in jobs:
        volumes = {one["name"]: one for one in job["spec"]["template"]["spec"]["volumes"]}
        mounted = {mount["name"] for one in containers(job) for mount in one["volumeMounts"]}
        assert mounted == volumes.keys()
        assert all(one["emptyDir"]["sizeLimit"] for one in volumes.values() if "emptyDir" in one)


def test_report_reads_what_the_others_left_and_cannot_change_it(jobs: list[Json]) -> None:
    for job in jobs:
        mounts = {mount["name"]: mount for mount in containers(job)[-1]["volumeMounts"]}
        assert mounts["out"]["readOnly"] is True
        assert mounts["in"]["readOnly"] is True


def test_trusted_containers_alone_have_the_request_and_variables_come_in_order(jobs: list[Json]) -> None:
    for job in jobs:
        for one in containers(job):
            names = [entry["name"] for entry in one["env"]]
            assert (REQUEST_VARIABLE in names) == (one["name"] not in untrusted(job))
            assert names[0] == "ISOBENCH_ROOT"
            assert len(names) == len(set(names))


def test_a_pods_deadline_comes_before_its_jobs(jobs: list[Json]) -> None:
    for job in jobs:
        pod = job["spec"]["template"]["spec"]["activeDeadlineSeconds"]
        assert 0 < pod < job["spec"]["activeDeadlineSeconds"]
        request = request_of(job)
        if isinstance(request, MeasureRequest):
            assert request.timeout_seconds < pod


def test_the_failure_policy_knows_the_exit_codes(jobs: list[Json]) -> None:
    for job in jobs:
        rules = job["spec"]["podFailurePolicy"]["rules"]
        assert [rule["action"] for rule in rules] == ["Ignore", "FailJob", "Count"]
        assert rules[1]["onExitCodes"] == {"containerName": "report", "operator": "In", "values": [42]}
        assert job["spec"]["podReplacementPolicy"] == "Failed"


def test_only_measuring_holds_a_gpu_runs_alone_and_is_offline() -> None:
    for job in every_job(SETTINGS):
        gpus = {one["name"]: one["resources"]["limits"].get("nvidia.com/gpu") for one in containers(job)}
        measuring = role_of(job) in ("base", "head", "main")
        assert {name for name, count in gpus.items() if count} == ({"measure"} if measuring else set())
        annotations = job["spec"]["template"]["metadata"]["annotations"]
        assert (annotations.get(naming.EXCLUSIVE) == "true") == measuring
        assert annotations.get(naming.OFFLINE) == ("measure" if measuring else None)


@pytest.mark.parametrize(
    ("limits", "wanted"),
    [({}, "1"), ({"nvidia.com/gpu": 2}, "2"), ({"nvidia.com/gpu": 0}, None), ({"memory": "1Gi"}, "1")],
)
def test_the_number_of_gpus_is_the_commits_word(limits: Json, wanted: str | None) -> None:
    job = jobs_of(commit(spec={"pod": {"resources": {"limits": limits}}}))["head"]
    resources = next(one for one in containers(job) if one["name"] == "measure")["resources"]
    assert resources["limits"].get("nvidia.com/gpu") == wanted
    assert resources["requests"] == resources["limits"]


@pytest.mark.parametrize(
    "resources",
    [{}, {"limits": {"cpu": 8}}, {"requests": {"cpu": "8", "memory": "64Gi"}}, {"limits": {"cpu": "2"}, "requests": {"cpu": 2}}],
)  # fmt: skip
def test_a_measuring_pod_is_guaranteed_and_has_whole_cpus(resources: Json) -> None:
    job = jobs_of(commit(spec={"pod": {"resources": resources}}))["head"]
    for one in containers(job):
        assert one["resources"]["requests"] == one["resources"]["limits"]
        assert {"cpu", "memory"} <= one["resources"]["limits"].keys()
    measure = next(one for one in containers(job) if one["name"] == "measure")["resources"]["limits"]
    asked = {**resources.get("requests", {}), **resources.get("limits", {})}
    assert measure["cpu"] == str(asked.get("cpu", 4))
    assert measure["cpu"].isdigit()


def test_what_the_commit_asks_of_its_pods_is_there() -> None:
    job = jobs_of(generated(spec=RICH))["head"]
    pod = job["spec"]["template"]["spec"]
    measure = next(one for one in containers(job) if one["name"] == "measure")
    assert pod["nodeSelector"] == {"gpu": "h200"}
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["priorityClassName"] == "low"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert pod["tolerations"] == [{"key": "gpu", "operator": "Exists"}]
    assert pod["affinity"]["nodeAffinity"]
    assert measure["resources"]["limits"]["memory"] == "64Gi"
    mounts = {mount["mountPath"]: mount for mount in measure["volumeMounts"]}
    assert mounts["/weights"]["readOnly"] is True
    volumes = {one["name"]: one for one in pod["volumes"]}
    assert volumes["user-weights"]["persistentVolumeClaim"] == {"claimName": "weights", "readOnly": True}
    assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
    assert "/dev/shm" in mounts


def test_a_cluster_unpacks_each_environment_once_and_a_laptop_never() -> None:
    def names(settings: Settings, role: str) -> list[str]:
        return [one["name"] for one in containers(jobs_of(commit(), settings)[role])]

    assert names(SETTINGS, "base") == ["fetch", "unpack-base", "measure", "report"]
    assert names(SETTINGS, "head") == ["fetch", "unpack-head", "unpack-base", "measure", "report"]
    assert names(EMBEDDED, "head") == ["fetch", "measure", "report"]


@pytest.mark.parametrize(
    ("python", "settings", "interpreter"),
    [
        (None, SETTINGS, "python3"),
        ("3.8", SETTINGS, "python3"),
        ("/opt/conda/bin/python", SETTINGS, "/opt/conda/bin/python"),
        ("/opt/conda/bin/python", EMBEDDED, "python3"),
    ],
)
def test_the_harness_runs_under_the_python_that_is_named_by_its_path(
    python: str | None, settings: Settings, interpreter: str
) -> None:
    jobs = jobs_of(commit(spec={"environment": {"python": python}}), settings)
    for job in jobs.values():
        for one in containers(job):
            if one["name"] in untrusted(job):
                assert one["command"][:4] == [interpreter, "-I", "-S", "$(ISOBENCH_ROOT)/in/harness.pyz"]


def test_a_variable_of_the_users_takes_the_place_of_ours() -> None:
    job = jobs_of(commit(spec={"pod": {"env": [{"name": "HOME", "value": "/tmp"}]}}))["head"]
    measure = next(one for one in containers(job) if one["name"] == "measure")
    assert [entry["value"] for entry in measure["env"] if entry["name"] == "HOME"] == ["/tmp"]


def test_a_laptop_and_a_cluster_ask_the_same_of_their_jobs() -> None:
    here, there = jobs_of(generated(spec=RICH), EMBEDDED), jobs_of(generated(spec=RICH))
    assert here.keys() == there.keys()
    for role, job in there.items():
        assert request_of(here[role]) == request_of(job)


def test_builds_keep_off_measuring_hosts() -> None:
    pod = jobs_of(commit())["prepare-head"]["spec"]["template"]["spec"]
    assert "preferredDuringSchedulingIgnoredDuringExecution" in pod["affinity"]["podAntiAffinity"]
    required = replace(SETTINGS, pods=PodSettings(build_affinity="required"))
    pod = jobs_of(commit(), required)["prepare-head"]["spec"]["template"]["spec"]
    assert "requiredDuringSchedulingIgnoredDuringExecution" in pod["affinity"]["podAntiAffinity"]


def test_the_shared_places_of_a_laptop_keep_their_absolute_paths() -> None:
    envs = Storage(path="/cache/env", source={"hostPath": {"path": "/cache/env"}})
    settings = Settings(secret="s", pods=PodSettings(runtime="embedded", environments=envs))
    job = jobs_of(commit(), settings)["head"]
    measure = next(one for one in containers(job) if one["name"] == "measure")
    mount = next(one for one in measure["volumeMounts"] if one["name"] == "environments")
    assert mount == {"name": "environments", "mountPath": "/cache/env", "readOnly": True}
    assert {"name": "ISOBENCH_ENVS", "value": "/cache/env"} in measure["env"]


def test_the_termination_message_lies_where_its_runtime_reads_it() -> None:
    paths = {}
    for name, settings in (("kubernetes", SETTINGS), ("embedded", EMBEDDED)):
        report = containers(jobs_of(commit(), settings)["head"])[-1]
        told = next(one["value"] for one in report["env"] if one["name"] == "ISOBENCH_TERMINATION")
        paths[name] = (told, report["terminationMessagePath"])
    assert paths["kubernetes"] == ("/dev/termination-log", "/dev/termination-log")
    assert paths["embedded"] == ("$(ISOBENCH_ROOT)/report/termination", "/isobench/report/termination")


@pytest.mark.parametrize("change", [lambda s: replace(s, secret="another"), lambda s: s])
def test_a_nonce_is_the_same_after_a_restart_and_needs_the_secret(change: Callable[[Settings], Settings]) -> None:
    one = request_of(jobs_of(commit())["head"]).nonce
    other = request_of(jobs_of(commit(), change(SETTINGS))["head"]).nonce
    assert (one == other) == (change(SETTINGS) == SETTINGS)


def test_prepare_asks_for_what_the_spec_says() -> None:
    request: Any = request_of(jobs_of(generated(spec=RICH))["prepare-head"])
    assert request.extraction == "/isobench/inputs/extraction/extraction.json"
    assert request.script is None
    assert request.credentials == "/isobench/inputs/credentials"
    assert request.environment.inherit == "none"
    assert request.repository == "acme/rocket"


def test_the_tree_is_on_the_import_path_only_where_nothing_is_installed() -> None:
    bare: Any = request_of(jobs_of(commit(spec={"environment": {"install": []}}))["prepare-base"])
    installed: Any = request_of(jobs_of(commit())["prepare-base"])
    assert (bare.environment.path, installed.environment.path) == ((".",), ())
