"""The main job on a real API server and a real kubelet, as a user sees it: a Commit applied, a speedup printed, a Dataset to pull."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from support.kube import condition, is_true, told, until
from support.tiny import SCRIPT

from .lab import IMAGE, ROOT, Lab
from .servers import ModelServer

DEMO = ROOT / "examples" / "demo.yaml"


def demo_commit(lab: Lab, example_repositories: Path) -> list[dict]:
    """The README's first example, its repository served from inside of the cluster."""
    commit = next(yaml.safe_load_all(DEMO.read_text()))
    script = (DEMO.parent / commit["spec"]["test"]["script"]["file"]).read_text()
    commit["spec"]["repository"] = {
        "url": lab.git.serve("packaging", example_repositories / "packaging"),
        "name": "pypa/packaging",
    }
    commit["spec"]["environment"] |= {"image": IMAGE, "inherit": "none"}
    commit["spec"]["measurement"]["budgetSeconds"] = 40  # one CPU for the test and its clock is little
    commit["spec"]["test"] = {"script": {"configMapKeyRef": {"name": "packaging-test", "key": "test.py"}}}
    config_map = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "packaging-test"},
        "data": {"test.py": script},
    }
    return [config_map, commit]


def test_a_real_commit_becomes_a_speedup_and_a_dataset(lab: Lab, example_repositories: Path, tmp_path: Path) -> None:
    lab.kube.apply(*demo_commit(lab, example_repositories), namespace=lab.namespace)
    body = lab.ended_as("packaging-26", "Faster", seconds=600)
    result = body["status"]["result"]
    assert result["verdict"] == "faster"
    assert float(result["speedup"]) > 1.3
    assert float(result["ci95"][0]) > 1.0
    printed = lab.kube.kubectl("get", "commits", "packaging-26", "-n", lab.namespace)
    assert result["speedup"] in printed, printed
    lab.kube.kubectl("wait", "--for=condition=Finished", "commit/packaging-26", "-n", lab.namespace, "--timeout=5s")
    dataset = {
        "apiVersion": "isobench.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "demo"},
        "spec": {"source": {"commits": {"selector": {"matchLabels": {"example": "demo"}}}}, "views": ["canonical"]},
    }
    lab.kube.apply(dataset, namespace=lab.namespace)
    collected = until(
        "the Dataset is collected",
        lambda: (found := lab.kube.get("Dataset", "demo", lab.namespace)) and is_true(found, "Succeeded") and found,
    )
    assert collected["status"]["records"] == 1, told(collected)
    (record,) = lab.records("demo", tmp_path)
    assert "rounds" in lab.isobench("logs", "packaging-26", "head", "-n", lab.namespace)
    listed = json.loads(lab.isobench("gc", "-n", lab.namespace, "--output", "json"))
    assert listed["kept"]["blobs"] > 5, listed
    assert listed["unreferenced"]["blobs"] == [], "all of it is younger than a day"
    assert record["repo"] == "pypa/packaging"
    assert f"{record['speedup']:.4g}" == result["speedup"]
    times = record["duration_changes"][0]
    mean = (sum(times["base"]) / len(times["base"])) / (sum(times["head"]) / len(times["head"]))
    assert abs(float(record["human_performance"]) / mean - 1) < 1e-9
    assert record["image_digest"].startswith("sha256:")
    assert record["isolation"] == "pod"


def test_a_model_writes_the_test(lab: Lab, model: ModelServer) -> None:
    lab.kube.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "model-key"},
            "stringData": {"key": "sk-canary-4711"},
        },
        namespace=lab.namespace,
    )
    lab.commit("generated", script=None, test=generate(model))
    body = lab.ended_as("generated", "Faster", seconds=400)
    test = body["status"]["test"]
    assert (test["origin"], test["model"]) == ("generated", "tiny-writer")
    assert int(body["status"]["usage"]["promptTokens"]) > 0
    for pod in lab.kube.pods_of("generated", lab.namespace):
        role = pod["metadata"]["labels"]["isobench.dev/role"]
        assert ("model-key" in json.dumps(pod["spec"])) == (role == "generate"), role
        assert "sk-canary-4711" not in lab.kube.kubectl(
            "logs", "-n", lab.namespace, pod["metadata"]["name"], "--all-containers"
        )


def generate(model: ModelServer, *, name: str = "tiny-writer") -> dict:
    """`spec.test` that asks the model server; of another model an accepted script is not taken again."""
    return {
        "generate": {
            "models": [
                {
                    "provider": "openai",
                    "model": name,
                    "baseURL": model.url,
                    "secretKeyRef": {"name": "model-key", "key": "key"},
                }
            ]
        }
    }


def test_the_record_is_that_of_the_embedded_runtime_up_to_timings(lab: Lab, tmp_path: Path) -> None:
    """Timings, fingerprint and image may differ between a cluster and a laptop; nothing else may."""
    lab.commit("same", labels={"dataset": "same"})
    lab.ended_as("same", "Faster")
    dataset = {
        "apiVersion": "isobench.dev/v1alpha1",
        "kind": "Dataset",
        "metadata": {"name": "same"},
        "spec": {"source": {"commits": {"selector": {"matchLabels": {"dataset": "same"}}}}},
    }
    lab.kube.apply(dataset, namespace=lab.namespace)
    until("collected", lambda: is_true(lab.kube.get("Dataset", "same", lab.namespace), "Succeeded"))
    (cluster,) = lab.records("same", tmp_path / "cluster")
    embedded = lab.embedded("same", tmp_path / "embedded")
    assert sorted(cluster) == sorted(embedded)
    for name in sorted(set(cluster) - MAY_DIFFER):
        assert cluster[name] == embedded[name], name


TIMINGS = {
    "duration_changes", "human_performance", "speedup", "ci95", "ci_level", "rounds", "noise_floor_percent", "cold_speedup", "cold_ci95",
    "cpu_speedup", "cpu_ci95", "changed_share", "flags", "finished_at",
}  # fmt: skip
MACHINE = {"fingerprint", "cpu", "gpu", "isolation", "provenance", "environments"}
"""`environments` are keys over the interpreter, and provenance has the seed that is made of the Job's name."""
IMAGE_FIELDS = {"image", "image_digest", "version", "notes"}
"""A note of the embedded record says that the image was ignored."""
MAY_DIFFER = TIMINGS | MACHINE | IMAGE_FIELDS


@pytest.mark.everything
def test_what_kubectl_prints_answers_whether_it_got_faster(lab: Lab) -> None:
    lab.commit("printed")
    body = lab.ended_as("printed", "Faster")
    wide = lab.kube.kubectl("get", "isobench", "-n", lab.namespace, "-o", "wide")
    assert "printed" in wide
    described = lab.kube.kubectl("describe", "commit", "printed", "-n", lab.namespace)
    assert condition(body, "Succeeded")["message"] in described
    assert any(event["reason"] == "Faster" for event in lab.kube.events_of("printed", lab.namespace))
    assert SCRIPT.splitlines()[0] not in json.dumps(body)
