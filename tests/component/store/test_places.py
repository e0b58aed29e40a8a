"""The artifact store keeps its promises in a folder and in a bucket alike; the bucket is that of a real server of S3's protocol."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from isobench_runner.location import take_credentials
from isobench_runner.store import Store, StoreError


def test_what_was_put_is_there_under_its_digest_and_nothing_else(store: Store) -> None:
    digest = store.put(b"a script")
    assert store.get(digest) == b"a script"
    assert store.has(digest)
    other = f"sha256:{'0' * 64}"
    assert not store.has(other)
    with pytest.raises(StoreError, match="has no sha256:0000"):
        store.get(other)
    assert [blob.name for blob in store.blobs()] == [digest]


def test_a_name_is_given_once_and_the_first_one_wins(store: Store) -> None:
    first, second = store.put(b"1"), store.put(b"2")
    assert store.resolve("environment/k") is None
    assert store.link("environment/k", first) == first
    assert store.link("environment/k", second) == first
    assert store.resolve("environment/k") == first
    store.unlink("environment/k")
    assert store.resolve("environment/k") is None
    assert store.link("environment/k", second) == second


def test_large_files_come_back_as_they_went(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "archive", tmp_path / "copy"
    source.write_bytes(os.urandom(12_000_000))
    store.take_file(store.put_file(source), target)
    assert target.read_bytes() == source.read_bytes()


def test_a_file_that_is_too_large_or_no_file_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(b"x" * 11)
    with pytest.raises(StoreError, match="larger than 10 bytes"):
        store.put_file(tmp_path / "large", limit=10)
    (tmp_path / "link").symlink_to(tmp_path / "large")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "missing"):
        with pytest.raises(StoreError, match=name):
            store.put_file(tmp_path / name)
    assert list(store.blobs()) == []


def test_a_damaged_blob_is_never_believed(store: Store, tmp_path: Path) -> None:
    digest = store.put(b"good")
    value = digest.removeprefix("sha256:")
    (tmp_path / "bad").write_bytes(b"bad")
    with (tmp_path / "bad").open("rb") as file:
        store.place.write(f"sha256/{value[:2]}/{value[2:]}", file)
    with pytest.raises(StoreError, match="damaged"):
        store.get(digest)
    with pytest.raises(StoreError, match="damaged"):
        store.take_file(digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_readable_copy_lies_beside_the_artifacts(store: Store, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("{}\n")
    store.show(tmp_path / "rows", "datasets/bench/all/dataset.jsonl")
    assert store.place.beside("datasets/bench/all").read("dataset.jsonl") == b"{}\n"


def test_credentials_come_from_the_mounted_secret(tmp_path: Path) -> None:
    (tmp_path / "AWS_ACCESS_KEY_ID").write_text("id\n")
    (tmp_path / "..data").mkdir()
    variables = {"ISOBENCH_STORE_CREDENTIALS": str(tmp_path)}
    assert take_credentials(variables)
    assert variables["AWS_ACCESS_KEY_ID"] == "id"
    assert not take_credentials({})
