"""Importing: what an experiments.yaml becomes, item by item, and what is said of what it cannot become."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from isobench_operator.api.commit import Commit
from isobench_operator.api.dataset import Dataset
from isobench_operator.documents import load
from isobench_operator.importing import ImportFailure, ImportReport, import_experiments, look_at
from support.repositories import Repository

FIRST = "0f40557af6141ced118b81f2a04e651a0c6c9dbd"
SECOND = "21d93c140d0a97af5f0c59e660cf04bd417fd424"
SCRIPT = "def experiment(data):\n    return 1\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working copy of somebody's: configs/, extractions/, tests/ and a clone."""
    for name in ("configs", "extractions", "tests", "vllm"):
        (tmp_path / name).mkdir()
    extraction(tmp_path, FIRST, csv_metadata={"category": "kernel-based"})
    extraction(tmp_path, SECOND)
    (tmp_path / "extractions" / "extraction_summary.json").write_text("{}")
    (tmp_path / "tests" / f"{FIRST[:8]}_test_case_generator.py").write_text(SCRIPT)
    (tmp_path / "tests" / f"{SECOND}_test_case_generator.py").write_text(SCRIPT)
    return tmp_path


def extraction(folder: Path, sha: str, *, file: str | None = None, **more: Any) -> None:
    body = {"commit_hash": sha, "message": "m", "files_changed": [], **more}
    (folder / "extractions" / (file or f"{sha}.json")).write_text(json.dumps(body))


def write(folder: Path, **fields: Any) -> Path:
    body = {
        "repo_path": "./vllm",
        "extractions_dir": "./extractions",
        "use_docker": False,
        "dataset_name": "vllm_with_test",
    }
    path = folder / "configs" / "experiments.yaml"
    path.write_text(yaml.safe_dump({**body, **fields}))
    return path


def run(folder: Path, *, run_commands: bool = False, tests: bool = True, **fields: Any) -> ImportReport:
    return import_experiments(
        write(folder, **fields), folder / "out", run_commands=run_commands, tests=folder / "tests" if tests else None
    )


def document(folder: Path, name: str) -> dict[str, Any]:
    body: dict[str, Any] = yaml.safe_load((folder / "out" / f"{name}.yaml").read_text())
    return body


def as_the_api_server_holds_it(body: Any) -> Any:
    """`file:` and `env:` replaced by the references that they stand for."""
    if isinstance(body, list):
        return [as_the_api_server_holds_it(item) for item in body]
    if not isinstance(body, dict):
        return body
    if set(body) == {"file"}:
        return {"configMapKeyRef": {"name": "x", "key": "x"}}
    result = {key: as_the_api_server_holds_it(value) for key, value in body.items() if key != "env"}
    return result | ({"secretKeyRef": {"name": "x", "key": "x"}} if "env" in body else {})


def test_every_extraction_becomes_a_commit_that_the_api_takes(folder: Path) -> None:
    report = run(folder, api="vllm.f", notes="by hand")
    assert [(item.name, item.test) for item in report.items if item.outcome == "written"] == [
        ("vllm-0f40557a", "hash8"),
        ("vllm-21d93c14", "full hash"),
    ]
    commit = Commit.model_validate(as_the_api_server_holds_it(document(folder, "vllm-0f40557a")))
    assert (commit.spec.head, commit.spec.category, commit.spec.base) == (FIRST, "kernel-based", None)
    assert commit.spec.repository.url == str(folder / "vllm")
    assert (commit.spec.environment.inherit, commit.spec.environment.path) == ("interpreter", (".",))
    assert (commit.spec.record.api, commit.spec.record.notes) == ("vllm.f", "by hand")
    dataset = Dataset.model_validate(document(folder, "dataset"))
    assert dataset.spec.source.commits is not None
    assert dataset.spec.source.commits.selector.match_labels == commit.metadata.labels
    assert dataset.metadata.name == "vllm-with-test"
    for item in (
        document(folder, "vllm-0f40557a")["spec"]["test"]["script"],
        document(folder, "vllm-0f40557a")["spec"]["extraction"],
    ):
        assert (folder / "out" / item["file"]).is_file()


def test_one_bad_item_never_stops_the_others(folder: Path) -> None:
    extraction(folder, "3" * 40)
    extraction(folder, "abcdef12", file="short.json")
    extraction(folder, FIRST, file="twice.json")
    (folder / "extractions" / "cut.json").write_text('{"commit_hash": "0f4')
    (folder / "extractions" / "notes.txt").write_text("hello")
    report = run(folder)
    words = {item.source: item.words for item in report.items if item.outcome == "refused"}
    assert set(words) == {f"{'3' * 40}.json", "short.json", "twice.json", "cut.json"}
    assert "33333333" in words[f"{'3' * 40}.json"]
    assert "abbreviated" in words["short.json"]
    assert words["twice.json"] == f"the same commit as {FIRST}.json"
    assert words["cut.json"].startswith("line 1, column 17")
    assert (report.count("written"), report.count("skipped")) == (2, 2)


def test_an_abbreviated_hash_is_resolved_where_a_repository_is_at_hand(folder: Path) -> None:
    extraction(folder, "abcdef12", file="short.json")
    (folder / "tests" / "abcdef12_test_case_generator.py").write_text(SCRIPT)
    report = import_experiments(
        write(folder),
        folder / "out",
        run_commands=False,
        tests=folder / "tests",
        resolve=lambda sha: sha.ljust(40, "0"),
    )
    assert document(folder, "vllm-abcdef12")["spec"]["head"] == "abcdef12".ljust(40, "0")
    assert report.count("refused") == 0


def test_commands_are_listed_and_run_only_on_demand(folder: Path) -> None:
    lines = {
        "setup_commands": ["pip install wheel", "sudo apt-get install -y gcc"],
        "install_commands": ["pip install -e ."],
    }
    report = run(folder, **lines)
    assert [(command.line, command.remarks) for command in report.commands] == [
        ("sudo apt-get install -y gcc", ("sudo", "apt")),
        ("pip install wheel", ()),
        ("pip install -e .", ()),
    ]
    spec = document(folder, "vllm-0f40557a")["spec"]
    assert spec["environment"] == {"inherit": "interpreter", "path": ["."]}
    assert "install, not run: pip install -e ." in spec["record"]["notes"]
    run(folder, run_commands=True, **lines)
    spec = document(folder, "vllm-0f40557a")["spec"]
    assert spec["environment"] == {"setup": lines["setup_commands"], "install": lines["install_commands"]}
    assert "record" not in spec


def test_a_container_is_carried_over(folder: Path) -> None:
    run(folder, use_docker=True, docker_image="vllm/bench:latest")
    assert document(folder, "vllm-0f40557a")["spec"]["environment"] == {"image": "vllm/bench:latest", "path": ["."]}


def test_a_model_writes_what_no_script_is_there_for(folder: Path) -> None:
    model = {"llm_provider": "openai", "llm_model": "gpt-4o", "llm_temperature": 0.1, "llm_max_tokens": 65536}
    report = run(folder, tests=False, **model)
    assert {item.test for item in report.items if item.name} == {"model"}
    commit = Commit.model_validate(as_the_api_server_holds_it(document(folder, "vllm-0f40557a")))
    assert commit.spec.test.generate is not None
    assert (commit.spec.test.generate.temperature, commit.spec.test.generate.max_tokens) == ("0.1", 65536)
    assert document(folder, "vllm-0f40557a")["spec"]["test"]["generate"]["models"][0]["env"] == "OPENAI_API_KEY"


def test_a_folder_of_extractions_knows_its_repository_by_its_pull_requests(folder: Path) -> None:
    extraction(folder, FIRST, pr_url="https://github.com/vllm-project/vllm/pull/32")
    report = import_experiments(folder / "extractions", folder / "out", run_commands=False, tests=folder / "tests")
    assert document(folder, "vllm-0f40557a")["spec"]["repository"]["url"] == "https://github.com/vllm-project/vllm.git"
    assert next(item.words for item in report.items if item.source == f"{SECOND}.json") == (
        "nothing says which repository it is of; give --repository URL"
    )


def test_what_is_not_carried_over_is_said(folder: Path) -> None:
    report = run(folder, push_to_hf=True, hf_repo="https://huggingface.co/x", colour="blue", repo_path="./not-cloned")
    assert report.notes[0] == "keys that mean nothing here: colour"
    assert report.notes[1].startswith("push_to_hf: the Dataset is published to https://huggingface.co/x with the token")
    assert yaml.safe_load((folder / "out" / "dataset.yaml").read_text())["spec"]["publish"]["env"] == "HF_TOKEN"
    assert report.items[0].words.endswith("not-cloned is not there yet: clone it")


def test_an_extraction_too_large_for_a_configmap_loses_its_old_files(folder: Path) -> None:
    file = {"file_path": "a.py", "old_content": "x" * 1_200_000, "diff": "d", "change_type": "modified"}
    extraction(folder, FIRST, files_changed=[file])
    run(folder)
    kept = json.loads((folder / "out" / "extractions" / f"{FIRST}.json").read_text())
    assert kept["files_changed"] == [{"file_path": "a.py", "diff": "d", "change_type": "modified"}]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"extractions_dir": None}, "extractions_dir is missing"),
        ({"extractions_dir": "./nowhere"}, "extractions_dir: './nowhere' is no folder"),
        ({"use_docker": True}, "docker_image is empty"),
        ({"use_docker": "yes please"}, "use_docker: true or false is wanted, not 'yes please'"),
        ({"install_commands": {"a": 1}}, "install_commands: a list of shell lines is wanted"),
        ({"repo_path": ["a"]}, "repo_path: a string is wanted"),
    ],
)
def test_a_field_of_the_wrong_kind_is_named(folder: Path, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ImportFailure) as failure:
        run(folder, **fields)
    assert words in str(failure.value)
    assert "experiments.yaml" in str(failure.value)


@pytest.mark.parametrize(("text", "words"), [("a: [1\n", "line 2, column 1"), ("- 1\n", "is a mapping, this is list")])
def test_what_is_no_experiments_yaml_says_where(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "e.yaml").write_text(text)
    with pytest.raises(ImportFailure, match=words):
        import_experiments(tmp_path / "e.yaml", tmp_path / "out", run_commands=False, tests=None)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImportFailure, match="No such file"):
        import_experiments(tmp_path / "e.yaml", tmp_path / "out", run_commands=False, tests=None)


@pytest.mark.parametrize(
    ("line", "remarks"),
    [
        ("pip install -e . > /dev/null", ()),
        ("pip install --no-build-isolation -e .[all]", ()),
        ("python -m pip install adapter", ()),
        ("sudo make install", ("sudo",)),
        ("apt update && apt install gcc", ("apt",)),
        ("echo x >> ~/.bashrc", ("writes outside the tree",)),
        ("cp build/x.so /usr/lib/", ("writes outside the tree",)),
        ("rm -rf /opt/x", ("writes outside the tree",)),
        ("pip install --user x", ("writes outside the tree",)),
        ("pip install --target=/srv/x x", ("writes outside the tree",)),
        ("curl -o $HOME/x https://y/z", ("writes outside the tree",)),
        ("make > build.log", ()),
    ],
)
def test_remarkable_commands(line: str, remarks: tuple[str, ...]) -> None:
    assert look_at([line], [])[0].remarks == remarks


def test_the_whole_folder_loads_as_isobench_run_would_load_it(folder: Path) -> None:
    Repository.create(folder / "vllm").commit({"a.py": "1\n"})
    (folder / "tests" / f"{SECOND}_test_case_generator.py").unlink()
    model = {"llm_provider": "anthropic", "llm_model": "some-model", "llm_temperature": 0.1}
    report = run(folder, install_commands=["pip install ."], run_commands=True, notes="by hand", **model)
    bundle = load(report.written, environ={"ANTHROPIC_API_KEY": "k"})
    assert sorted(commit["metadata"]["name"] for commit in bundle.commits) == ["vllm-0f40557a", "vllm-21d93c14"]
    assert [dataset["metadata"]["name"] for dataset in bundle.datasets] == ["vllm-with-test"]
    texts = [text for config_map in bundle.config_maps.values() for text in config_map.values()]
    assert SCRIPT in texts
    assert sum(FIRST in text for text in texts) == 1
