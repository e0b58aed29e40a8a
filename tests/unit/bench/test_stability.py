"""Where two runs of one Commit disagree, and the table that says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from bench import stability
from bench.stability import Run

RUN = Run(
    commit="c", repository="o/x", head="0123456789abcdef", load="none", repeat=0, verdict="faster", speedup=1.2, low=1.1, high=1.3,
    floor=0.9, seconds=30.0, average=0.4, budget=8,
)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"low": 1.25, "high": 1.4}, None),
        ({"verdict": "inconclusive", "low": 0.9, "high": 1.4}, None),
        ({"verdict": "slower"}, "faster and slower"),
        ({"verdict": "no_change"}, "faster and no_change"),
        ({"low": 1.31, "high": 1.4}, "intervals apart: 1.100 to 1.300 and 1.310 to 1.400"),
        ({"verdict": "inconclusive", "low": 0.8, "high": 1.0}, "intervals apart: 1.100 to 1.300 and 0.800 to 1.000"),
        ({"verdict": "inconclusive", "low": None, "high": None}, None),
        ({"verdict": "NotEquivalent", "low": None, "high": None}, "faster and NotEquivalent"),
    ],
)
def test_two_runs_disagree_where_both_cannot_be_right(changes: dict[str, object], words: str | None) -> None:
    other = replace(RUN, **changes)  # type: ignore[arg-type]
    assert stability.disagreement(RUN, other) == words
    assert (stability.disagreement(other, RUN) is None) == (words is None)


def test_two_failures_of_one_kind_agree() -> None:
    failed = replace(RUN, verdict="NotEquivalent", speedup=None, low=None, high=None)
    assert stability.disagreement(failed, failed) is None


def test_a_disagreement_is_said_once() -> None:
    runs = [RUN, RUN, replace(RUN, verdict="slower")]
    assert stability.disagreements(runs) == ["faster and slower"]


def test_the_table_has_a_row_per_commit_and_counts() -> None:
    runs = [
        RUN,
        replace(RUN, load="busy", verdict="inconclusive", low=0.9, high=1.5, average=2.5),
        replace(RUN, commit="d", verdict="faster"),
        replace(RUN, commit="d", load="busy", verdict="slower", low=0.5, high=0.6, speedup=0.55),
        replace(RUN, commit="e", verdict="BuildFailed", speedup=None, low=None, high=None, floor=None),
    ]
    text = stability.table(runs)
    assert text.count("o/x 0123456789") == 3
    assert "yes; 1 of 2 undecided" in text
    assert "| BuildFailed in 30 s (budget 8 s) |  | yes |" in text
    assert "5 runs of 3 Commits: 1 Commits whose runs disagree, 1 runs undecided" in text
    assert "0.4 to 2.5" in text


def test_the_commits_are_twelve_of_twelve_repositories_each_with_its_script() -> None:
    bodies = list(yaml.safe_load_all(stability.COMMITS.read_text()))
    assert len({body["spec"]["repository"]["name"] for body in bodies}) == len(bodies) == 12
    for body in bodies:
        assert len(body["spec"]["head"]) == 40
        assert (stability.COMMITS.parent / body["spec"]["test"]["script"]["file"]).exists()


def test_manifests_name_repositories_below_a_folder_and_skip_what_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "repositories/pallets/click").mkdir(parents=True)
    out = tmp_path / "out"
    out.mkdir()
    found = stability.documents([stability.COMMITS], tmp_path / "repositories", out, budget=33)
    assert [body["metadata"]["name"] for body in found] == ["click"]
    written = yaml.safe_load((out / "click.yaml").read_text())
    assert written["spec"]["repository"]["url"] == str(tmp_path / "repositories/pallets/click")
    assert written["spec"]["measurement"]["budgetSeconds"] == 33
    assert Path(written["spec"]["test"]["script"]["file"]).is_absolute()
    assert capsys.readouterr().out.count("is not there; left out") == 11
