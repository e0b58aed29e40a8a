"""The command line of the sandbox, by machine and view."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from isobench_operator.cluster.sandbox import Isolation, View, command, none, system_options

SYSTEM = ("--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin")
USER = Isolation(kind="bubblewrap", words="", bwrap="/usr/bin/bwrap", system=SYSTEM)
ROOT = replace(USER, setpriv="/usr/bin/setpriv", uid=10001, nested=True)
FLAT = replace(ROOT, nested=False)
ENV = Path("/root/.cache/envs/k")
VIEW = View(
    read_only=((Path("/r/in"), Path("/r/in")), (ENV, ENV)),
    writable=((Path("/r/out"), Path("/r/out")),),
    folder=Path("/r/tmp"),
)
ARGV = ["/usr/bin/python3", "-I", "-S", "/r/in/harness.pyz", "measure"]


def follows(words: list[str], *part: str) -> bool:
    return any(tuple(words[index : index + len(part)]) == part for index in range(len(words)))


def test_without_isolation_the_command_is_itself() -> None:
    assert command(none("why"), VIEW, ARGV) == ARGV


@pytest.mark.parametrize("isolation", [USER, ROOT, FLAT])
def test_the_command_comes_last_and_starts_in_its_folder(isolation: Isolation) -> None:
    words = command(isolation, VIEW, ARGV)
    assert words[0] == "/usr/bin/bwrap"
    assert words[-len(ARGV) :] == ARGV
    assert follows(words, "--chdir", "/r/tmp")


@pytest.mark.parametrize("isolation", [USER, ROOT, FLAT])
@pytest.mark.parametrize(
    "part",
    [
        ("--ro-bind", "/usr", "/usr"), ("--ro-bind", "/r/in", "/r/in"), ("--ro-bind", str(ENV), str(ENV)), ("--bind", "/r/out", "/r/out"),
        ("--unshare-pid",), ("--unshare-ipc",), ("--unshare-uts",), ("--unshare-net",), ("--proc", "/proc"), ("--dev", "/dev"), ("--die-with-parent",),
        ("--perms", "0755", "--dir", "/root"), ("--perms", "0755", "--dir", "/root/.cache/envs"),
    ],
)  # fmt: skip
def test_every_machine_gets(isolation: Isolation, part: tuple[str, ...]) -> None:
    assert follows(command(isolation, VIEW, ARGV), *part)


@pytest.mark.parametrize("isolation", [USER, ROOT])
@pytest.mark.parametrize("part", [("--unshare-user",), ("--disable-userns",), ("--cap-drop", "ALL")])
def test_user_namespaces_are_made_and_then_forbidden(isolation: Isolation, part: tuple[str, ...]) -> None:
    assert follows(command(isolation, VIEW, ARGV), *part)


@pytest.mark.parametrize("isolation", [ROOT, FLAT])
def test_root_becomes_an_ordinary_user_without_capabilities_before_the_command(isolation: Isolation) -> None:
    words = command(isolation, VIEW, ARGV)
    drop = words.index("/usr/bin/setpriv")
    assert follows(
        words[drop:], "--reuid", "10001", "--regid", "10001", "--clear-groups", "--no-new-privs", "--bounding-set=-all"
    )
    assert words[: drop - 1].count("--") == 0
    assert ("--unshare-user" in words[drop:]) is isolation.nested


def test_an_ordinary_user_needs_no_setpriv_and_cannot_fill_the_root() -> None:
    words = command(USER, VIEW, ARGV)
    assert "--reuid" not in words
    assert follows(words, "--remount-ro", "/")


@pytest.mark.parametrize("isolation", [USER, ROOT, FLAT])
def test_a_build_reaches_the_network_and_a_gpu_is_shown_where_asked(isolation: Isolation) -> None:
    words = command(isolation, replace(VIEW, offline=False, devices=(Path("/dev/nvidia0"),)), ARGV)
    assert "--unshare-net" not in words
    assert follows(words, "--dev-bind", "/dev/nvidia0", "/dev/nvidia0")
    assert words.index("--dev") < words.index("--dev-bind")


def test_what_lies_deeper_is_bound_later() -> None:
    view = replace(
        VIEW,
        read_only=((Path("/a/b/c"), Path("/a/b/c")), (Path("/a"), Path("/a"))),
        writable=((Path("/a/b"), Path("/a/b")),),
    )
    words = command(USER, view, ARGV)
    assert [words[index + 2] for index, word in enumerate(words) if word in ("--ro-bind", "--bind")] == [
        "/usr",
        "/a",
        "/a/b",
        "/a/b/c",
    ]


def test_the_operating_system_is_shown_as_it_is_laid_out(tmp_path: Path) -> None:
    for name in ("usr/bin", "usr/lib", "lib64", "etc", "run/resolved", "home"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "bin").symlink_to("usr/bin")
    (tmp_path / "run/resolved/resolv.conf").write_text("nameserver 127.0.0.53")
    (tmp_path / "etc/resolv.conf").symlink_to("../run/resolved/resolv.conf")
    words = list(system_options(tmp_path))
    assert follows(words, "--ro-bind", f"{tmp_path}/usr", "/usr")
    assert follows(words, "--symlink", "usr/bin", "/bin")
    assert follows(words, "--ro-bind", f"{tmp_path}/lib64", "/lib64")
    assert words[-1].endswith("run/resolved/resolv.conf")
    assert not any("home" in word for word in words)
