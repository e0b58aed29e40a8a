"""The trusted report of a measuring Job recomputes everything and believes nothing else."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from isobench_runner.contract import MAX_MESSAGE_BYTES, MeasureRequest, Reason, Report, Revision, StageError
from isobench_runner.reporting.measure import conclude, decimal
from isobench_runner.store import Store
from support.rounds import make_rounds, write_out

SHA = "a" * 40


def request(role: str = "head", **change: Any) -> MeasureRequest:
    other = "base2" if role == "base" else role
    revisions = tuple(
        Revision(name=name, sha=SHA, environment="sha256:" + "0" * 64, key="k") for name in ("base", other)
    )
    fields: dict[str, Any] = {
        "role": role,
        "revisions": revisions,
        "test": "sha256:" + "1" * 64,
        "origin": "given",
        "inputs": "sha256:" + "2" * 64,
    }
    return MeasureRequest(commit="c", nonce="n", repository_url="/x", repository="o/x", **{**fields, **change})


def report(tmp_path: Path, req: MeasureRequest | None = None) -> tuple[Report, Store]:
    store = Store(tmp_path / "store")
    return conclude(req or request(), tmp_path, store), store


@pytest.mark.parametrize(
    ("ratio", "noise", "verdict"),
    [
        (1.84, 0.01, "faster"),
        (0.7, 0.01, "slower"),
        (1.0, 0.002, "no_change"),
        (1.01, 0.001, "negligible"),
        (1.0, 0.3, "inconclusive"),
    ],
)
def test_the_verdict_comes_from_the_raw_samples(tmp_path: Path, ratio: float, noise: float, verdict: str) -> None:
    write_out(tmp_path, make_rounds(rounds=16, ratio=ratio, noise=noise))
    found, store = report(tmp_path)
    assert found.reason is None
    assert found.data["verdict"] == verdict
    assert float(found.data["speedup"]) == pytest.approx(ratio, rel=max(0.01, noise))
    low, high = map(float, found.data["ci95"])
    assert low <= float(found.data["speedup"]) <= high
    result = store.get_json(found.data["result"])
    samples = result["samples_ms"]
    mean = (sum(samples["base"]) / len(samples["base"])) / (sum(samples["head"]) / len(samples["head"]))
    assert result["statistics"]["human_performance"] == pytest.approx(mean, rel=1e-12)
    assert len(found.message(request()).encode()) <= MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (None, ""),
        ("0", ""),
        ("2", ""),
        ("1", "% to either side, and 1 % was asked for: raise measurement.budgetSeconds"),
        (
            "0.1",
            "% to either side, and 0.1 % was asked for: a Job takes 128 at most, so measure on a quieter node, give a call more work, or raise measurement.precisionPercent",
        ),
    ],
)
def test_an_interval_wider_than_was_asked_for_says_what_would_narrow_it(
    tmp_path: Path, wanted: str | None, words: str
) -> None:
    write_out(tmp_path, make_rounds(rounds=16, ratio=1.5, noise=0.02))
    found, store = report(tmp_path, request(precision_percent=wanted))
    result = store.get_json(found.data["result"])
    assert 1 < result["statistics"]["half_width_percent"] < 2
    told = " ".join(result["words"])
    assert words in told
    assert ("was asked for" in told) is bool(words)


def test_a_speedup_written_by_the_worker_changes_nothing(tmp_path: Path) -> None:
    write_out(tmp_path, make_rounds(rounds=8, ratio=1.0, noise=0.001), speedup=99.0, verdict="faster")
    found, _ = report(tmp_path)
    assert found.data["verdict"] == "no_change"


def test_base_beside_itself_gives_the_noise_floor(tmp_path: Path) -> None:
    write_out(tmp_path, make_rounds(rounds=16, ratio=1.0, noise=0.01, other="base2"))
    found, _ = report(tmp_path, request("base"))
    assert 0 < float(found.data["noiseFloorPercent"]) < 2


def test_base_that_differs_from_itself_is_incomparable(tmp_path: Path) -> None:
    write_out(tmp_path, make_rounds(rounds=16, ratio=1.2, noise=0.01, other="base2"))
    found, store = report(tmp_path, request("base"))
    assert found.reason is Reason.INCOMPARABLE
    assert store.get_json(found.data["evidence"])["reason"] == "Incomparable"


@pytest.mark.parametrize(
    ("ratio", "minimum_effect_percent", "incomparable"),
    [(1.01, "2", False), (0.99, "2", False), (1.03, "2", True), (0.97, "2", True), (1.03, "5", False)],
)
def test_less_than_the_minimum_effect_between_equal_sides_is_noise_and_more_is_a_refusal(
    tmp_path: Path, ratio: float, minimum_effect_percent: str, incomparable: bool
) -> None:
    write_out(tmp_path, make_rounds(rounds=16, ratio=ratio, noise=0.002, other="base2"))
    found, _ = report(tmp_path, request("base", minimum_effect_percent=minimum_effect_percent))
    assert (found.reason is Reason.INCOMPARABLE) is incomparable
    if not incomparable:
        apart = abs(math.log(ratio))
        assert float(found.data["noiseFloorPercent"]) == pytest.approx(math.expm1(apart) * 100, abs=0.2)


def test_base_whose_results_differ_from_its_own_is_not_deterministic(tmp_path: Path) -> None:
    rounds = make_rounds(rounds=8, ratio=1.0, other="base2")
    write_out(tmp_path, rounds, equivalence={"equal": False, "words": "1 != 2"})
    assert report(tmp_path, request("base"))[0].reason is Reason.NOT_DETERMINISTIC


def test_results_of_other_types_are_told(tmp_path: Path) -> None:
    checks = {"result_types": {"ok": False, "words": "base returns a float64, head a float32"}}
    write_out(tmp_path, make_rounds(rounds=8, ratio=1.5), checks=checks)
    found, store = report(tmp_path)
    assert "head a float32. Less precision is less work." in " ".join(store.get_json(found.data["result"])["words"])


def test_results_that_nobody_compared_are_said_not_to_have_been(tmp_path: Path) -> None:
    write_out(tmp_path, make_rounds(rounds=8, ratio=1.5), equivalence={"equal": None, "words": "no check."})
    found, store = report(tmp_path)
    assert (
        "Whether both computed the same was not established: no check." in store.get_json(found.data["result"])["words"]
    )


def test_the_floor_of_the_same_node_raises_the_minimum_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_out(tmp_path, make_rounds(rounds=16, ratio=1.05, noise=0.002))
    monkeypatch.setenv("ISOBENCH_NODE", "n1")
    here, _ = report(tmp_path, request(floor_percent="8.0", floor_node="n1"))
    elsewhere, _ = report(tmp_path, request(floor_percent="8.0", floor_node="n2"))
    assert here.data["verdict"] == "inconclusive"
    assert (elsewhere.data["verdict"], elsewhere.data["flags"]) == ("faster", ["floor_elsewhere"])


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({"flags": ["deferred_work"]}, Reason.DEFERRED_WORK),
        ({"flags": ["lazy_result"]}, Reason.LAZY_RESULT),
        ({"flags": ["patched_timer"]}, Reason.PATCHED_TIMER),
        ({"equivalence": {"equal": False, "words": "1 != 2"}}, Reason.NOT_EQUIVALENT),
    ],
)
def test_what_is_void_carries_no_number(tmp_path: Path, run: dict[str, Any], reason: Reason) -> None:
    write_out(tmp_path, make_rounds(rounds=8, ratio=2.0), **run)
    found, _ = report(tmp_path)
    assert found.reason is reason
    assert not {"speedup", "ci95", "humanPerformance", "medianMs"} & set(found.data)


def test_a_failed_worker_is_reported_with_its_reason_and_evidence(tmp_path: Path) -> None:
    write_out(tmp_path, [], reason="BehaviourChanged", tail="Traceback…\nValueError: x")
    found, store = report(tmp_path)
    assert found.reason is Reason.BEHAVIOUR_CHANGED
    assert "ValueError" in store.get_json(found.data["evidence"])["tail"]


def test_many_discarded_rounds_are_no_fair_sample(tmp_path: Path) -> None:
    rounds = make_rounds(rounds=16, ratio=1.5)
    for item in rounds[:6]:
        item["discarded"] = "throttled"
    write_out(tmp_path, rounds)
    assert report(tmp_path)[0].reason is Reason.INCOMPARABLE


def _spoil(field: str, value: Any) -> list[dict[str, Any]]:
    rounds = make_rounds(rounds=8, ratio=1.5)
    rounds[3]["samples"]["head"][0][field] = value
    return rounds


@pytest.mark.parametrize(
    "rounds",
    [
        _spoil("wall_ns", float("nan")),
        _spoil("wall_ns", float("inf")),
        _spoil("wall_ns", -1),
        _spoil("wall_ns", 0),
        _spoil("wall_ns", "5"),
        _spoil("wall_ns", True),
        _spoil("parent_ns", 10**30),
        [{"samples": {"base": []}}],
        [{"samples": {"base": [{}], "head": "x"}}],
        [[]],
        make_rounds(rounds=300, ratio=1.0, k=1),
    ],
)
def test_hostile_samples_are_refused_by_place(tmp_path: Path, rounds: list[Any]) -> None:
    write_out(tmp_path, rounds)
    with pytest.raises(StageError) as caught:
        report(tmp_path)
    assert caught.value.reason is Reason.RESULT_INVALID
    assert "rounds.jsonl" in str(caught.value)


@pytest.mark.parametrize("name", ["run.json", "rounds.jsonl", "outcome.json"])
def test_links_left_by_the_worker_are_not_followed(tmp_path: Path, name: str) -> None:
    write_out(tmp_path, make_rounds(rounds=8, ratio=1.5))
    (tmp_path / "secret").write_text(json.dumps({"v": 1}))
    (tmp_path / "out" / name).unlink()
    (tmp_path / "out" / name).symlink_to(tmp_path / "secret")
    with pytest.raises(StageError, match=name):
        report(tmp_path)


@pytest.mark.parametrize(
    "run",
    [
        {"flags": ["great"]},
        {"flags": "x"},
        {"changed_share": 7},
        {"plan": []},
        {"plan": {"loops": 0}},
        {"equivalence": [1]},
    ],
)
def test_hostile_run_documents_are_refused(tmp_path: Path, run: dict[str, Any]) -> None:
    write_out(tmp_path, make_rounds(rounds=8, ratio=1.5), **run)
    with pytest.raises(StageError) as caught:
        report(tmp_path)
    assert caught.value.reason is Reason.RESULT_INVALID


def test_a_worker_whose_clock_lies_is_timed_by_the_parent(tmp_path: Path) -> None:
    rounds = make_rounds(rounds=8, ratio=1.0, noise=0.001)
    for item in rounds:
        for sample in item["samples"]["head"]:
            sample["wall_ns"] //= 10
    write_out(tmp_path, rounds)
    found, _ = report(tmp_path)
    assert found.data["verdict"] == "no_change"
    assert found.data["flags"] == ["clock_mismatch"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.8437, "1.844"),
        (0.00012345, "0.0001234"),
        (123.456, "123.5"),
        (12345.6, "12346"),
        (0.0, "0.000"),
        (None, None),
    ],
)
def test_numbers_in_status_have_four_digits_and_no_exponent(value: float | None, text: str | None) -> None:
    assert decimal(value) == text


def test_rounds_that_another_process_on_the_gpu_disturbed_are_incomparable(tmp_path: Path) -> None:
    lines = make_rounds(rounds=16, ratio=2, noise=0.01)
    for line in lines:
        line["gpu"] = {"reasons": 0, "foreign_processes": int(line["round"] == 7)}
    write_out(tmp_path, lines)
    found, _ = report(tmp_path)
    assert found.reason is Reason.INCOMPARABLE
    assert "round 7" in found.tail


def test_a_gap_between_the_gpus_clocks_is_said_and_changes_no_verdict(tmp_path: Path) -> None:
    lines = make_rounds(rounds=16, ratio=2, noise=0.01)
    for line in lines:
        line["gpu"] = {"reasons": 4, "sample_clocks_mhz": {"base": [1800] * 3, "head": [1500] * 3}}
        for name, share in (("base", 0.75), ("head", 0.25)):
            for sample in line["samples"][name]:
                sample["gpu_ms"] = sample["wall_ns"] / 1e6 * share
    write_out(tmp_path, lines)
    found, store = report(tmp_path)
    assert found.data["verdict"] == "faster"
    result = store.get_json(found.data["result"])
    assert result["gpu"] == {
        "clock_ratio": 1.2,
        "degraded": False,
        "gpu_shares": {"base": pytest.approx(0.75), "head": pytest.approx(0.25)},
    }
    assert any("cover 75 % of base's time and 25 % of head's" in sentence for sentence in result["words"])
    assert any("20 % faster clocks under base" in sentence for sentence in result["words"])
