"""What the chart gives the operator: its configuration, its rights, its pod."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from isobench_operator.core.settings import RELEASE, CaBundle, PodSettings, Settings, Storage
from isobench_operator.settings import OperatorSettings, load
from support.helm import CHART, KUBERNETES, NAMESPACE, ROOT, config, helm, pick, render

pytestmark = pytest.mark.chart
Json = dict[str, Any]
READ = {
    ("isobench.dev", "commits"): {"get", "list", "watch"},
    ("isobench.dev", "datasets"): {"get", "list", "watch"},
    ("isobench.dev", "commits/status"): {"patch"},
    ("isobench.dev", "datasets/status"): {"patch"},
    ("batch", "jobs"): {"get", "list", "watch"},
    ("", "pods"): {"get", "list", "watch"},
    ("", "events"): {"list", "create"},
}
WRITE = {
    ("batch", "jobs"): {"create", "delete", "patch"},
    ("isobench.dev", "commits"): {"delete"},
    ("isobench.dev", "commits/finalizers"): {"update"},
    ("isobench.dev", "datasets/finalizers"): {"update"},
}


def rights(role: Json) -> dict[tuple[str, str], set[str]]:
    found: dict[tuple[str, str], set[str]] = {}
    for rule in role["rules"]:
        assert "resourceNames" not in rule
        assert "nonResourceURLs" not in rule
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                found.setdefault((group, resource), set()).update(rule["verbs"])
    return found


def both(*given: dict[tuple[str, str], set[str]]) -> dict[tuple[str, str], set[str]]:
    return {key: set().union(*(one.get(key, set()) for one in given)) for key in {key for one in given for key in one}}


def test_namespaced_the_operator_has_roles_in_the_work_namespaces_and_nothing_else() -> None:
    objects = render({"workNamespaces": ["a", "b"], "rbac": {"aggregate": False}})
    assert not [one for one in objects if one["kind"].startswith("ClusterRole")]
    for namespace in ("a", "b"):
        assert rights(pick(objects, "Role", "isobench-operator", namespace)) == both(READ, WRITE)
        binding = pick(objects, "RoleBinding", "isobench-operator", namespace)
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "isobench-operator", "namespace": NAMESPACE}]
    assert {one["metadata"]["namespace"] for one in objects if one["kind"] == "Role"} == {"a", "b"}
    assert config(objects)["watch"] == {"namespaces": ["a", "b"]}


def test_cluster_wide_it_reads_everywhere_and_writes_in_the_work_namespaces() -> None:
    objects = render({"scope": "cluster", "workNamespaces": ["a"]})
    name = f"isobench-{NAMESPACE}-operator"
    assert rights(pick(objects, "ClusterRole", name)) == READ
    assert pick(objects, "ClusterRoleBinding", name)["roleRef"]["name"] == name
    assert rights(pick(objects, "Role", "isobench-operator", "a")) == WRITE
    assert config(objects)["watch"] == {"namespaces": None}
    assert config(objects)["workNamespaces"] == ["a"]


@pytest.mark.parametrize("scope", ["namespaced", "cluster"])
def test_no_role_reads_secrets_or_makes_rights(scope: str) -> None:
    for role in (
        one for one in render({"scope": scope, "workNamespaces": ["a"]}) if one["kind"] in {"Role", "ClusterRole"}
    ):
        for (group, resource), verbs in rights(role).items():
            assert resource not in {"secrets", "configmaps", "pods/log", "pods/exec", "serviceaccounts/token"}, role[
                "metadata"
            ]
            assert "*" not in {group, resource, *verbs}
            assert not verbs & {"escalate", "bind", "impersonate"}


def test_other_accounts_have_what_their_name_says() -> None:
    objects = render()
    assert rights(pick(objects, "Role", "isobench-collect")) == {("isobench.dev", "commits"): {"get", "list"}}
    assert rights(pick(objects, "Role", "isobench-default-dataset")) == {("isobench.dev", "datasets"): {"create"}}
    bound = {subject["name"] for one in objects if one["kind"] == "RoleBinding" for subject in one["subjects"]}
    assert bound == {"isobench-operator", "isobench-collect", "isobench-default-dataset"}
    for account in (one for one in objects if one["kind"] == "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False


def loaded(folder: Path, values: Json | None = None) -> OperatorSettings:
    """The configuration as the operator reads it."""
    (folder / "key").write_text("k" * 48, encoding="utf-8")
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**config(render(values)), "nonceKeyFile": str(folder / "key")}), encoding="utf-8")
    return load(path)


def test_the_defaults_are_those_of_the_code(tmp_path: Path) -> None:
    found = loaded(tmp_path)
    assert found.decisions.pods == PodSettings()
    assert found.namespaces == (NAMESPACE,)
    assert found.decisions.namespaces == {NAMESPACE}
    assert (found.metrics_port, found.health_port) == (9090, 8080)


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        ({"artifacts": {"existingClaim": "mine"}}, {"store": Storage(path="$(ISOBENCH_ROOT)/store", source={"persistentVolumeClaim": {"claimName": "mine"}})}),
        ({"artifacts": {"url": "s3://b/p", "credentialsSecret": "s3"}}, {"store_url": "s3://b/p", "store_credentials": "s3"}),
        ({"artifacts": {"accessMode": "ReadWriteOnce"}}, {"one_host": True}),
        ({"image": {"pullPolicy": "Never", "pullSecrets": ["a"]}}, {"pull_policy": "Never", "pull_secrets": ("a",)}),
        ({"caBundle": {"configMap": "corporate", "key": "bundle.pem"}}, {"ca_bundle": CaBundle(config_map="corporate", key="bundle.pem")}),
        ({"jobs": {"gpus": 0, "backoffLimit": 0, "ttlSeconds": 7200}}, {"gpus": 0, "backoff_limit": 0, "ttl_seconds": 7200}),
        ({"jobs": {"hostUsers": False, "buildAffinity": "required"}}, {"host_users": False, "build_affinity": "required"}),
        ({"priorityClasses": {"create": True}}, {"priority_class": "isobench-jobs"}),
        ({"jobs": {"priorityClassName": "low"}}, {"priority_class": "low"}),
        ({"proxy": {"https": "http://proxy:1"}}, {"trusted_env": {"HTTPS_PROXY": "http://proxy:1", "https_proxy": "http://proxy:1"}}),
    ],
)  # fmt: skip
def test_the_operator_reads_what_the_values_say(tmp_path: Path, values: Json, wanted: Json) -> None:
    assert loaded(tmp_path, values).decisions.pods == replace(PodSettings(), **wanted)


def test_how_long_a_stuck_job_is_waited_for_is_a_value(tmp_path: Path) -> None:
    assert loaded(tmp_path, {"jobs": {"waitingSeconds": 86400}}).decisions.waiting_seconds == 86400.0
    assert loaded(tmp_path, {}).decisions.waiting_seconds == Settings(secret="").waiting_seconds


def test_a_whole_cluster_is_watched_and_its_work_namespaces_are_known(tmp_path: Path) -> None:
    found = loaded(
        tmp_path,
        {
            "scope": "cluster",
            "workNamespaces": ["a", "b"],
            "operator": {"logLevel": "debug", "logFormat": "text"},
            "metrics": {"port": 9191},
        },
    )
    assert found.namespaces is None
    assert found.decisions.namespaces == {"a", "b"}
    assert (found.log_level, found.log_format, found.metrics_port) == ("debug", "text", 9191)


def test_the_configuration_is_what_was_asked_for() -> None:
    found = config(
        render(
            {
                "jobs": {
                    "gpus": 2,
                    "ttlSeconds": 7200,
                    "hostUsers": False,
                    "trustedEnv": {"HTTPS_PROXY": "http://other:1"},
                },
                "artifacts": {"url": "s3://bucket/a", "credentialsSecret": "s3"},
                "packageIndex": {
                    "url": "https://index.local/simple",
                    "extraUrls": ["https://a/simple", "https://b/simple"],
                },
                "proxy": {"http": "http://proxy:1", "https": "http://proxy:1", "noProxy": "localhost,.local"},
                "caBundle": {"configMap": "corporate", "key": "bundle.pem"},
                "image": {"pullSecrets": ["one", "two"]},
                "operator": {"logLevel": "debug", "logFormat": "text"},
                "metrics": {"port": 9191},
            }
        )
    )
    assert found["gpus"] == 2
    assert found["hostUsers"] is False
    assert found["jobs"]["ttlSeconds"] == 7200
    assert found["artifacts"] == {
        "url": "s3://bucket/a",
        "claim": None,
        "accessMode": "ReadWriteMany",
        "credentialsSecret": "s3",
    }
    assert found["trustedEnv"] == {
        "HTTP_PROXY": "http://proxy:1", "http_proxy": "http://proxy:1",
        "HTTPS_PROXY": "http://other:1", "https_proxy": "http://proxy:1",
        "NO_PROXY": "localhost,.local", "no_proxy": "localhost,.local",
        "PIP_INDEX_URL": "https://index.local/simple", "UV_DEFAULT_INDEX": "https://index.local/simple",
        "PIP_EXTRA_INDEX_URL": "https://a/simple https://b/simple", "UV_INDEX": "https://a/simple https://b/simple",
    }  # fmt: skip
    assert found["caBundle"] == {"configMap": "corporate", "key": "bundle.pem"}
    assert found["images"]["pullSecrets"] == ["one", "two"]
    assert found["logging"] == {"level": "debug", "format": "text"}
    assert found["metrics"] == {"port": 9191}
    assert found["health"] == {"port": 8080}


def images(found: Any) -> list[str]:
    """Every image reference: of containers and of the configuration."""
    if isinstance(found, list):
        return [image for one in found for image in images(one)]
    if not isinstance(found, dict):
        return []
    own = [found[key] for key in ("image", "runner", "defaultImage") if isinstance(found.get(key), str)]
    return own + [image for value in found.values() for image in images(value)]


def every_image(values: Json) -> set[str]:
    objects = render(values)
    found = images([one for one in objects if one["kind"] != "CustomResourceDefinition"])
    settings = config(objects)
    return {*found, *images({"images": settings["images"], "environment": settings["environment"]})}


def test_every_image_is_the_release_of_the_chart_unless_told_otherwise() -> None:
    assert every_image({}) == {
        f"ghcr.io/isobench/operator:{RELEASE}",
        f"ghcr.io/isobench/runner:{RELEASE}",
        "docker.io/library/python:3.11-slim",
    }


def test_one_registry_and_a_digest_each_pin_every_image() -> None:
    digest = f"sha256:{'a' * 64}"
    pinned = {"digest": digest, "tag": "ignored"}
    found = every_image(
        {
            "image": {"registry": "registry.local:5000/mirror/", "operator": pinned, "runner": pinned},
            "environment": {"defaultImage": pinned},
        }
    )
    assert found == {
        f"registry.local:5000/mirror/{name}@{digest}"
        for name in ("isobench/operator", "isobench/runner", "library/python")
    }


def test_versions_agree() -> None:
    chart = (CHART / "Chart.yaml").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'appVersion: "{RELEASE}"' in chart
    assert f"version: {RELEASE}\n" in chart
    assert f'version = "{RELEASE}"' in project


def pods(objects: list[Json]) -> dict[str, Json]:
    found = {
        one["metadata"]["name"]: one["spec"]["template"]["spec"]
        for one in objects
        if one["kind"] in {"Deployment", "Job"}
    }
    return found | {one["metadata"]["name"]: one["spec"] for one in objects if one["kind"] == "Pod"}


def test_every_pod_of_the_chart_is_restricted_and_has_a_read_only_root() -> None:
    found = pods(render({"image": {"pullSecrets": ["mine"]}}))
    assert set(found) == {"isobench-operator", "isobench-default-dataset", "isobench-test"}
    for pod in found.values():
        assert pod["imagePullSecrets"] == [{"name": "mine"}]
        assert pod["securityContext"]["runAsUser"] == 10003
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in pod["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_the_operator_is_one_that_is_recreated_when_its_configuration_changes() -> None:
    deployment = pick(render(), "Deployment", "isobench-operator")
    assert deployment["spec"]["replicas"] == 1
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    key = "isobench.dev/config-digest"
    digests = [
        pick(render(values), "Deployment", "isobench-operator")["spec"]["template"]["metadata"]["annotations"][key]
        for values in ({}, {"jobs": {"gpus": 4}})
    ]
    assert digests[0] != digests[1]


def test_its_configuration_and_its_key_lie_where_it_looks() -> None:
    pod = pick(render(), "Deployment", "isobench-operator")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert {"name": "ISOBENCH_CONFIG", "value": "/etc/isobench/config.yaml"} in container["env"]
    assert {"name": "config", "mountPath": "/etc/isobench", "readOnly": True} in container["volumeMounts"]
    sources = next(volume for volume in pod["volumes"] if volume["name"] == "config")["projected"]["sources"]
    assert sources == [
        {"configMap": {"name": "isobench-operator"}},
        {"secret": {"name": "isobench-nonce", "items": [{"key": "key", "path": "nonce/key"}]}},
    ]
    assert config(render())["nonceKeyFile"] == "/etc/isobench/nonce/key"


def test_a_secret_of_ones_own_is_used_and_none_is_made() -> None:
    objects = render({"nonce": {"existingSecret": "mine"}})
    assert not [one for one in objects if one["kind"] == "Secret"]
    pod = pick(objects, "Deployment", "isobench-operator")["spec"]["template"]["spec"]
    assert '"mine"' in re.sub(r"'", '"', str(pod["volumes"]))


def test_priority_classes_are_made_and_used() -> None:
    objects = render({"priorityClasses": {"create": True}})
    assert pick(objects, "PriorityClass", "isobench-jobs")["preemptionPolicy"] == "Never"
    pod = pick(objects, "Deployment", "isobench-operator")["spec"]["template"]["spec"]
    assert pod["priorityClassName"] == "isobench-operator"
    assert config(objects)["priorityClassName"] == "isobench-jobs"
    assert config(render())["priorityClassName"] is None


def test_monitors_find_what_they_scrape() -> None:
    objects = render(
        {"metrics": {"serviceMonitor": {"enabled": True, "interval": "15s", "labels": {"release": "prometheus"}}}}
    )
    monitor, service = (
        pick(objects, "ServiceMonitor", "isobench-operator"),
        pick(objects, "Service", "isobench-operator"),
    )
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    endpoint = monitor["spec"]["endpoints"][0]
    assert endpoint == {"port": "metrics", "interval": "15s", "honorLabels": True}
    pod = pick(objects, "Deployment", "isobench-operator")["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    named = {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}
    assert named == {"metrics": 9090, "health": 8080}
    assert {port["targetPort"] for port in service["spec"]["ports"]} == set(named)
    objects = render({"metrics": {"port": 9191, "podMonitor": {"enabled": True}}})
    monitor = pick(objects, "PodMonitor", "isobench-operator")
    pod = pick(objects, "Deployment", "isobench-operator")["spec"]["template"]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert {port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]}["metrics"] == 9191


def test_a_budget_is_made_only_on_demand() -> None:
    assert not [one for one in render() if one["kind"] == "PodDisruptionBudget"]
    budget = pick(
        render({"operator": {"podDisruptionBudget": {"enabled": True}}}), "PodDisruptionBudget", "isobench-operator"
    )
    assert budget["spec"]["maxUnavailable"] == 0


def test_definitions_are_those_of_the_models_and_kept() -> None:
    own = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text(encoding="utf-8") for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert copies == own, "run `make crds`"
    given = {one["metadata"]["name"]: one for one in render() if one["kind"] == "CustomResourceDefinition"}
    for text in own.values():
        wanted = yaml.safe_load(text)
        rendered = given.pop(wanted["metadata"]["name"])
        assert rendered["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
        assert rendered["spec"] == wanted["spec"]
    assert not given
    dropped = [one for one in render({"crds": {"keep": False}}) if one["kind"] == "CustomResourceDefinition"]
    assert dropped
    assert all("annotations" not in one["metadata"] for one in dropped)
    assert not [one for one in render({"crds": {"enabled": False}}) if one["kind"] == "CustomResourceDefinition"]


def test_what_holds_data_is_kept() -> None:
    objects = render({"workNamespaces": ["a", "b"], "createWorkNamespaces": True})
    kept = {
        (one["kind"], one["metadata"]["name"])
        for one in objects
        if one["metadata"].get("annotations", {}).get("helm.sh/resource-policy") == "keep"
    }
    assert kept == {
        ("CustomResourceDefinition", "commits.isobench.dev"), ("CustomResourceDefinition", "datasets.isobench.dev"),
        ("PersistentVolumeClaim", "isobench-store"), ("Secret", "isobench-nonce"), ("Namespace", "a"), ("Namespace", "b"),
    }  # fmt: skip


def test_namespaces_that_the_chart_makes_enforce_restricted() -> None:
    objects = render({"workNamespaces": ["isobench", "a"], "createWorkNamespaces": True})
    made = [one for one in objects if one["kind"] == "Namespace"]
    assert [one["metadata"]["name"] for one in made] == ["a"]
    assert made[0]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_the_store_is_a_claim_in_every_work_namespace_or_an_url() -> None:
    claims = [one for one in render({"workNamespaces": ["a", "b"]}) if one["kind"] == "PersistentVolumeClaim"]
    assert [one["metadata"]["namespace"] for one in claims] == ["a", "b"]
    for values in ({"artifacts": {"url": "s3://b"}}, {"artifacts": {"existingClaim": "mine"}}):
        assert not [one for one in render(values) if one["kind"] == "PersistentVolumeClaim"]
    assert config(render({"artifacts": {"existingClaim": "mine"}}))["artifacts"]["claim"] == "mine"


def test_lint_finds_nothing() -> None:
    done = helm("lint", "--strict", "--kube-version", KUBERNETES, str(CHART))
    assert done.returncode == 0, done.stdout
    assert "WARNING" not in done.stdout
