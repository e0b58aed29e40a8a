"""The small decisions of a build: interpreters by name, blobs, what lines may see, outcomes."""

from __future__ import annotations

import ast
import json
import subprocess
from pathlib import Path

import pytest

import isobench_runner.harness
from isobench_runner.harness import build_environment, building, proof, wire
from isobench_runner.harness.build_errors import BuildError
from isobench_runner.harness.build_interpreters import find, matches, wanted_version
from isobench_runner.harness_archive import archive_bytes, build_archive

HARNESS = sorted(Path(isobench_runner.harness.__path__[0]).glob("*.py"))


@pytest.mark.parametrize("path", HARNESS, ids=lambda path: path.name)
def test_the_harness_is_written_in_the_syntax_of_the_oldest_python(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


def test_equal_files_give_equal_archives(tmp_path: Path) -> None:
    assert build_archive(tmp_path / "a.pyz") == build_archive(tmp_path / "b.pyz")
    assert (tmp_path / "a.pyz").read_bytes() == archive_bytes()


@pytest.mark.parametrize(
    ("spec", "version"),
    [
        ("3.8", "3.8"),
        ("python3.11", "3.11"),
        ("cpython-3.12.1", "3.12.1"),
        ("3", "3"),
        ("pypy3.10", None),
        (">=3.8", None),
    ],
)
def test_versions_are_read_from_the_usual_names(spec: str, version: str | None) -> None:
    assert wanted_version(spec) == version


def test_a_version_is_matched_by_whole_numbers() -> None:
    assert matches("3.11.7", "3.11")
    assert matches("3.11.7", "3.11.7")
    assert not matches("3.11.7", "3.1")


def test_an_interpreter_that_is_not_there_lists_those_found() -> None:
    with pytest.raises(BuildError, match=r"no Python 3\.99 was found\. Found:\n") as caught:
        find(None, "3.99")
    assert caught.value.reason == "InterpreterNotFound"


def test_blobs_are_named_as_git_names_them(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"one\ntwo\n")
    done = subprocess.run(["git", "hash-object", "a"], cwd=tmp_path, check=True, capture_output=True, text=True)
    assert proof.git_blob(b"one\ntwo\n") == done.stdout.strip()


def test_installed_files_are_compared_with_the_revision_s_of_the_same_place(tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    (site / "thing" / "sub").mkdir(parents=True)
    (site / "thing" / "__init__.py").write_bytes(b"same")
    (site / "thing" / "sub" / "__init__.py").write_bytes(b"other")
    (site / "thing" / "_version.py").write_bytes(b"generated")
    blobs = {
        "src/thing/__init__.py": proof.git_blob(b"same"),
        "src/thing/sub/__init__.py": proof.git_blob(b"it was this"),
        "tests/__init__.py": proof.git_blob(b"generated"),
    }
    assert proof.compare_installed([str(site / "thing")], [str(site)], blobs) == (1, 2)


def test_a_distribution_counts_as_the_tree_s_by_its_direct_url_alone(tmp_path: Path) -> None:
    tree, site = tmp_path / "a tree", tmp_path / "site"
    (site / "thing-1.dist-info").mkdir(parents=True)
    tree.mkdir()
    url = site / "thing-1.dist-info" / "direct_url.json"
    assert not proof.installed_from(str(tree), [str(site)])
    url.write_text(json.dumps({"url": (tmp_path / "elsewhere").as_uri()}))
    assert not proof.installed_from(str(tree), [str(site)])
    url.write_text(json.dumps({"url": tree.as_uri()}))
    assert proof.installed_from(str(tree), [str(site)])


def test_lines_see_no_setting_of_somebody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("PIP_FIND_LINKS", "PIP_CONSTRAINT", "UV_EXTRA_INDEX_URL", "PYTHONPATH", "GIT_DIR", "CONDA_PREFIX"):
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("CUDA_HOME", "/cuda")
    plan = {"env_dir": str(tmp_path), "sha": "a" * 40}
    seen = build_environment.line_variables(plan, home="/h", index_url="http://i", pip_cache="/c", ca_bundle="/ca")
    assert not {
        "PIP_FIND_LINKS",
        "PIP_CONSTRAINT",
        "UV_EXTRA_INDEX_URL",
        "PYTHONPATH",
        "GIT_DIR",
        "CONDA_PREFIX",
    } & set(seen)
    assert seen["CUDA_HOME"] == "/cuda"
    assert seen["PIP_INDEX_URL"] == seen["UV_DEFAULT_INDEX"] == "http://i"
    assert seen["PATH"].startswith(f"{tmp_path}/env/bin:")
    assert (seen["ISOBENCH_SHA"], seen["ISOBENCH_TREE"]) == ("a" * 40, f"{tmp_path}/tree")
    assert "127.0.0.1" in seen["NO_PROXY"]


def test_a_container_before_that_failed_is_noticed_and_nothing_else_is(tmp_path: Path) -> None:
    assert not wire.failed_before(str(tmp_path))
    (tmp_path / "outcome.json").write_text('{"reason": null}')
    assert not wire.failed_before(str(tmp_path))
    (tmp_path / "outcome.json").write_text('{"reason": "CommitNotFound"}')
    assert wire.failed_before(str(tmp_path))


def test_an_outcome_is_wholly_there_or_not_at_all(tmp_path: Path) -> None:
    wire.write_outcome(str(tmp_path), "build", "InstallFailed", "x" * 50_000)
    body = json.loads((tmp_path / "outcome.json").read_bytes())
    assert (body["v"], body["stage"], body["reason"], len(body["tail"])) == (1, "build", "InstallFailed", 20_000)
    assert [path.name for path in tmp_path.iterdir()] == ["outcome.json"]


def test_a_plan_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"v": 2}')
    with pytest.raises(wire.PlanError, match="version 1"):
        building.main(str(tmp_path), str(tmp_path))
