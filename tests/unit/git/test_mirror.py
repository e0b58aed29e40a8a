"""Mirrors: every way to name a commit, what an interrupted fetch leaves, and what a hostile or closed remote may not do."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from isobench_runner.contract import Reason, StageError
from isobench_runner.git import Access, Git, Mirror, Mirrors, local_repository_name, resolve_base
from isobench_runner.git.urls import submodule_url
from support.repositories import Repository


@pytest.fixture
def origin(tmp_path: Path) -> Repository:
    repository = Repository.create(tmp_path / "origin")
    repository.commit({"a.py": "x = 1\n"}, "first")
    repository.commit({"a.py": "x = 2\n"}, "second")
    return repository


def mirror_of(repository: Repository, tmp_path: Path, url: str | None = None) -> Mirror:
    address = url or str(repository.path)
    return Mirrors(tmp_path / "mirrors").of(address, Access(address).__enter__())


def reason_of(failure: pytest.ExceptionInfo[StageError]) -> Reason:
    return failure.value.reason


def test_a_commit_is_found_by_sha_abbreviation_branch_and_tag(origin: Repository, tmp_path: Path) -> None:
    sha = origin.git("rev-parse", "HEAD")
    origin.git("tag", "--annotate", "v1", "--message", "v1")
    mirror = mirror_of(origin, tmp_path)
    assert [mirror.commit(name) for name in (sha, sha[:8], "main", "v1")] == [sha] * 4


def test_a_file_url_and_a_path_reach_the_same_commits(origin: Repository, tmp_path: Path) -> None:
    sha = origin.git("rev-parse", "HEAD")
    assert mirror_of(origin, tmp_path, f"file://{origin.path}").commit(sha) == sha


def test_a_commit_that_no_branch_has_is_fetched_by_its_sha(origin: Repository, tmp_path: Path) -> None:
    lost = origin.commit({"a.py": "x = 3\n"}, "lost")
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    assert mirror_of(origin, tmp_path).commit(lost) == lost


def test_a_commit_stays_in_the_mirror_after_a_force_push(origin: Repository, tmp_path: Path) -> None:
    sha = origin.git("rev-parse", "HEAD")
    mirror = mirror_of(origin, tmp_path)
    mirror.commit(sha)
    origin.git("reset", "--quiet", "--hard", "HEAD~1")
    origin.git("reflog", "expire", "--expire=now", "--all")
    origin.git("gc", "--quiet", "--prune=now")
    mirror.commit("main")
    assert mirror.commit(sha) == sha
    mirror.git.run("gc", "--quiet", "--prune=now")
    assert mirror.has(sha)


@pytest.mark.parametrize("name", ["0123456789" * 4, "-q", "no-such-branch"])
def test_a_missing_commit_is_told_with_its_name_and_the_field_that_has_it(
    origin: Repository, tmp_path: Path, name: str
) -> None:
    with pytest.raises(StageError, match=f"spec.head: .*{name}") as failure:
        mirror_of(origin, tmp_path).commit(name, field="spec.head")
    assert reason_of(failure) is Reason.COMMIT_NOT_FOUND


def test_a_present_commit_needs_no_remote(origin: Repository, tmp_path: Path) -> None:
    sha = origin.git("rev-parse", "HEAD")
    mirror = mirror_of(origin, tmp_path)
    mirror.commit(sha)
    origin.path.rename(tmp_path / "moved")
    assert mirror.commit(sha) == sha


def test_a_root_commit_has_no_parent(origin: Repository, tmp_path: Path) -> None:
    mirror = mirror_of(origin, tmp_path)
    root = mirror.commit(origin.git("rev-list", "--max-parents=0", "HEAD"))
    with pytest.raises(StageError, match="name base") as failure:
        resolve_base(mirror, root, None)
    assert reason_of(failure) is Reason.NO_PARENT


def test_base_of_a_merge_is_its_first_parent(origin: Repository, tmp_path: Path) -> None:
    origin.git("checkout", "--quiet", "-b", "side", "HEAD~1")
    origin.commit({"b.py": "y = 1\n"}, "side")
    origin.git("checkout", "--quiet", "main")
    first = origin.git("rev-parse", "HEAD")
    origin.git("merge", "--quiet", "--no-ff", "--message", "merge", "side")
    mirror = mirror_of(origin, tmp_path)
    assert resolve_base(mirror, mirror.commit("main"), None) == first


def test_the_parent_that_a_shallow_clone_hides_is_asked_for_by_name(origin: Repository, tmp_path: Path) -> None:
    shallow = Repository.create(tmp_path / "shallow")
    shallow.git("fetch", "--quiet", "--depth=1", f"file://{origin.path}", "main")
    shallow.git("reset", "--quiet", "--hard", "FETCH_HEAD")
    mirror = mirror_of(shallow, tmp_path)
    head = mirror.commit("main")
    with pytest.raises(StageError, match="shallow clone") as failure:
        resolve_base(mirror, head, None)
    assert reason_of(failure) is Reason.COMMIT_NOT_FOUND
    assert origin.git("rev-parse", "HEAD~1") in str(failure.value)


def test_main_is_the_default_branch_of_a_local_path(origin: Repository, tmp_path: Path) -> None:
    sha = origin.git("rev-parse", "HEAD")
    mirror = mirror_of(origin, tmp_path)
    assert mirror.main(None) == sha
    clone = Repository.create(tmp_path / "clone")
    clone.git("remote", "add", "origin", str(origin.path))
    clone.git("fetch", "--quiet", "origin")
    clone.git("remote", "set-head", "origin", "main")
    clone.git("checkout", "--quiet", "-b", "work", "origin/main")
    clone.commit({"a.py": "mine\n"})
    assert mirror_of(clone, tmp_path).main(None) == sha
    assert mirror_of(clone, tmp_path).main("work") == clone.git("rev-parse", "HEAD")


@pytest.mark.parametrize("damage", ["lock", "half a pack", "no HEAD", "config cut", "empty objects"])
def test_what_an_interrupted_fetch_left_is_healed(origin: Repository, tmp_path: Path, damage: str) -> None:
    mirror = mirror_of(origin, tmp_path)
    mirror.commit("main")
    match damage:
        case "lock":
            (mirror.path / "packed-refs.lock").touch()
            (mirror.path / "config.lock").touch()
            (mirror.path / "refs" / "heads" / "main.lock").touch()
        case "half a pack":
            (mirror.path / "objects" / "pack" / "tmp_pack_x").write_bytes(b"PACK")
        case "no HEAD":
            (mirror.path / "HEAD").unlink()
        case "config cut":
            (mirror.path / "config").write_text("[core")
        case _:
            for place in mirror.path.glob("objects/??/*"):
                place.chmod(0o644)
                place.write_bytes(b"")
    sha = origin.commit({"a.py": f"{damage!r}\n"})
    assert mirror.commit(sha) == sha
    assert not list(mirror.path.rglob("*.lock"))
    assert not list(mirror.path.rglob("tmp_*"))


@pytest.mark.parametrize(
    "url", ["ext::sh -c touch% /tmp/x", "--upload-pack=touch /tmp/x", "gopher://x/y", "https://x/y\n", "fd::7"]
)
def test_a_url_that_would_run_a_program_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(StageError) as failure:
        Mirrors(tmp_path).of(url, Access(url))
    assert reason_of(failure) is Reason.SPEC_INVALID


def test_a_missing_folder_is_unreachable(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no such folder") as failure:
        Mirrors(tmp_path).of("/no/such/place", Access("/no/such/place"))
    assert reason_of(failure) is Reason.REPOSITORY_UNREACHABLE


class AskingHandler(http.server.BaseHTTPRequestHandler):
    """Asks everyone for a password, and remembers what it was told."""

    told: list[str]

    def do_GET(self) -> None:
        answer = self.headers.get("Authorization")
        if answer:
            self.told.append(answer)
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="git"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Say nothing."""


@pytest.fixture
def asking() -> Iterator[tuple[str, list[str]]]:
    told: list[str] = []
    handler = type("Handler", (AskingHandler,), {"told": told})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/o/r.git", told
        server.shutdown()


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    folder = tmp_path / "secret"
    folder.mkdir()
    (folder / "username").write_text("me")
    (folder / "password").write_text("hunter2")
    return folder


def test_a_remote_that_refuses_the_password_is_a_failure_of_its_own(
    asking: tuple[str, list[str]], secret: Path, tmp_path: Path
) -> None:
    url, told = asking
    with Access(url, secret) as access, pytest.raises(StageError) as failure:
        Mirrors(tmp_path / "m").of(url, access).commit("main")
    assert reason_of(failure) is Reason.AUTHENTICATION_FAILED
    assert told
    assert "hunter2" not in str(failure.value)
    assert not any(b"hunter2" in place.read_bytes() for place in (tmp_path / "m").rglob("*") if place.is_file())


def test_without_credentials_nobody_is_asked_on_a_terminal(asking: tuple[str, list[str]], tmp_path: Path) -> None:
    url, told = asking
    with Access(url) as access, pytest.raises(StageError) as failure:
        Mirrors(tmp_path / "m").of(url, access).commit("main")
    assert reason_of(failure) is Reason.AUTHENTICATION_FAILED
    assert [answer for answer in told if "Og==" not in answer] == []


def test_a_password_is_told_to_the_host_of_the_repository_alone(
    asking: tuple[str, list[str]], secret: Path, tmp_path: Path
) -> None:
    url, told = asking
    with Access("https://github.com/o/r.git", secret) as access, pytest.raises(StageError):
        Mirrors(tmp_path / "m").of(url, access).commit("main")
    assert not any(answer for answer in told if "bWU6aHVudGVyMg" in answer)


def test_a_password_in_the_url_is_in_no_message(asking: tuple[str, list[str]], tmp_path: Path) -> None:
    url = asking[0].replace("http://", "http://me:hunter2@")
    with Access(url) as access, pytest.raises(StageError) as failure:
        Mirrors(tmp_path / "m").of(url, access).commit("main")
    assert "hunter2" not in str(failure.value)


def test_an_incomplete_secret_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="username and password") as failure, Access("https://x/y/z", tmp_path):
        pass
    assert reason_of(failure) is Reason.MISSING_INPUT
    (tmp_path / "ssh-privatekey").write_text("k")
    with pytest.raises(StageError, match="known_hosts"), Access("git@x:y/z", tmp_path):
        pass


def test_an_ssh_key_is_private_while_it_is_used_and_gone_after(tmp_path: Path) -> None:
    (tmp_path / "ssh-privatekey").write_text("the key")
    (tmp_path / "known_hosts").write_text("x")
    with Access("git@x:y/z", tmp_path) as access:
        command = access.environment()["GIT_SSH_COMMAND"].split()
        key = Path(command[command.index("-i") + 1])
        assert key.stat().st_mode & 0o777 == 0o600
        assert "StrictHostKeyChecking=yes" in command
    assert not key.exists()


def test_nobody_listens_is_unreachable(tmp_path: Path) -> None:
    url = "http://127.0.0.1:1/o/r.git"
    with Access(url) as access, pytest.raises(StageError) as failure:
        Mirrors(tmp_path / "m").of(url, access).commit("main")
    assert reason_of(failure) is Reason.REPOSITORY_UNREACHABLE


def test_a_local_repository_is_named_by_its_origin(origin: Repository, tmp_path: Path) -> None:
    assert local_repository_name(str(origin.path)) == "local/origin"
    origin.git("remote", "add", "origin", "git@github.com:who/what.git")
    assert local_repository_name(str(origin.path)) == "who/what"
    assert local_repository_name(f"file://{origin.path}") == "who/what"
    assert local_repository_name("https://github.com/a/b.git") == "a/b"
    assert local_repository_name(str(tmp_path)) == f"local/{tmp_path.name}"


@pytest.mark.parametrize(
    ("parent", "url", "absolute"),
    [
        ("https://h/o/r.git", "../s.git", "https://h/o/s.git"),
        ("https://h/o/r", "../../p/s", "https://h/p/s"),
        ("git@h:o/r.git", "../s.git", "git@h:o/s.git"),
        ("/srv/o/r", "../s", "/srv/o/s"),
        ("https://h/o/r", "https://x/y", "https://x/y"),
    ],
)
def test_relative_submodule_urls(parent: str, url: str, absolute: str) -> None:
    assert submodule_url(parent, url) == absolute


def test_the_repository_s_own_configuration_runs_nothing(origin: Repository, tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    hook = origin.path / ".git" / "hooks" / "post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {trap}\n")
    hook.chmod(0o755)
    origin.git("config", "core.fsmonitor", f"touch {trap}")
    origin.git("config", "uploadpack.packObjectsHook", f"touch {trap};")
    mirror = mirror_of(origin, tmp_path)
    mirror.commit("main")
    Git(mirror.path).run("diff", "main~1", "main")
    assert not trap.exists()
