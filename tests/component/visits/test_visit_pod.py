"""The pod that sees the store: what it may, and that a namespace under Pod Security `restricted` takes it."""

from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from isobench_operator.core.settings import PodSettings
from isobench_operator.core.visits import visit
from isobench_operator.local.pulling import PullError
from isobench_operator.local.visitor import _unpack
from isobench_runner.store import Store
from isobench_runner.visiting import pack
from support.apiserver import running


def test_it_has_neither_token_nor_more_of_the_store_than_it_needs() -> None:
    pod = visit(PodSettings(), namespace="bench", name="p", seconds=60)
    (container,) = pod["spec"]["containers"]
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["activeDeadlineSeconds"] == 60
    assert next(mount for mount in container["volumeMounts"] if mount["name"] == "store")["readOnly"] is True
    writing = visit(PodSettings(), namespace="bench", name="p", seconds=60, write=True)["spec"]["containers"][0]
    assert "readOnly" not in next(mount for mount in writing["volumeMounts"] if mount["name"] == "store")


def test_behind_a_url_it_has_the_credentials_and_no_claim() -> None:
    settings = replace(PodSettings(), store_url="s3://bucket/prefix", store_credentials="s3")
    spec = visit(settings, namespace="bench", name="p", seconds=60)["spec"]
    assert {volume["name"] for volume in spec["volumes"]} == {"scratch", "credentials"}


@pytest.mark.apiserver
@pytest.mark.slow
@pytest.mark.xdist_group("apiserver")
@pytest.mark.parametrize("write", [False, True])
def test_a_restricted_namespace_takes_it(write: bool, tmp_path: Path) -> None:
    with running(tmp_path) as server:
        server.namespace("bench")
        server.ok("create", "serviceaccount", PodSettings.service_account, "-n", "bench")
        pod = visit(PodSettings(), namespace="bench", name="p", seconds=60, write=write)
        done = server.kubectl("create", "-f", "-", stdin=pod)
        assert (done.returncode, done.stderr) == (0, "")


def test_blobs_are_proved_where_they_arrive(tmp_path: Path) -> None:
    there, here = Store(tmp_path / "there"), Store(tmp_path / "here")
    digests = [there.put(b"one"), there.put(b"two")]
    packed = io.BytesIO()
    pack(there, [*digests, f"sha256:{'0' * 64}"], packed)
    packed.seek(0)
    _unpack(packed, digests, here)
    assert [here.get(digest) for digest in digests] == [b"one", b"two"]
    forged = io.BytesIO()
    with tarfile.open(fileobj=forged, mode="w|") as tar:
        entry = tarfile.TarInfo(digests[0])
        entry.size = 6
        tar.addfile(entry, io.BytesIO(b"forged"))
    forged.seek(0)
    with pytest.raises(PullError, match="something else than sha256"):
        _unpack(forged, digests, Store(tmp_path / "elsewhere"))
