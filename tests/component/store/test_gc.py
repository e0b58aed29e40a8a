"""Garbage is found and taken away in a folder and in a bucket alike, and what is used meanwhile stays."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench_runner import garbage
from isobench_runner.garbage import ChangedError, Roots, survey, sweep
from isobench_runner.store import Store, StoreError

LATER = 3600.0
"""Survey as if it were an hour later: then nothing is young."""


@pytest.fixture
def kept(store: Store) -> dict[str, str]:
    """A store with an environment that a root refers to, one that only a name means, and one of everything else."""
    archive, other = store.put(b"archive" * 1000), store.put(b"another archive")
    used = store.put_json({"v": 1, "archive": archive})
    unused = store.put_json({"v": 1, "archive": other})
    store.link("environment/used", used)
    store.link("environment/unused", unused)
    log = store.put(b"no compiler")
    evidence = store.put_json({"log": log})
    store.point("log/job", store.put(b"==> fetch"))
    return {"archive": archive, "used": used, "unused": unused, "other": other, "log": log, "evidence": evidence}


def test_what_a_root_refers_to_in_turn_is_kept_and_the_rest_goes(store: Store, kept: dict[str, str]) -> None:
    roots = Roots(frozenset({kept["used"], kept["evidence"]}), frozenset({"log/job"}))
    later = time.time() + LATER
    holdings, found = survey(store, roots, young=later)
    assert len(holdings.blobs) == 7
    assert {blob.digest for blob in found.blobs} == {kept["unused"], kept["other"]}
    assert [one.name for one in found.names] == ["environment/unused"]
    assert sweep(store, found, young=later).size == found.size
    assert store.resolve("environment/unused") is None
    assert not store.has(kept["other"])
    for name in ("archive", "used", "log", "evidence"):
        store.get(kept[name])
    assert store.resolve("log/job") is not None
    assert survey(store, roots, young=later)[1] == garbage.Garbage()


def test_what_is_young_is_spared(store: Store, kept: dict[str, str]) -> None:
    _, found = survey(store, Roots(), young=time.time() - LATER)
    assert found == garbage.Garbage()
    assert store.get(kept["other"]) == b"another archive"


def test_what_is_stored_again_meanwhile_stays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("isobench_runner.places.FRESH_SECONDS", -1.0)
    monkeypatch.setattr("isobench_runner.buckets.FRESH_SECONDS", -1.0)
    first, second = store.put(b"first"), store.put(b"second")
    time.sleep(1.1)  # a bucket's clock has whole seconds
    young = time.time()
    time.sleep(1.1)
    _, found = survey(store, Roots(), young=young)
    assert {blob.digest for blob in found.blobs} == {first, second}
    store.put(b"second")
    assert [blob.digest for blob in sweep(store, found, young=young).blobs] == [first]
    assert store.get(second) == b"second"


def test_a_name_that_is_used_meanwhile_stops_it_before_any_blob_is_gone(
    store: Store, kept: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("isobench_runner.places.FRESH_SECONDS", -1.0)
    monkeypatch.setattr("isobench_runner.buckets.FRESH_SECONDS", -1.0)
    time.sleep(1.1)
    young = time.time()
    time.sleep(1.1)
    _, found = survey(store, Roots(), young=young)
    assert store.use("environment/unused") == kept["unused"]
    with pytest.raises(ChangedError, match="environment/unused was used meanwhile"):
        sweep(store, found, young=young)
    assert store.get(kept["other"]) == b"another archive"
    assert survey(store, Roots(), young=young)[1].blobs
    assert kept["other"] not in {blob.digest for blob in survey(store, Roots(), young=young)[1].blobs}


def test_a_damaged_document_is_a_doubt(store: Store, kept: dict[str, str], tmp_path: Path) -> None:
    value = kept["used"].removeprefix("sha256:")
    (tmp_path / "bad").write_bytes(b"{}")
    with (tmp_path / "bad").open("rb") as file:
        store.place.write(f"sha256/{value[:2]}/{value[2:]}", file)
    with pytest.raises(StoreError, match="damaged"):
        survey(store, Roots(frozenset({kept["used"]})), young=time.time() + LATER)


def test_a_name_that_means_no_blob_is_a_doubt(store: Store, tmp_path: Path) -> None:
    store.place.create(f"names/{'0' * 64}", b"sha256:cut\nname\n")
    with pytest.raises(StoreError, match="is no name of a blob; delete it"):
        survey(store, Roots(), young=0.0)


@pytest.mark.parametrize("limit", [1 << 26, 100])
def test_references_are_found_wherever_they_stand_in_a_large_root(
    store: Store, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage, "DOCUMENT_BYTES", limit)
    monkeypatch.setattr(garbage, "_BLOCK", 1000)
    targets = [store.put(os.urandom(8)) for _ in range(40)]
    lines = b"".join(
        b'{"x": "%s", "d": "%s"}\n' % (b"x" * (17 * number), one.encode()) for number, one in enumerate(targets)
    )
    root = store.put(lines)
    _, found = survey(store, Roots(frozenset({root})), young=time.time() + LATER)
    assert found.blobs == ()
    _, found = survey(store, Roots(), young=time.time() + LATER)
    assert len(found.blobs) == 41


def test_an_archive_is_not_read_for_references(store: Store) -> None:
    target = store.put(b"target")
    archive = store.put(b"tar of a file that has " + target.encode())
    _, found = survey(store, Roots(frozenset({archive})), young=time.time() + LATER)
    assert [blob.digest for blob in found.blobs] == [target]


def test_what_a_killed_writer_left_goes_when_it_is_old(tmp_path: Path) -> None:
    store = Store(tmp_path / "artifacts")
    blob = store.put(b"whole")
    left = tmp_path / "artifacts" / "sha256" / "ab" / ".cdef.x1y2"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half an archive")
    now = time.time()
    assert survey(store, Roots(frozenset({blob})), young=now - LATER)[1] == garbage.Garbage()
    _, found = survey(store, Roots(frozenset({blob})), young=now + LATER)
    assert (found.blobs, [one.file for one in found.unfinished], found.size) == ((), ["sha256/ab/.cdef.x1y2"], 15)
    left.touch()
    assert sweep(store, found, young=now - 1).unfinished == ()
    assert left.exists()
    assert sweep(store, found, young=now + LATER) == found
    assert not left.exists()
    assert store.get(blob) == b"whole"


def asked(command: str, request: object, where: str) -> subprocess.CompletedProcess[bytes]:
    body = json.dumps(request).encode()
    return subprocess.run(
        [sys.executable, "-m", "isobench_runner.visiting", command], input=b"%d\n%s" % (len(body), body),
        env={**os.environ, "ISOBENCH_STORE": where}, check=False, capture_output=True, timeout=120,
    )  # fmt: skip


@pytest.mark.slow
def test_the_pods_commands_look_and_take_away(store: Store, kept: dict[str, str]) -> None:
    roots = {"digests": [kept["used"], kept["evidence"]], "names": ["log/job"], "records": [], "grace_seconds": -LATER}
    looked = asked("look", roots, str(store.place))
    assert looked.returncode == 0, looked.stderr
    found = json.loads(looked.stdout)
    assert {blob["digest"] for blob in found["garbage"]["blobs"]} == {kept["unused"], kept["other"]}
    taken = asked("take-away", found, str(store.place))
    assert taken.returncode == 0, taken.stderr
    assert json.loads(taken.stdout)["garbage"] == found["garbage"]
    assert not store.has(kept["other"])
    assert store.has(kept["archive"])


@pytest.mark.slow
def test_a_doubt_is_the_pods_failure_in_words(store: Store, kept: dict[str, str]) -> None:
    store.delete(kept["used"])
    store.place.write(f"sha256/{kept['used'][7:9]}/{kept['used'][9:]}", io.BytesIO(b"{}"))
    roots = {"digests": [kept["used"]], "names": [], "records": [], "grace_seconds": -LATER}
    looked = asked("look", roots, str(store.place))
    assert (looked.returncode, b"is damaged" in looked.stderr) == (1, True), looked.stderr
