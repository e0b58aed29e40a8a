"""A store in a folder and in a bucket, the latter that of a real server of S3's protocol."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench_runner.location import open_place
from isobench_runner.store import Store

SERVER = "moto[server]==5.2.5"
"""Run apart from our environment: its client of S3 cannot be locked together with the client of Kubernetes."""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_REGION": "us-east-1"}


def uv() -> str:
    found = shutil.which("uv") or str(Path(__file__).resolve().parents[3] / ".uv" / "bin" / "uv")
    assert Path(found).exists(), "uv runs the S3 server: `make setup` brings it"
    return found


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("s3") / "log"
    with log.open("wb") as output:
        command = [
            uv(),
            "tool",
            "run",
            "--quiet",
            "--python",
            sys.executable,
            "--from",
            SERVER,
            "moto_server",
            "-p",
            str(port),
        ]
        process = subprocess.Popen(command, stdout=output, stderr=output)
        address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
        try:
            while True:
                try:
                    urllib.request.urlopen(urllib.request.Request(f"{address}/bench", method="PUT"), timeout=5).close()
                    break
                except OSError:
                    assert process.poll() is None, log.read_text()
                    assert time.monotonic() < deadline, log.read_text()
                    time.sleep(0.2)
            yield address
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture(params=["folder", pytest.param("bucket", marks=[pytest.mark.slow, pytest.mark.index])])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "folder":
        return Store(open_place(str(tmp_path / "store" / "artifacts")))
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": request.getfixturevalue("bucket")}.items():
        monkeypatch.setenv(name, value)
    return Store(open_place(f"s3://bench/{tmp_path.name}/artifacts"))
