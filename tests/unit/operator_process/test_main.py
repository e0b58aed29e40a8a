"""The command line of the operator: mistakes of whoever starts it are words and exit code 2, never a stack trace."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml


def run(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "ISOBENCH_"))}
    command = [sys.executable, "-m", "isobench_operator", *arguments]
    return subprocess.run(
        command, env={**environment, "HOME": str(folder)}, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A configuration that can be used."""
    (tmp_path / "key").write_text("k" * 32)
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"nonceKeyFile": str(tmp_path / "key")}))
    return path


def test_help_tells_how_to_start(tmp_path: Path) -> None:
    done = run("--help", folder=tmp_path)
    assert done.returncode == 0
    for words in ("openssl rand -hex 32 > key", "--kubeconfig", "Exit codes"):
        assert words in done.stdout


def test_a_wrong_field_is_named(config: Path, tmp_path: Path) -> None:
    config.write_text(f"{config.read_text()}gpu: 1\n")
    done = run("--config", str(config), folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{config}:2:1: gpu: unknown field; did you mean gpus?\n"


def test_a_missing_cluster_is_said_with_what_to_do(config: Path, tmp_path: Path) -> None:
    done = run("--config", str(config), folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == f"{tmp_path}/.kube/config: no such kubeconfig; set KUBECONFIG or pass --kubeconfig"  # fmt: skip


def test_a_port_that_is_taken_is_said_by_its_field(config: Path, tmp_path: Path) -> None:
    login = {
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(login))
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config.write_text(f"{config.read_text()}metrics: {{port: {port}}}\n")
        done = run("--config", str(config), "--kubeconfig", str(tmp_path / "kubeconfig"), folder=tmp_path)
    assert done.returncode == 2
    assert f"metrics.port: {port}: " in done.stderr
    assert "Traceback" not in done.stderr
