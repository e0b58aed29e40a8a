"""A stored result gives the same verdict from its raw samples, and a result that was tampered with does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from isobench_runner.contract import MeasureRequest, Revision, StageError
from isobench_runner.reporting.measure import conclude
from isobench_runner.stats.recompute import recompute, stored_rule
from isobench_runner.stats.summary import Rule
from isobench_runner.store import Store
from support.rounds import make_rounds, write_out


def result_of(
    tmp_path: Path, *, ratio: float = 1.3, noise: float = 0.01, rounds: int = 16, **asked: Any
) -> dict[str, Any]:
    write_out(tmp_path, make_rounds(rounds=rounds, ratio=ratio, noise=noise))
    revisions = tuple(
        Revision(name=name, sha="a" * 40, environment="sha256:" + "0" * 64, key="k") for name in ("base", "head")
    )
    request = MeasureRequest(
        commit="c", nonce="n", repository_url="/x", repository="o/x", role="head", revisions=revisions,
        test="sha256:" + "1" * 64, origin="given", inputs="sha256:" + "2" * 64, **asked,
    )  # fmt: skip
    store = Store(tmp_path / "store")
    found = store.get_json(conclude(request, tmp_path, store).data["result"])
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.01, 1.3, 40])
@pytest.mark.parametrize("noise", [0.001, 0.05, 0.4])
@pytest.mark.parametrize("rounds", [3, 8, 11, 16, 40])
def test_every_number_of_a_result_comes_back_from_its_samples(
    tmp_path: Path, ratio: float, noise: float, rounds: int
) -> None:
    result = result_of(tmp_path, ratio=ratio, noise=noise, rounds=rounds)
    found = recompute(json.loads(json.dumps(result)))
    assert found.differences == ()
    assert found.summary.judgement.verdict == result["verdict"]


def test_the_floor_that_was_applied_is_applied_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISOBENCH_NODE", "n1")
    result = result_of(tmp_path, ratio=1.05, noise=0.002, floor_percent="8.0", floor_node="n1")
    assert result["verdict"] == "inconclusive"
    assert stored_rule(result) == Rule(delta=0.02, floor=0.08)
    assert recompute(result).differences == ()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r.update(verdict="slower"), "verdict"),
        (lambda r: r["statistics"].update(speedup=2.0), "speedup"),
        (lambda r: r["statistics"].update(ci95=[1.1, 1.2]), "ci95"),
        (lambda r: r["statistics"].update(human_performance=9.0), "human_performance"),
        (lambda r: r["rounds"].pop(), "rounds"),
        (lambda r: r["rounds"][0].update(discarded="throttled"), "discarded"),
        (lambda r: r["statistics"].update(cpu_ci95=None), "cpu_ci95"),
    ],
)
def test_a_result_that_was_changed_is_named_by_field(tmp_path: Path, change: Any, field: str) -> None:
    result = result_of(tmp_path)
    change(result)
    assert field in {one.field for one in recompute(result).differences}


def test_a_readers_rule_stands_beside_the_written_one(tmp_path: Path) -> None:
    found = recompute(result_of(tmp_path, ratio=1.05, noise=0.002), rule=Rule(delta=0.10, alpha=0.05))
    assert found.summary.judgement.verdict == "faster"
    assert found.by_rule is not None
    assert (found.by_rule.judgement.verdict, found.by_rule.judgement.level) == ("negligible", 0.95)


@pytest.mark.parametrize(
    "result",
    [
        {}, {"revisions": [1]}, {"revisions": [{"name": "base"}, {"name": "head"}], "rounds": []},
        {"revisions": [{"name": "base"}, {"name": "head"}], "rounds": [{}], "statistics": {"minimum_effect_percent": "2"}, "plan": {}},
        {"revisions": [{"name": "base"}, {"name": "head"}], "rounds": [], "statistics": {"minimum_effect_percent": "x"}, "plan": {}},
    ],
)  # fmt: skip
def test_what_holds_no_samples_is_refused_in_words(result: dict[str, Any]) -> None:
    with pytest.raises(StageError):
        recompute(result)
