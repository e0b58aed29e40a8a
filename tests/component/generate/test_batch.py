"""`isobench generate` as a library: a folder of extractions in, scripts and an index out."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isobench_runner.contract import Model, Reason, StageError
from isobench_runner.llm.asking import Asker
from isobench_runner.llm.batch import BatchItem, BatchReport, generate_batch
from isobench_runner.prompts_folder import release_prompt
from support.fake_llm import FakeLLM, Say, Step
from support.scripts import BROKEN, GOOD, extraction, markdown

HASHES = ["a" * 40, "b" * 40, "c" * 40]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "extractions"
    source.mkdir()
    for number, head in enumerate(HASHES):
        (source / f"{number}.json").write_text(json.dumps({**extraction(), "commit_hash": head}))
    (source / "extraction_summary.json").write_text('{"total": 3}')
    return source


@pytest.fixture
def serve() -> Iterator[Callable[..., FakeLLM]]:
    servers: list[FakeLLM] = []

    def make(script: Any) -> FakeLLM:
        servers.append(FakeLLM(script).__enter__())
        return servers[-1]

    yield make
    for server in servers:
        server.__exit__(None, None, None)


def generate(server: FakeLLM, source: Path, out: Path, **fields: Any) -> BatchReport:
    model = Model(provider="openai", model="m", base_url=server.url, max_tokens=100)
    return generate_batch(source, out, ask=Asker([model]), prompt=release_prompt("generate"), **fields)


def respond(body: dict[str, Any]) -> Step:
    """The second commit never gets a file that compiles."""
    return Say(text=markdown(BROKEN if HASHES[1] in str(body["messages"]) else GOOD))


def test_one_failure_never_stops_the_batch_and_is_reported(
    folder: Path, tmp_path: Path, serve: Callable[..., FakeLLM]
) -> None:
    (folder / "cut.json").write_text('{"commit_hash": "ddd')
    seen: list[tuple[BatchItem, int, int]] = []
    report = generate(serve(respond), folder, tmp_path / "out", progress=lambda *row: seen.append(row))
    assert [item.status for item in report.items] == ["written", "failed", "written", "failed"]
    assert [item.reason for item in report.failures] == [Reason.TEST_SYNTAX.value, Reason.INPUT_INVALID.value]
    assert [(done, all_) for _, done, all_ in seen] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    out = tmp_path / "out"
    assert (out / "aaaaaaaa_test_case_generator.py").read_text() == GOOD
    assert not (out / "bbbbbbbb_test_case_generator.py").exists()
    index = json.loads((out / "index.json").read_text())
    assert index[0] == {
        "commit_hash": HASHES[0],
        "script_path": "aaaaaaaa_test_case_generator.py",
        "category": "loops",
        "message": "count words faster",
    }
    assert [row["commit_hash"] for row in index] == [HASHES[0], HASHES[2]]
    with (out / "index.csv").open() as file:
        assert list(csv.DictReader(file)) == index
    errors = json.loads((out / "errors.json").read_text())
    assert [row["extraction"] for row in errors] == ["1.json", "cut.json"]
    assert "seems cut" in errors[1]["words"]
    assert len(json.loads((out / "attempts" / f"{HASHES[1]}.json").read_text())["attempts"]) == 3


def test_a_rerun_asks_only_for_what_is_missing_and_keeps_the_index(
    folder: Path, tmp_path: Path, serve: Callable[..., FakeLLM]
) -> None:
    server = serve([Say(text=markdown(GOOD))])
    out = tmp_path / "out"
    assert [item.status for item in generate(server, folder, out, limit=2).items] == ["written", "written"]
    assert [item.status for item in generate(server, folder, out, limit=2).items] == ["there", "there", "written"]
    assert len(server.received) == 3
    assert len(json.loads((out / "index.json").read_text())) == 3
    generate(server, folder, out, only_hash=HASHES[0][:10], regenerate=True)
    assert len(server.received) == 4
    assert len(json.loads((out / "index.json").read_text())) == 3


def test_one_commit_alone_can_be_asked_for(folder: Path, tmp_path: Path, serve: Callable[..., FakeLLM]) -> None:
    server = serve([Say(text=markdown(GOOD))])
    report = generate(server, folder, tmp_path / "out", only_hash=HASHES[2])
    assert [item.commit_hash for item in report.items] == [HASHES[2]]
    with pytest.raises(StageError, match="--only-hash") as raised:
        generate(server, folder, tmp_path / "out", only_hash="f" * 40)
    assert raised.value.reason is Reason.MISSING_INPUT


def test_seeds_win_and_cost_nothing(folder: Path, tmp_path: Path, serve: Callable[..., FakeLLM]) -> None:
    seeds = tmp_path / "seeds"
    seeds.mkdir()
    (seeds / "aaaaaaaa_test_case_generator.py").write_text(GOOD)
    (seeds / "bbbbbbbb_test_case_generator.py").write_text(BROKEN)
    server = serve([Say(text=markdown(GOOD))])
    report = generate(server, folder, tmp_path / "out", seeds=seeds)
    assert [item.status for item in report.items] == ["seed", "failed", "written"]
    assert len(server.received) == 1


def test_no_extraction_at_all_is_said(tmp_path: Path, serve: Callable[..., FakeLLM]) -> None:
    with pytest.raises(StageError, match="no extraction") as raised:
        generate(serve([Say(text="")]), tmp_path / "nothing", tmp_path / "out")
    assert raised.value.reason is Reason.MISSING_INPUT


def test_a_price_that_is_not_known_is_said_as_unknown(
    folder: Path, tmp_path: Path, serve: Callable[..., FakeLLM]
) -> None:
    report = generate(serve([Say(text=markdown(GOOD))]), folder, tmp_path / "out", limit=1)
    assert report.usd is None
    assert report.items[0].prompt_tokens == 1000
    assert replace(report, items=()).usd == "0.0000"
