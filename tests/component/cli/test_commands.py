"""The command line's smaller commands, through click as a shell would call them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from isobench_operator.cli import cli
from isobench_runner.contract import Reason
from support.fake_llm import FakeLLM, Say
from support.scripts import GOOD, HEAD, PATCH
from support.tiny import Tiny


def invoke(*arguments: str | Path, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments], env=env)


@pytest.mark.parametrize(
    "name",
    [
        "run",
        "validate",
        "new",
        "report",
        "explain",
        "generate",
        "import",
        "bundle",
        "env",
        "completion",
        "recompute",
        "selftest",
    ],
)
def test_every_command_teaches_itself(name: str) -> None:
    result = invoke(name, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 4


def test_a_mistyped_command_is_told_the_near_one() -> None:
    result = invoke("vaildate")
    assert result.exit_code == 2
    assert "Did you mean 'validate'?" in result.output


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_is_explained(reason: Reason) -> None:
    result = invoke("explain", reason.value)
    assert result.exit_code == 0
    assert "What to do:" in result.output


def test_reasons_are_machine_readable_and_near_misses_are_named() -> None:
    assert {row["reason"] for row in json.loads(invoke("explain", "-o", "json").output)} == set(Reason)
    result = invoke("explain", "InstalFailed")
    assert result.exit_code == 2
    assert "InstallFailed" in result.output
    assert "check_equivalence" in invoke("explain", "contract").output


def test_keys_are_masked_in_the_settings_that_env_shows() -> None:
    result = invoke("env", "-o", "json", env={"OPENAI_API_KEY": "sk-canary-0123456789"})
    assert result.exit_code == 0, result.output
    assert "canary" not in result.output
    rows = {row["name"]: row for row in json.loads(result.output)["settings"]}
    assert rows["OPENAI_API_KEY"]["source"] == "environment"


def test_validate_lists_every_error_in_text_and_json(tmp_path: Path) -> None:
    tiny = Tiny.create(tmp_path)
    document = tiny.commit()
    assert invoke("validate", tiny.manifest).exit_code == 0
    document["spec"]["head"] = "abc"
    document["spec"]["environment"]["timeout"] = 5
    text, parsed = invoke("validate", tiny.manifest), invoke("validate", tiny.manifest, "-o", "json")
    assert (text.exit_code, parsed.exit_code) == (2, 2)
    rows = json.loads(parsed.output)
    assert {row["path"] for row in rows} == {"spec.head", "spec.environment.timeout"}
    assert all(row["line"] > 0 and row["message"] for row in rows)
    assert "timeoutSeconds" in text.output


def test_a_new_manifest_is_valid_once_its_blanks_are_filled(tmp_path: Path) -> None:
    tiny = Tiny.create(tmp_path)
    (tmp_path / "t.py").write_text("x = 1\n")
    result = invoke("new", "commit", "--url", "repo", "--head", tiny.head, "--script", "t.py", "--package", "tinywork")
    (tmp_path / "commit.yaml").write_text(result.output)
    assert invoke("validate", tmp_path / "commit.yaml").output.startswith("Valid. Commits: 1,")


def test_a_bundle_carries_files_and_names_secrets_without_their_values(tmp_path: Path) -> None:
    tiny = Tiny.create(tmp_path)
    repository = {"url": "https://example.org/a/b.git"}
    model = {"provider": "openai", "model": "m", "env": "SOME_KEY"}
    tiny.commit("given", repository=repository)
    tiny.commit("generated", script=None, repository=repository, test={"generate": {"models": [model]}})
    result = invoke("bundle", tiny.manifest, env={"SOME_KEY": "sk-canary-0123456789"})
    assert result.exit_code == 0, result.output
    assert "canary" not in result.output
    assert "SOME_KEY" in result.output
    documents = list(yaml.safe_load_all(result.output))
    assert sorted(document["kind"] for document in documents) == ["Commit", "Commit", "ConfigMap"]
    without = invoke("bundle", tiny.manifest, env={"SOME_KEY": ""})
    assert without.exit_code == 0, without.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_program(shell: str) -> None:
    assert "isobench" in invoke("completion", shell).output


def test_generate_writes_scripts_and_an_index(tmp_path: Path) -> None:
    extraction = {
        "commit_hash": HEAD,
        "message": "Count faster",
        "files_changed": [{"file_path": "pkg/words.py", "diff": PATCH, "change_type": "modified"}],
    }
    (tmp_path / "extractions").mkdir()
    (tmp_path / "extractions" / "one.json").write_text(json.dumps(extraction))
    (tmp_path / "extractions" / "cut.json").write_text('{"commit_hash": "')
    with FakeLLM([Say(text=f"```python\n{GOOD}```")]) as server:
        env = {"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "sk-canary-0123456789"}
        result = invoke("generate", tmp_path / "extractions", "--out", tmp_path / "out", env=env)
    assert result.exit_code == 3, result.output
    assert "1 failed" in result.output
    (row,) = json.loads((tmp_path / "out" / "index.json").read_text())
    assert row["commit_hash"] == HEAD
    assert (tmp_path / "out" / row["script_path"]).read_text().strip() == GOOD.strip()


def test_generate_without_a_model_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    result = invoke(
        "generate",
        tmp_path / "x.json",
        "--out",
        tmp_path / "out",
        env={"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""},
    )
    assert result.exit_code == 2
    assert "OPENAI_API_KEY" in result.output


def test_an_imported_example_is_valid_and_lists_its_commands(tmp_path: Path) -> None:
    examples = Path(__file__).resolve().parents[3] / "examples" / "experiments"
    (tmp_path / "repo").mkdir()
    Tiny.create(tmp_path)
    result = invoke(
        "import", examples / "experiments.yaml", "--tests", examples / "tests", "--run-commands",
        "--repository", tmp_path / "repo", "--budget-seconds", "9", "--out", tmp_path / "out",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "install: pip install ." in result.output
    manifests = sorted((tmp_path / "out").glob("*.yaml"))
    assert invoke("validate", *manifests).output.startswith("Valid. Commits: 1,")
    assert "budgetSeconds: 9" in "".join(path.read_text() for path in manifests)


def test_report_of_a_folder_without_a_run_says_what_to_name(tmp_path: Path) -> None:
    result = invoke("report", tmp_path)
    assert result.exit_code == 2
    assert "status" in result.output
