"""A worker's own modules come compiled, from sealed memory, or where one cannot have them so, from the archive: it is the same either way."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench_runner.harness import boot, reaping
from isobench_runner.harness.session import Session
from isobench_runner.harness_archive import PACKAGE, build_archive
from support.prepared import found_interpreters, make_environment, make_plan, six

LEFT_BEHIND = "import sys\n" + six(
    setup="return seed",
    experiment="return [[one for one in map(repr, [*sys.modules, *sys.meta_path, *sys.path]) if word in one] for word in "
    "('isobench', 'Modules', 'harness')] + [[one for one in vars(sys.modules['__main__']) if one[:2] != '__']]",
)


def session_of(tmp_path: Path, pythons: dict[str, Path | str] | None = None) -> Session:
    """Base and head of a tiny package, and the packed harness; `pythons` replaces a revision's interpreter."""
    build_archive(tmp_path / "harness.pyz")
    made = make_environment(tmp_path / "one", {"tiny.py": ""})
    (tmp_path / "root").mkdir()
    plan = make_plan({"base": made, "head": made})
    for revision in plan["revisions"]:
        revision["python"] = str((pythons or {}).get(revision["name"], revision["python"]))
    return Session(
        plan,
        LEFT_BEHIND.encode(),
        str(tmp_path / "root"),
        [str(tmp_path / "harness.pyz"), PACKAGE],
        time.monotonic() + 60,
        sorted(os.sched_getaffinity(0)),
    )


@pytest.fixture
def compiled(tmp_path: Path) -> Iterator[Session]:
    session = session_of(tmp_path)
    session.modules = boot.compile_all(session)
    yield session
    for memory in session.modules.values():
        os.close(memory)


@pytest.mark.parametrize("handed", [True, False], ids=["compiled", "imported"])
def test_a_worker_leaves_nothing_of_its_own_for_the_test_to_find(compiled: Session, *, handed: bool) -> None:
    assert set(compiled.modules) == {"base", "head"}
    memories = compiled.modules
    if not handed:
        compiled.modules = {}
    with compiled.worker("base") as worker:
        worker.load()
        worker.ask("setup", seed=1, mode=None)
        worker.call([1], keep=True)
        stored = Path(worker.store("result"))
    compiled.modules = memories
    compiled.hidden.reveal()
    assert json.loads(stored.read_text()) == [[], [], [], []]


def test_nobody_can_change_what_the_next_process_runs(compiled: Session) -> None:
    memory = compiled.modules["base"]
    content = os.pread(memory, 1 << 20, 0)
    again = os.open(f"/proc/self/fd/{memory}", os.O_RDWR)
    for change in (
        lambda: os.write(again, b"x"),
        lambda: os.truncate(again, 0),
        lambda: os.pwrite(again, b"x", len(content)),
    ):
        with pytest.raises(PermissionError):
            change()
    os.close(again)
    assert os.pread(memory, 1 << 20, 0) == content


@pytest.mark.parametrize("python", found_interpreters(), ids=lambda python: python.parent.parent.name)
def test_every_interpreter_compiles_the_workers_modules(tmp_path: Path, python: Path) -> None:
    session = session_of(tmp_path, {"base": python, "head": python})
    session.modules = boot.compile_all(session)
    assert [10_000 < os.fstat(memory).st_size < 1 << 18 for memory in session.modules.values()] == [True, True]
    with session.worker("head") as worker:
        assert worker.load()["seeded"] is True
    for memory in session.modules.values():
        os.close(memory)


FAILING = {
    "fails": "exit 1",
    "fails half way": 'echo half >&"$memory"; exit 3',
    "writes too much": 'head -c 2000000 /dev/zero >&"$memory"; echo done >&"$reply"',
    "writes nothing": 'echo done >&"$reply"',
    "says something else": 'echo codes >&"$memory"; echo else >&"$reply"',
    "dies": "kill -9 $$",
    "kills its group": "kill -9 0",
    "leaves a process": "sleep 300 & exit 1",
}


@pytest.mark.parametrize("program", FAILING.values(), ids=FAILING)
def test_where_one_interpreter_does_not_compile_them_all_revisions_import_them(tmp_path: Path, program: str) -> None:
    python = tmp_path / "python"
    python.write_text(f'#!/bin/bash\nmemory="${{@: -3:1}}" reply="${{@: -1}}"\n{program}\n')
    python.chmod(0o755)
    before = len(list(Path("/proc/self/fd").iterdir()))
    session = session_of(tmp_path, {"head": python})
    assert boot.compile_all(session) == {}
    assert "all of them import it" in session.said.log().decode()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert reaping.descendants(os.getpid()) == set()


def test_an_interpreter_that_does_not_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/bash\nsleep 300\n")
    python.chmod(0o755)
    monkeypatch.setattr(boot, "SECONDS", 0.2)
    assert boot.compile_all(session_of(tmp_path, {"base": python})) == {}
    assert reaping.descendants(os.getpid()) == set()


def test_compiling_imports_nothing_of_the_revision(tmp_path: Path) -> None:
    session = session_of(tmp_path)
    (site,) = (tmp_path / "one" / "env" / "lib").glob("python3*/site-packages")
    ran = tmp_path / "ran"
    (site / "hook.pth").write_text(f"import pathlib; pathlib.Path({str(ran)!r}).touch()\n")
    subprocess.run([session.revisions["base"].python, "-c", ""], check=True)
    assert ran.exists()
    ran.unlink()
    for memory in boot.compile_all(session).values():
        os.close(memory)
    assert not ran.exists()
