"""The configuration file: every field reaches what it is for, and everything that is wrong is said at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from isobench_operator.core.policies import deadlines
from isobench_operator.core.settings import CaBundle, PodSettings, Settings
from isobench_operator.settings import OperatorSettings, SettingsError, load

KEY = "0123456789abcdef" * 4


@pytest.fixture
def written(tmp_path: Path) -> Any:
    """Writes a configuration and reads it."""
    (tmp_path / "key").write_text(f"{KEY}\n")

    def write(text: str) -> OperatorSettings:
        path = tmp_path / "config.yaml"
        path.write_text(f"nonceKeyFile: {tmp_path}/key\n{text}")
        return load(path)

    return write


def test_an_empty_configuration_is_the_defaults(written: Any) -> None:
    found = written("")
    assert found.decisions.pods == PodSettings()
    assert (found.decisions.secret, found.decisions.namespaces, found.namespaces) == (KEY, None, None)
    assert (found.metrics_port, found.health_port, found.log_level, found.log_format) == (9090, 8080, "info", "json")


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("images: {runner: r@sha256:1, pullPolicy: Never}", "runner_image", "r@sha256:1"),
        ("images: {pullPolicy: Never}", "pull_policy", "Never"),
        ("images: {pullSecrets: [a, b]}", "pull_secrets", ("a", "b")),
        ("environment: {defaultImage: python:3.12}", "default_image", "python:3.12"),
        ("artifacts: {url: 's3://b/p', credentialsSecret: s}", "store_url", "s3://b/p"),
        ("artifacts: {url: 's3://b/p', credentialsSecret: s}", "store_credentials", "s"),
        ("artifacts: {claim: c, accessMode: ReadWriteOnce}", "one_host", True),
        ("artifacts: {claim: c}", "one_host", False),
        ("gpus: 0", "gpus", 0),
        ("trustedEnv: {HTTPS_PROXY: 'http://p'}", "trusted_env", {"HTTPS_PROXY": "http://p"}),
        ("caBundle: {configMap: ca}", "ca_bundle", CaBundle(config_map="ca", key="ca.crt")),
        ("builds: {affinity: required}", "build_affinity", "required"),
        ("hostUsers: false", "host_users", False),
        ("priorityClassName: low", "priority_class", "low"),
        ("serviceAccounts: {run: a, collect: b}", "service_account", "a"),
        ("serviceAccounts: {run: a, collect: b}", "collect_service_account", "b"),
        ("jobs: {backoffLimit: 0}", "backoff_limit", 0),
        ("jobs: {ttlSeconds: 600}", "ttl_seconds", 600),
    ],
)
def test_every_field_reaches_the_pods(written: Any, text: str, attribute: str, value: object) -> None:
    assert getattr(written(text).decisions.pods, attribute) == value


def test_how_long_a_stuck_job_is_waited_for_reaches_the_decisions(written: Any) -> None:
    assert written("jobs: {waitingSeconds: 7200}").decisions.waiting_seconds == 7200.0
    assert written("gpus: 1").decisions.waiting_seconds == Settings(secret="").waiting_seconds
    with pytest.raises(SettingsError, match=r"jobs\.waitingSeconds: 5: must be at least 60"):
        written("jobs: {waitingSeconds: 5}")


@pytest.mark.parametrize(("waiting", "more"), [(60, 0), (1800, 0), (86400, 84600)])
def test_a_pod_that_is_stuck_on_its_node_is_not_ended_before_it_was_waited_for(
    written: Any, waiting: int, more: int
) -> None:
    usual = deadlines.measure(600, settings=PodSettings())
    found = deadlines.measure(600, settings=written(f"jobs: {{waitingSeconds: {waiting}}}").decisions.pods)
    assert found.pod == usual.pod + more
    assert found.pod > waiting + 600
    assert found.job > found.pod


def test_a_claim_and_resources_replace_the_defaults_of_their_own_alone(written: Any) -> None:
    pods = written("artifacts: {claim: mine}\nresources: {build: {limits: {cpu: '8'}}}").decisions.pods
    assert pods.store.source == {"persistentVolumeClaim": {"claimName": "mine"}}
    assert pods.resources["build"] == {"requests": {}, "limits": {"cpu": "8"}}
    assert pods.resources["measure"] == PodSettings().resources["measure"]


def test_namespaces_are_watched_and_worked_in_apart(written: Any) -> None:
    found = written("watch: {namespaces: [a, b]}\nworkNamespaces: [a]")
    assert (found.namespaces, found.decisions.namespaces) == (("a", "b"), frozenset({"a"}))


def test_everything_that_is_wrong_is_said_at_once_with_its_place_and_remedy(written: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        written(
            "watch: {namespace: [a]}\ngpus: '2'\nimages: {pullPolicy: always}\nartifacts: {url: 's3://b', claim: c}"
        )
    assert [line.removeprefix(f"{tmp_path}/config.yaml:") for line in str(caught.value).splitlines()] == [
        "2:9: watch.namespace: unknown field; did you mean namespaces?",
        '4:22: images.pullPolicy: "always": must be Always, IfNotPresent or Never; did you mean Always?',
        "5:12: artifacts: url and claim are two stores; set one of them to null",
        '3:7: gpus: "2": must be a whole number, not a string; remove the quotes',
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("artifacts: {credentialsSecret: s}", "credentialsSecret is of a store behind an url"),
        ("artifacts: {accessMode: ReadWriteOncePod}", "use ReadWriteMany"),
        ("watch: {namespaces: [a]}\nworkNamespaces: [a, z]", 'workNamespaces: ["z"]: has namespaces that are not watched'),
        ("gpus: 1\ngpus: 2", "gpus"),
        ("a: [", "config.yaml"),
        ("---\ngpus: 1", "several documents"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(written: Any, text: str, words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        written(text)
    assert words in str(caught.value)


def test_a_missing_file_and_a_weak_key_are_said(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"nonceKeyFile": str(tmp_path / "key")}))
    with pytest.raises(SettingsError, match=r"nonceKeyFile: .*key cannot be read"):
        load(config)
    (tmp_path / "key").write_text("short")
    with pytest.raises(SettingsError, match="openssl rand -hex 32"):
        load(config)
