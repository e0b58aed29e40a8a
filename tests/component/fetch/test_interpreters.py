"""Interpreters as they are found on a real machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from isobench_runner import interpreters
from isobench_runner.contract import Reason, StageError


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    return tmp_path / "venv" / "bin" / "python"


def test_the_default_is_the_base_of_the_running_one() -> None:
    found = interpreters.find(None, inherit=False)
    assert found.version.split(".")[:2] == [str(part) for part in sys.version_info[:2]]
    assert Path(found.base).resolve() == Path(found.executable).resolve()


def test_a_virtual_environment_is_itself_only_where_its_packages_are_wanted(venv: Path) -> None:
    assert interpreters.find(str(venv), inherit=True).executable == str(venv)
    base = interpreters.find(str(venv), inherit=False)
    assert Path(base.executable).parent != venv.parent
    assert str(venv.parent.parent) not in base.prefixes


def test_a_version_means_its_latest_digits_or_all_of_them() -> None:
    minor = ".".join(str(part) for part in sys.version_info[:2])
    found = interpreters.find(minor, inherit=False)
    assert found.version.startswith(f"{minor}.")
    assert interpreters.find(found.version, inherit=False).version == found.version


@pytest.mark.parametrize("spec", ["/no/such/python", "python-from-somewhere", "/bin/true"])
def test_what_is_no_python_is_a_failure_of_its_own(spec: str) -> None:
    with pytest.raises(StageError) as failure:
        interpreters.find(spec, inherit=False)
    assert failure.value.reason is Reason.INTERPRETER_NOT_FOUND
    assert spec in str(failure.value)


def test_what_is_inherited_is_named_and_sorted(venv: Path) -> None:
    packages = interpreters.probe(str(venv))
    assert packages is not None
    folder = Path(packages.packages[0]) / "Some_Thing-1.2.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: Some_Thing\nVersion: 1.2\n")
    found = interpreters.find(str(venv), inherit=True)
    assert interpreters.distributions(found) == ("some-thing==1.2",)
