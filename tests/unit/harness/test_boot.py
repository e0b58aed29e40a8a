"""A worker's own modules come compiled, in its pipe, or where that cannot be, from the archive: the worker is the same either way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from isobench_runner.harness import boot, processes
from isobench_runner.harness.logs import Logs
from isobench_runner.harness.session import Session
from isobench_runner.harness_archive import PACKAGE, build_archive
from support.prepared import found_interpreters, make_environment, make_plan, six

LEFT_BEHIND = "import sys\n" + six(
    setup="return seed",
    experiment="return [[one for one in map(repr, [*sys.modules, *sys.meta_path, *sys.path]) if word in one] for word in "
    "('isobench', 'Modules', 'harness')] + [[one for one in vars(sys.modules['__main__']) if one[:2] != '__']]",
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    build_archive(tmp_path / "harness.pyz")
    return tmp_path / "harness.pyz"


@pytest.mark.parametrize("sent", [True, False], ids=["compiled", "imported"])
def test_a_worker_leaves_nothing_of_its_own_for_the_test_to_find(tmp_path: Path, archive: Path, *, sent: bool) -> None:
    made = make_environment(tmp_path / "one", {"tiny.py": ""})
    (tmp_path / "root").mkdir()
    session = Session(
        make_plan({"base": made, "head": made}),
        LEFT_BEHIND.encode(),
        str(tmp_path / "root"),
        [str(archive), PACKAGE],
        time.monotonic() + 60,
        sorted(os.sched_getaffinity(0)),
    )
    if not sent:
        session.modules_of["base"] = b""
    with session.worker("base") as worker:
        worker.load()
        worker.ask("setup", seed=1, mode=None)
        worker.call([1], keep=True)
        stored = Path(worker.store("result"))
    session.hidden.reveal()
    assert json.loads(stored.read_text()) == [[], [], [], []]
    assert bool(session.modules_of["base"]) is sent


@pytest.mark.parametrize("python", found_interpreters(), ids=lambda python: python.parent.parent.name)
def test_every_interpreter_compiles_the_workers_modules(archive: Path, python: Path) -> None:
    modules = boot.compiled(str(python), [str(archive), PACKAGE])
    assert 10_000 < len(modules) < 1 << 18


@pytest.mark.parametrize(
    "program",
    ["exit 1", "echo half; exit 3", "head -c 2000000 /dev/zero", "kill -9 $$"],
    ids=["fails", "fails half way", "too much", "dies"],
)
def test_an_interpreter_that_does_not_compile_them_leaves_them_to_the_import(tmp_path: Path, program: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{program}\n")
    python.chmod(0o755)
    assert boot.compiled(str(python), ["/root", "package"]) == b""
    assert boot.compiled(str(tmp_path / "none"), ["/root", "package"]) == b""


@pytest.mark.parametrize(("size", "told"), [(0, 0), (100_000, 100_000), (1 << 24, 0)])
def test_what_a_process_is_told_at_once_fits_its_pipe_or_is_not_said(tmp_path: Path, size: int, told: int) -> None:
    first = bytes(size)
    process = processes.Process(
        [sys.executable, "-c", "import os, sys; os.write(int(sys.argv[2]), b'[%s]\\n' % sys.argv[3].encode())"],
        env={},
        cwd=str(tmp_path),
        logs=Logs(),
        cpus=sorted(os.sched_getaffinity(0)),
        data_bytes=None,
        first=first,
    )
    try:
        assert process.hear(time.monotonic() + 10) == f"[{told}]".encode()
    finally:
        process.end()


def test_compiling_imports_nothing_of_the_revision(tmp_path: Path, archive: Path) -> None:
    made = make_environment(tmp_path / "one", {"tiny.py": ""})
    python = made / "env" / "bin" / "python"
    (site,) = (made / "env" / "lib").glob("python3*/site-packages")
    (site / "hook.pth").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n")
    subprocess.run([python, "-c", ""], check=True)
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    assert boot.compiled(str(python), [str(archive), PACKAGE])
    assert not (tmp_path / "ran").exists()
