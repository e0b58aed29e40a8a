"""A stored result gives the same verdict from its raw samples, and a result that was tampered with does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from isobench_runner.contract import MeasureRequest, Revision, StageError
from isobench_runner.reporting.measure import conclude
from isobench_runner.stats.recompute import recompute, stored_rule
from isobench_runner.stats.summary import Rule
from isobench_runner.store import Store
from support.rounds import make_rounds, write_out


def written(root: Path, lines: list[dict[str, Any]], *, role: str = "head", **asked: Any) -> dict[str, Any]:
    """What the report keeps of these rounds: the result, or the evidence of a refusal."""
    write_out(root, lines)
    names = ("base", "base2" if role == "base" else role)
    revisions = tuple(Revision(name=name, sha="a" * 40, environment="sha256:" + "0" * 64, key="k") for name in names)
    request = MeasureRequest(
        commit="c", nonce="n", repository_url="/x", repository="o/x", role=role, revisions=revisions,
        test="sha256:" + "1" * 64, origin="given", inputs="sha256:" + "2" * 64, **asked,
    )  # fmt: skip
    store = Store(root / "store")
    data = conclude(request, root, store).data
    found = store.get_json(data.get("result") or data["evidence"])
    assert isinstance(found, dict)
    return found


def result_of(
    tmp_path: Path, *, ratio: float = 1.3, noise: float = 0.01, rounds: int = 16, **asked: Any
) -> dict[str, Any]:
    return written(tmp_path, make_rounds(rounds=rounds, ratio=ratio, noise=noise), **asked)


@pytest.mark.parametrize("ratio", [0.7, 1.0, 1.01, 1.3, 40])
@pytest.mark.parametrize("noise", [0.001, 0.05, 0.4])
@pytest.mark.parametrize("rounds", [3, 8, 11, 16, 40])
def test_every_number_of_a_result_comes_back_from_its_samples(
    tmp_path: Path, ratio: float, noise: float, rounds: int
) -> None:
    result = result_of(tmp_path, ratio=ratio, noise=noise, rounds=rounds)
    found = recompute(json.loads(json.dumps(result)))
    assert found.differences == ()
    assert found.verdict == result["verdict"]


def gpu_rounds(change: Callable[[int, dict[str, Any]], None] | None = None, *, other: str = "head") -> list[Any]:
    """Sixteen rounds with a card's counters; `change` spoils a round's by its index."""
    lines = make_rounds(rounds=16, ratio=1.3 if other == "head" else 1.0, noise=0.004, other=other)
    for index, line in enumerate(lines):
        line["gpu"] = {
            "reasons": 4,
            "foreign_processes": 0,
            "sample_clocks_mhz": {"base": [1800] * 3, other: [1500] * 3},
        }
        line["spent_ns"] = {"start": 0, "samples": 10**9, "end": 0}
        if change is not None:
            change(index, line)
    return lines


def test_a_gpus_counters_are_heard_again_and_a_sound_result_comes_back(tmp_path: Path) -> None:
    result = written(tmp_path, gpu_rounds())
    assert result["gpu"] == {"clock_ratio": 1.2, "degraded": False, "gpu_shares": {"base": None, "head": None}}
    found = recompute(json.loads(json.dumps(result)))
    assert (found.verdict, found.why, found.differences) == ("faster", None, ())


SPOILED: dict[str, tuple[Callable[[int, dict[str, Any]], None], str]] = {
    "a hardware slowdown": (lambda index, line: line["gpu"].update(reasons=0x40 * (index == 3)), "round 3"),
    "another process": (lambda index, line: line["gpu"].update(foreign_processes=int(index == 7)), "round 7"),
    "heat in some rounds": (lambda index, line: line["gpu"].update(reasons=0x20 * (index % 2)), "8 of 16"),
    "a drifting clock": (
        lambda index, line: line["gpu"]["sample_clocks_mhz"].update(base=[1800 - 20 * index] * 3),
        "base's own GPU clock",
    ),
    "too many left out": (lambda index, line: line.update(discarded="the GPU reported" if index < 6 else None), "6 of 16"),
    "every round left out": (lambda index, line: line.update(discarded="the GPU reported"), "not one round"),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_a_refusal_comes_back_from_its_samples_in_the_same_words(tmp_path: Path, name: str) -> None:
    change, words = SPOILED[name]
    evidence = written(tmp_path, gpu_rounds(change))
    assert evidence["reason"] == "Incomparable"
    found = recompute(json.loads(json.dumps(evidence)))
    assert (found.verdict, found.differences) == ("incomparable", ())
    assert found.why == evidence["tail"]
    assert words in found.why


@pytest.mark.parametrize("name", SPOILED)
def test_a_refusal_of_sound_rounds_and_a_verdict_over_spoiled_ones_are_found(tmp_path: Path, name: str) -> None:
    change, _ = SPOILED[name]
    spoiled, sound = gpu_rounds(change), gpu_rounds()
    refusal = recompute(written(tmp_path / "refused", spoiled) | {"rounds": sound})
    assert [(one.field, one.stored, one.recomputed) for one in refusal.differences] == [("verdict", "incomparable", "faster")]  # fmt: skip
    verdict = recompute(written(tmp_path / "told", sound) | {"rounds": spoiled})
    assert [(one.field, one.stored, one.recomputed) for one in verdict.differences] == [("verdict", "faster", "incomparable")]  # fmt: skip


def test_base_that_differed_from_itself_differs_again(tmp_path: Path) -> None:
    evidence = written(tmp_path, make_rounds(rounds=16, ratio=1.2, other="base2"), role="base")
    found = recompute(evidence)
    assert (found.verdict, found.why, found.differences) == ("incomparable", evidence["tail"], ())


def test_the_noise_floor_of_base_beside_itself_is_found_again_or_named(tmp_path: Path) -> None:
    result = written(tmp_path, make_rounds(rounds=16, ratio=1.01, noise=0.002, other="base2"), role="base")
    assert result["noise_floor_percent"] == pytest.approx(1.0, abs=0.2)
    assert recompute(result).differences == ()
    result["noise_floor_percent"] = 0.1
    assert [one.field for one in recompute(result).differences] == ["noise_floor_percent"]


def test_samples_that_are_not_those_of_the_rounds_are_named(tmp_path: Path) -> None:
    result = written(tmp_path, make_rounds(rounds=8, ratio=1.5))
    result["samples_ms"]["head"][3] *= 0.9
    assert [one.field for one in recompute(result).differences] == ["samples_ms"]


def test_a_clock_ratio_that_was_written_over_is_named(tmp_path: Path) -> None:
    result = written(tmp_path, gpu_rounds())
    result["gpu"] = {"clock_ratio": 1.0, "degraded": True}
    assert {one.field for one in recompute(result).differences} == {"gpu.clock_ratio", "gpu.degraded"}


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
    assert found.verdict == "faster"
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
