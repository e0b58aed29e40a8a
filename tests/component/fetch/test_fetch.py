"""fetch as its container runs it: a request in, files for the next container out, with real repositories and interpreters."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from isobench_runner.contract import (
    Environment,
    GenerateRequest,
    MeasureRequest,
    PrepareRequest,
    Reason,
    Repair,
    Request,
    Revision,
    StageError,
)
from isobench_runner.stages import fetch
from isobench_runner.stages.fetching import index
from isobench_runner.store import Store
from support.repositories import Repository

WHEEL = b"a wheel"
BEFORE = """import functools


@functools.cache
def slow(n):
    \"\"\"Sum.\"\"\"
    total = 0
    for i in range(n):
        total += i
    return total


class Box:
    def fill(self):
        return [slow(i) for i in range(9)]
"""
AFTER = BEFORE.replace(
    "    total = 0\n    for i in range(n):\n        total += i\n    return total\n", "    return n * (n - 1) // 2\n"
)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    made = Repository.create(tmp_path / "demo")
    made.commit(
        {"src/pkg/__init__.py": "", "src/pkg/sums.py": BEFORE, "tests/test_sums.py": "def test_a():\n    assert 1\n"}
    )
    made.git("tag", "v1.0")
    made.commit(
        {"src/pkg/sums.py": AFTER, "tests/test_sums.py": "def test_a():\n    assert 2\n"}, "Sum in closed form (#12)"
    )
    made.git("tag", "v2.0")
    made.commit({"LATER": "later\n"}, "later")
    made.git("tag", "v3.0")
    return made


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders and variables of a Job; the seed wheel comes from a folder of wheels, with a hash of its own."""
    links = tmp_path / "links"
    links.mkdir()
    (links / index.SEED_WHEEL).write_bytes(WHEEL)
    monkeypatch.setattr(index, "SEED_SHA256", hashlib.sha256(WHEEL).hexdigest())
    monkeypatch.setenv("PIP_FIND_LINKS", str(links))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple/")
    for name in ("MIRRORS", "ENVS", "PIP", "STORE"):
        monkeypatch.setenv(f"ISOBENCH_{name}", str(tmp_path / name.lower()))
    monkeypatch.setenv("ISOBENCH_RUNTIME", "embedded")
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def request_of(demo: Repository, /, **changes: Any) -> PrepareRequest:
    head = demo.git("rev-parse", "v2.0")
    common = {"commit": "c", "nonce": "n", "repository_url": str(demo.path), "repository": "local/demo"}
    return PrepareRequest(**{**common, "role": "head", "head": head, **changes})


def run(request: Request, output: Path) -> dict[str, Any]:
    fetch.run(request, output.parent / "inputs", output, Store(Path(os.environ["ISOBENCH_STORE"])))
    return read(output / "plan.json") if (output / "plan.json").exists() else {}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def test_the_tree_is_a_clone_of_the_past_alone(repository: Repository, job: Path, tmp_path: Path) -> None:
    plan = run(request_of(repository), job)
    target = tmp_path / "tree"
    with tarfile.open(job / "tree.tar") as archive:
        assert {(member.uid, member.gid, member.uname, member.gname) for member in archive} == {(0, 0, "", "")}
        archive.extractall(target, filter="tar")

    def git(*arguments: str) -> str:
        command = ["git", "-c", "safe.directory=*", "-C", str(target), *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()

    assert git("rev-parse", "HEAD") == plan["sha"] == repository.git("rev-parse", "v2.0")
    assert git("describe", "--tags", "--dirty") == "v2.0"
    assert git("tag").split() == ["v1.0", "v2.0"]
    assert git("remote") == ""
    assert git("status", "--porcelain") == ""
    assert git("log", "--all", "--format=%s").split("\n")[0] == "Sum in closed form (#12)"
    later = repository.git("rev-parse", "v3.0")
    assert (
        subprocess.run(["git", "-C", target, "cat-file", "-e", later], capture_output=True, check=False).returncode != 0
    )
    assert not (target / ".git" / "objects" / "info" / "alternates").exists()
    assert not (target / ".git" / "hooks").exists()
    own = {
        path for path in (target / ".git").rglob("*") if path.is_file() and str(tmp_path).encode() in path.read_bytes()
    }
    assert own == set()


def test_the_plan_holds_what_a_build_needs(repository: Repository, job: Path, tmp_path: Path) -> None:
    wanted = Environment(install=("pip install .",), test_requirements=("pytest",), package="pkg", timeout_seconds=60)
    plan = run(request_of(repository, environment=wanted), job)
    blob = repository.git("rev-parse", "v2.0:src/pkg/sums.py")
    assert plan["blobs"]["src/pkg/sums.py"] == blob
    assert (plan["install"], plan["test_requirements"], plan["package"]) == (["pip install ."], ["pytest"], "pkg")
    assert (plan["index_url"], plan["packages_as_of"], plan["hit"]) == ("http://127.0.0.1:1/simple", "head", False)
    assert plan["head_date"] == "2024-01-01T02:02:00+02:00"
    assert plan["env_dir"] == str(tmp_path / "envs" / plan["key"])
    assert (Path(plan["env_dir"]).stat().st_mode & 0o777) == 0o755
    assert (job / plan["seed_wheels"][0]).read_bytes() == WHEEL
    assert (job / "harness.pyz").stat().st_size > 0
    assert Path(plan["interpreter"]).resolve() == Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    binds = read(job / "binds.json")
    assert binds["rw"] == [plan["env_dir"], plan["pip_cache"]]
    assert Path(plan["pip_cache"]).parent == tmp_path / "pip"
    assert "/" not in binds["ro"]


def test_inputs_say_what_changed(repository: Repository, job: Path) -> None:
    run(request_of(repository), job)
    inputs = read(job / "inputs.json")
    assert (inputs["subject"], inputs["pr"], inputs["repo"]) == ("Sum in closed form (#12)", 12, "local/demo")
    assert inputs["patch_functions"] == ["pkg.sums.slow"]
    assert inputs["test_functions"] == ["tests/test_sums.py::test_a"]
    assert "test_sums" not in inputs["patch"]
    changed = {item["side"]: item for item in inputs["changed"]}
    assert (changed["base"]["qualname"], changed["base"]["start"], changed["base"]["lines"]) == (
        "slow",
        4,
        [7, 8, 9, 10],
    )
    assert (changed["head"]["lines"], changed["head"]["path"]) == ([7], "src/pkg/sums.py")
    extraction = inputs["extraction"]
    assert extraction["files_changed"][0]["old_content"] == BEFORE
    assert extraction["parent_hash"] == inputs["base"] == repository.git("rev-parse", "v1.0")
    assert extraction["affected_apis"] == ["pkg.sums.slow"]


def test_the_script_and_the_extraction_that_were_given_are_carried(
    repository: Repository, job: Path, tmp_path: Path
) -> None:
    head = repository.git("rev-parse", "v2.0")
    (tmp_path / "x.json").write_text(
        json.dumps({"commit_hash": head, "files": ["src/pkg/sums.py"], "models": ["m"], "mood": 1})
    )
    (tmp_path / "t.py").write_text("def experiment(data):\n    return 1\n")
    run(request_of(repository, script=str(tmp_path / "t.py"), extraction=str(tmp_path / "x.json")), job)
    inputs = read(job / "inputs.json")
    assert inputs["script"].startswith("def experiment")
    assert (inputs["extraction"]["models"], inputs["extraction"]["mood"]) == (["m"], 1)
    assert inputs["extraction"]["files_changed"][0]["old_content"] == BEFORE


@pytest.mark.parametrize(
    ("field", "content", "reason", "words"),
    [
        ("script", None, Reason.MISSING_INPUT, "spec.test.script: f is not there"),
        ("script", b"def f(:\n", Reason.INPUT_INVALID, "f is no Python: line 1"),
        ("script", b"", Reason.INPUT_INVALID, "f is empty"),
        ("extraction", None, Reason.MISSING_INPUT, "spec.extraction: f is not there"),
        ("extraction", b'{"commit_hash": "ab', Reason.INPUT_INVALID, "extraction f: line 1, column 17"),
        ("extraction", b'{"commit_hash": "0123456789"}', Reason.INPUT_INVALID, "but spec.head is"),
    ],
)
def test_an_input_that_cannot_be_used_is_named(
    repository: Repository, job: Path, tmp_path: Path, field: str, content: bytes | None, reason: Reason, words: str
) -> None:
    if content is not None:
        (tmp_path / "f").write_bytes(content)
    with pytest.raises(StageError) as failure:
        run(request_of(repository, **{field: str(tmp_path / "f")}), job)
    assert failure.value.reason is reason
    assert words in str(failure.value)


def test_base_and_main_are_resolved_by_their_own_prepare(repository: Repository, job: Path) -> None:
    base = run(request_of(repository, role="base"), job)
    assert base["sha"] == repository.git("rev-parse", "v1.0")
    assert base["head_date"] == "2024-01-01T02:02:00+02:00"
    main = run(request_of(repository, role="main"), job)
    assert main["sha"] == repository.git("rev-parse", "v3.0")
    assert main["head_date"] == "2024-01-01T02:03:00+02:00"
    assert run(request_of(repository, role="main", main="v1.0"), job)["sha"] == base["sha"]
    assert not (job / "inputs.json").exists()


def test_equal_builds_have_equal_keys_and_different_ones_do_not(repository: Repository, job: Path) -> None:
    def key(**changes: Any) -> str:
        return str(run(request_of(repository, **changes), job)["key"])

    assert key() == key(environment=Environment(timeout_seconds=5, path=(".",), package="pkg"))
    assert len({key(), key(role="base"), key(environment=Environment(install=("true",))), key(repository="x/y")}) == 4
    assert key() != key(environment=Environment(packages_as_of="2024-05-01"))
    assert key() != key(environment=Environment(inherit="interpreter"))


def test_an_environment_that_stands_is_not_packed_again(repository: Repository, job: Path, tmp_path: Path) -> None:
    plan = run(request_of(repository), job)
    (tmp_path / "envs" / f"{plan['key']}.ready.json").write_text(json.dumps({"v": 1, "key": plan["key"]}))
    again = tmp_path / "again"
    again.mkdir()
    second = run(request_of(repository), again)
    assert second["hit"]
    assert second["blobs"] == plan["blobs"]
    assert not (again / "tree.tar").exists()
    assert (again / "inputs.json").exists()
    assert second["env_dir"] in read(again / "binds.json")["ro"]


def test_a_seed_wheel_with_another_hash_is_never_used(repository: Repository, job: Path, tmp_path: Path) -> None:
    (tmp_path / "links" / index.SEED_WHEEL).write_bytes(b"forged")
    with pytest.raises(StageError, match="PIP_FIND_LINKS") as failure:
        run(request_of(repository), job)
    assert failure.value.reason is Reason.INDEX_UNREACHABLE


def test_a_python_that_is_not_here_lists_those_that_are(repository: Repository, job: Path) -> None:
    with pytest.raises(StageError, match=r"'3\.99'.*found: .*3\.11") as failure:
        run(request_of(repository, environment=Environment(python="3.99")), job)
    assert failure.value.reason is Reason.INTERPRETER_NOT_FOUND


def test_submodules_lie_inside_the_tree(repository: Repository, job: Path, tmp_path: Path) -> None:
    inner = Repository.create(tmp_path / "inner")
    inner.commit({"deep.py": "z = 1\n"})
    repository.git("submodule", "add", "--quiet", "../inner", "vendor/inner")
    head = repository.commit({"src/pkg/sums.py": BEFORE})
    plan = run(request_of(repository, head=head), job)
    with tarfile.open(job / "tree.tar") as archive:
        assert archive.extractfile("vendor/inner/deep.py").read() == b"z = 1\n"  # type: ignore[union-attr]
    assert plan["blobs"]["vendor/inner/deep.py"] == inner.git("rev-parse", "HEAD:deep.py")
    assert any("vendor/inner" in note for note in read(job / "inputs.json")["notes"])
    (tmp_path / "inner").rename(tmp_path / "elsewhere")
    mirrors = tmp_path / "mirrors"
    for place in mirrors.glob("*inner*"):
        place.rename(mirrors / f"gone-{place.name}")
    with pytest.raises(StageError, match="submodule vendor/inner") as failure:
        run(request_of(repository, head=head), job)
    assert failure.value.reason is Reason.SUBMODULE_UNAVAILABLE


def generation(demo: Repository, /, **changes: Any) -> GenerateRequest:
    head = demo.git("rev-parse", "v2.0")
    common = {"commit": "c", "nonce": "n", "repository_url": str(demo.path), "repository": "local/demo"}
    return GenerateRequest(**{**common, "head": head, "models": (), **changes})


def test_generation_gets_the_same_words_about_the_commit(repository: Repository, job: Path, tmp_path: Path) -> None:
    run(request_of(repository), job)
    prepared = read(job / "inputs.json")
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds" / "x_test_case_generator.py").write_text("x = 1\n")
    (tmp_path / "p.md").write_text("# Prompt\n")
    run(generation(repository, prompt=str(tmp_path / "p.md"), seeds=str(tmp_path / "seeds")), job)
    assert read(job / "inputs.json") == prepared
    assert (job / "prompt.md").read_text() == "# Prompt\n"
    assert (job / "seeds" / "x_test_case_generator.py").exists()


def test_a_correction_gets_the_fallen_test_and_its_evidence(repository: Repository, job: Path) -> None:
    store = Store(Path(os.environ["ISOBENCH_STORE"]))
    checks = {"imports": {"ok": False, "words": "no module named x"}, "sample": {"ok": True, "words": "fine"}}
    evidence = store.put_json({"reason": "TestFailed", "tail": "Traceback …", "checks": checks})
    fallen = Repair(test=store.put(b"broken"), evidence=evidence, reason="TestFailed")
    packages = store.put_json([{"name": "numpy", "version": "1.26"}])
    run(generation(repository, fallen=fallen, packages=packages), job)
    expected = {"test": "broken", "reason": "TestFailed", "evidence": "Traceback …\nimports: no module named x"}
    assert read(job / "fallen.json") == expected
    assert read(job / "packages.json") == [{"name": "numpy", "version": "1.26"}]
    with pytest.raises(StageError) as failure:
        run(generation(repository, packages="sha256:" + "0" * 64), job)
    assert failure.value.reason is Reason.STORE_UNAVAILABLE


def test_measuring_reads_the_store_alone(job: Path, tmp_path: Path) -> None:
    store = Store(Path(os.environ["ISOBENCH_STORE"]))
    (tmp_path / "envs" / "k1").mkdir(parents=True)
    manifest = store.put_json({"v": 1, "key": "k1", "sha": "a" * 40})
    changed = [{"path": "a.py", "side": "base", "qualname": "f", "start": 1, "end": 2, "lines": [2]}]
    revision = Revision(name="base", sha="a" * 40, environment=manifest, key="k1")
    request = MeasureRequest(
        commit="c",
        nonce="n",
        repository_url="/no/such/repository",
        repository="local/demo",
        role="base",
        revisions=(revision, replace(revision, name="base2")),
        test=store.put(b"def experiment(data): ...\n"),
        origin="given",
        inputs=store.put_json({"v": 1, "changed": changed}),
        seed=7,
    )
    plan = run(request, job)
    assert [item["name"] for item in plan["revisions"]] == ["base", "base2"]
    assert plan["revisions"][0]["python"] == str(tmp_path / "envs" / "k1" / "env" / "bin" / "python")
    assert (plan["changed"], plan["seed"]) == (changed, 7)
    assert (job / "test.py").read_bytes() == b"def experiment(data): ...\n"
    assert str(tmp_path / "envs" / "k1") in read(job / "binds.json")["ro"]
    assert read(job / "binds.json")["rw"] == []
    with pytest.raises(StageError, match="retry prepares it anew"):
        run(replace(request, revisions=(replace(revision, sha="b" * 40),)), job)


@pytest.mark.slow
def test_the_container_exits_0_and_leaves_its_reason(repository: Repository, job: Path, tmp_path: Path) -> None:
    request = request_of(repository, head="f" * 40)
    done = subprocess.run(
        [sys.executable, "-m", "isobench_runner", "fetch", "--in", str(tmp_path), "--out", str(job)],
        env={**os.environ, "ISOBENCH_REQUEST": request.to_json()},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read(job / "outcome.json")["reason"] == "CommitNotFound"


@pytest.mark.slow
@pytest.mark.parametrize(("command", "head"), [("build", "f" * 40), ("build", ""), ("measure", "")])
def test_the_container_after_a_failed_one_has_nothing_to_do_and_exits_0(
    repository: Repository, job: Path, tmp_path: Path, command: str, head: str
) -> None:
    environment = Environment(install=(), python="/no/such/python")
    request: Request = request_of(repository, **({"head": head} if head else {"environment": environment}))
    if command == "measure":
        request = MeasureRequest(
            commit="c",
            nonce="n",
            repository_url=str(repository.path),
            repository="local/demo",
            role="base",
            revisions=(),
            test="sha256:" + "0" * 64,
            origin="given",
            inputs="sha256:" + "0" * 64,
        )
    fetching = [sys.executable, "-m", "isobench_runner", "fetch", "--in", tmp_path, "--out", job]
    subprocess.run(fetching, env={**os.environ, "ISOBENCH_REQUEST": request.to_json()}, check=True, capture_output=True)
    assert read(job / "outcome.json")["reason"] in ("CommitNotFound", "InterpreterNotFound", "StoreUnavailable")
    argv = [sys.executable, "-I", "-S", job / "harness.pyz", command, "--in", job, "--out", tmp_path / "out"]
    done = subprocess.run(argv, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not (tmp_path / "out").exists()
