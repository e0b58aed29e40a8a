"""Views against the schemas of those who read them."""

import json
import subprocess
from pathlib import Path

import jsonschema
import pytest

from isobench_runner.records.card import COLUMNS, card
from isobench_runner.records.funnel import Funnel
from isobench_runner.records.parquet import SCHEMA
from isobench_runner.records.record import Artifacts, assemble
from isobench_runner.records.views import CANONICAL, VIEWS
from isobench_runner.store import Store
from support.run_folder import CASES, commit_document

SCHEMAS = Path(__file__).parents[2] / "data" / "schemas"


@pytest.fixture(params=[case for case in CASES if case.reason is None], ids=lambda case: case.name)
def record(request, tmp_path):
    store = Store(tmp_path)
    assembled = assemble(commit_document(request.param, store), Artifacts(store), tool_version="1")
    return {**assembled, "instance_id": "pypa__packaging-PR-1082"}


@pytest.mark.parametrize("view", sorted(VIEWS))
def test_every_view_meets_its_readers_schema(view, record):
    schema = json.loads((SCHEMAS / f"{view}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(json.loads(json.dumps(VIEWS[view](record), allow_nan=False)), schema)


def test_canonical_holds_published_keys_alone_and_of_durations_base_and_head(record):
    view = VIEWS["canonical"](record)
    published = json.loads((SCHEMAS / "canonical.json").read_text())["properties"]
    assert set(CANONICAL) | {"problem_statement_oracle", "problem_statement_realistic"} == set(published)
    assert set(view) == set(CANONICAL) - {"notes"}
    assert [set(item) for item in view["duration_changes"]] == [{"base", "head"}]


def test_swe_perf_counts_in_seconds_under_the_name_of_its_test(record):
    view = VIEWS["swe-perf"](record)
    durations = json.loads(view["duration_changes"])
    first = durations[0][view["efficiency_test"][0]]
    assert first["base"] * 1000 == pytest.approx(record["duration_changes"][0]["base"][0])
    assert len(durations) == len(record["duration_changes"][0]["head"])


def test_swe_perfs_problem_statement_does_not_quote_the_commit(record):
    view = VIEWS["swe-perf"](record)
    subject = record["gt_commit_message"].partition("\n")[0]
    assert subject not in view["problem_statement_realistic"] + view["problem_statement_oracle"]


@pytest.mark.parametrize("script", ["print(1)\n", "print(1)", "a\n\n\x0cb\r\n"])
def test_swe_perfs_test_patch_adds_the_script_byte_for_byte(script, record, tmp_path):
    view = VIEWS["swe-perf"]({**record, "test_patch": "", "efficiency_test": [script]})
    subprocess.run(["git", "init", "-q", tmp_path / "tree"], check=True)
    apply = ["git", "-c", "core.autocrlf=false", "apply", "--whitespace=nowarn", "-"]
    subprocess.run(apply, cwd=tmp_path / "tree", input=view["test_patch"].encode(), check=True)
    assert (tmp_path / "tree" / view["efficiency_test"][0]).read_bytes() == script.encode()


def test_gso_names_the_optimised_commit_and_carries_the_whole_diff(record):
    view = VIEWS["gso"](record)
    assert view["opt_commit"] == record["head_commit"]
    assert view["gt_diff"] == record["patch"] + record["test_patch"]
    assert view["arch"] == "x86_64"


def test_every_column_is_explained_on_the_card():
    assert list(COLUMNS) == SCHEMA.names


def test_hostile_words_cannot_leave_their_cell_of_the_card():
    funnel = Funnel(commits=1)
    funnel.fail({"metadata": {"name": "x"}}, "InstallFailed", "a\n| b | <script>alert(1)</script> `rm`\n")
    text = card("d", funnel.body(), records=0, kept=0, repositories=0, files=["d.jsonl"])
    assert "<script>" not in text
    row = next(line for line in text.splitlines() if line.startswith("| x |"))
    assert row.count("|") == 4
