"""`isobench selftest` on this machine, and the Jobs that it prints for a cluster's."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from click.testing import CliRunner

from isobench_operator.cli import cli


def jobs(*arguments: str) -> list[dict]:
    done = CliRunner().invoke(cli, ["selftest", "--manifest", *arguments])
    assert done.exit_code == 0, done.output
    return list(yaml.safe_load_all(done.output))


@pytest.mark.parametrize("arguments", [(), ("--gpu",), ("--node", "a"), ("--nodes", "3", "-n", "bench")])
def test_jobs_pass_pod_security_restricted_and_are_guaranteed(arguments: tuple[str, ...]) -> None:
    for job in jobs(*arguments):
        pod = job["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert all(set(volume) == {"name", "emptyDir"} for volume in pod["volumes"])
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        (container,) = pod["containers"]
        context = container["securityContext"]
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"] == container["resources"]["limits"]
        assert container["resources"]["limits"]["cpu"].isdigit()
        assert ("nvidia.com/gpu" in container["resources"]["limits"]) is ("--gpu" in arguments)


def test_named_nodes_get_a_job_each_and_a_count_gets_one_pod_per_node() -> None:
    named = jobs("--node", "gpu-1.example.com", "--node", "gpu-2.example.com", "--image", "registry/runner@sha256:0")
    assert [job["metadata"]["name"] for job in named] == [
        "isobench-selftest-gpu-1-example-com",
        "isobench-selftest-gpu-2-example-com",
    ]
    assert [job["spec"]["template"]["spec"]["nodeSelector"]["kubernetes.io/hostname"] for job in named] == [
        "gpu-1.example.com",
        "gpu-2.example.com",
    ]
    assert named[0]["spec"]["template"]["spec"]["containers"][0]["image"] == "registry/runner@sha256:0"
    (counted,) = jobs("--nodes", "5", "-n", "bench")
    assert counted["metadata"]["namespace"] == "bench"
    spec = counted["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 5, 5)
    assert spec["backoffLimitPerIndex"] == 0
    (term,) = spec["template"]["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert term["labelSelector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("option", [("--node", "a"), ("--image", "x"), ("-n", "x"), ("--gpu",)])
def test_what_belongs_to_a_manifest_is_refused_without_one(option: tuple[str, ...]) -> None:
    done = CliRunner().invoke(cli, ["selftest", *option])
    assert done.exit_code == 2
    assert "belongs to --manifest" in done.output


@pytest.mark.slow
def test_this_machine_is_told_in_one_json_line_and_in_words() -> None:
    command = [
        sys.executable,
        "-c",
        "from isobench_operator.cli import main; main()",
        "selftest",
        "--budget",
        "6",
        "--seed",
        "5",
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    told = json.loads(done.stdout)
    assert done.returncode == (0 if told["ok"] else 1), done.stderr
    assert (told["seed"], told["budget_seconds"], told["injected"]["truth"]) == (5, 6, 1.05)
    assert told["same"]["rounds"] >= 1
    assert told["advice"]
    assert ("\nGood:" in done.stderr) is told["ok"]
    assert told["machine"]["kernel"]
    assert "the same code twice" in done.stderr
