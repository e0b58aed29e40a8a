"""What a record holds, and what is refused rather than recorded."""

import json
from statistics import fmean

import pyarrow as pa
import pytest

from isobench_runner.contract import Reason
from isobench_runner.records.parquet import SCHEMA
from isobench_runner.records.record import Artifacts, RecordRefusedError, assemble, utc
from isobench_runner.store import Store
from support.run_folder import CASES, SCRIPT, Case, commit_document

FASTER = CASES[1]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def record_of(document, store):
    return assemble(document, Artifacts(store), tool_version="1.2.3")


def with_result(document, store, **changes):
    """The document, its head result changed."""
    head = next(item for item in document["status"]["revisions"] if item["name"] == "head")
    head["result"] = store.put(json.dumps({**store.get_json(head["result"]), **changes}).encode())
    return document


@pytest.mark.parametrize("case", [case for case in CASES if case.reason is None], ids=lambda case: case.name)
def test_human_performance_is_recomputable_to_the_last_digit_after_a_trip_through_json(case, store):
    record = json.loads(json.dumps(record_of(commit_document(case, store), store)))
    durations = record["duration_changes"][0]
    assert record["human_performance"] == fmean(durations["base"]) / fmean(durations["head"])


def test_a_record_has_exactly_the_columns_in_their_order(store):
    record = record_of(commit_document(FASTER, store), store)
    assert list(record) == SCHEMA.names
    assert pa.Table.from_pylist([record], schema=SCHEMA).to_pylist() == [record]


def test_base_and_head_are_of_the_head_job_and_main_of_the_main_job(store):
    document = commit_document(FASTER, store)
    revisions = {item["name"]: item for item in document["status"]["revisions"]}
    head, main = (store.get_json(revisions[name]["result"])["samples_ms"] for name in ("head", "main"))
    durations = record_of(document, store)["duration_changes"]
    assert durations == [{"base": head["base"], "head": head["head"], "main": main["main"], "main_base": main["base"]}]


@pytest.mark.parametrize(
    ("main", "reason"), [("same", "SameAsHead"), ("PackageNotFound", "PackageNotFound"), ("left out", None)]
)
def test_main_that_was_not_measured_leaves_empty_samples_and_its_reason(main, reason, store):
    record = record_of(commit_document(Case(name="x", subject="x", speedup=1.5, main=main), store), store)
    assert (record["duration_changes"][0]["main"], record["duration_changes"][0]["main_base"]) == ([], [])
    assert record["main_reason"] == reason


def test_a_lost_main_artifact_costs_main_alone(store):
    document = commit_document(FASTER, store)
    next(item for item in document["status"]["revisions"] if item["name"] == "main")["result"] = f"sha256:{'0' * 64}"
    assert record_of(document, store)["main_reason"] == "StoreUnavailable"


def test_the_head_commits_date_is_told_in_utc(store):
    assert record_of(commit_document(FASTER, store), store)["created_at"] == "2025-04-19T12:02:11Z"


@pytest.mark.parametrize("text", ["2025-04-19 10:00", "yesterday", "", None])
def test_a_date_without_offset_is_refused(text):
    with pytest.raises(RecordRefusedError, match="x: "):
        utc(text, "x")


def test_the_script_its_digest_and_its_authors_are_in_the_record(store):
    record = record_of(commit_document(FASTER, store), store)
    assert record["efficiency_test"] == [SCRIPT]
    assert record["test_digest"] == store.put(SCRIPT.encode())
    assert record["provenance"]["models"] == ["gpt-4.1"]
    assert record["provenance"]["tool_version"] == "1.2.3"
    assert len(record["provenance"]["prompts"]) == 1


def test_the_version_names_interpreter_architecture_image_and_install_lines(store):
    document = commit_document(FASTER, store)
    first = record_of(document, store)["version"]
    assert first.startswith("python==3.11;arch=x86_64;image=none;install_sha=")
    document["spec"]["environment"]["install"] = ["pip install ."]
    assert record_of(document, store)["version"] != first


@pytest.mark.parametrize(
    "samples", [[1.0, float("nan")], [float("inf")], [0.0], [-1.0], [True], ["1"], [], None, [300000.0, None]]
)
def test_times_that_are_none_are_refused_by_name(samples, store):
    document = commit_document(FASTER, store)
    head = next(item for item in document["status"]["revisions"] if item["name"] == "head")
    kept = store.get_json(head["result"])["samples_ms"]
    with pytest.raises(RecordRefusedError, match=r"revisions\[head\]\.result\.head") as refused:
        record_of(with_result(document, store, samples_ms={**kept, "head": samples}), store)
    assert refused.value.reason is Reason.RESULT_INVALID


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "fast", None])
def test_a_speedup_that_is_no_finite_number_is_refused(value, store):
    document = commit_document(FASTER, store)
    head = next(item for item in document["status"]["revisions"] if item["name"] == "head")
    statistics = store.get_json(head["result"])["statistics"]
    with pytest.raises(RecordRefusedError, match=r"statistics\.speedup"):
        record_of(with_result(document, store, statistics={**statistics, "speedup": value}), store)


def test_a_fingerprint_with_a_number_that_is_not_finite_is_refused(store):
    document = with_result(commit_document(FASTER, store), store, fingerprint={"load": float("nan")})
    with pytest.raises(RecordRefusedError, match="fingerprint"):
        record_of(document, store)


@pytest.mark.parametrize("verdict", ["invalid", "incomparable", "slower", None])
def test_a_verdict_without_a_record_or_other_than_in_status_is_refused(verdict, store):
    with pytest.raises(RecordRefusedError, match="verdict"):
        record_of(with_result(commit_document(FASTER, store), store, verdict=verdict), store)


@pytest.mark.parametrize("sha", ["95a2f1d1", f"{'a' * 40}^", "", None])
def test_a_base_that_is_no_full_sha_is_refused(sha, store):
    document = commit_document(FASTER, store)
    inputs = store.get_json(document["status"]["artifacts"]["inputs"])
    document["status"]["artifacts"]["inputs"] = store.put_json({**inputs, "base": sha})
    with pytest.raises(RecordRefusedError, match=r"inputs\.base"):
        record_of(document, store)


def test_a_damaged_artifact_is_refused_and_named(store):
    document = commit_document(FASTER, store)
    digest = document["status"]["artifacts"]["inputs"].removeprefix("sha256:")
    (store.place.root / "sha256" / digest[:2] / digest[2:]).write_text("{}")
    with pytest.raises(RecordRefusedError, match=r"artifacts\.inputs.*damaged") as refused:
        record_of(document, store)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE


def test_flags_of_the_result_and_of_status_are_both_told(store):
    document = commit_document(CASES[0], store)
    document["status"]["result"]["flags"] = ["heavy_tail", "low_share"]
    assert record_of(document, store)["flags"] == ["heavy_tail", "low_share"]


@pytest.mark.parametrize("where", ["spec.category", "record.api", "record.notes", "environment.image", "equivalent"])
def test_what_does_not_fit_its_column_is_refused_by_name(where, store):
    document = commit_document(FASTER, store)
    room, _, name = where.rpartition(".")
    if not room:
        document = with_result(document, store, **{name: "perhaps"})
    else:
        target = document["spec"] if room == "spec" else document["spec"][room]
        target[name] = 7
    with pytest.raises(RecordRefusedError, match=where.replace(".", r"\.")):
        record_of(document, store)
