"""What a stage prints is shown, kept, bounded, and without secrets: by real processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from isobench_runner.contract import CollectRequest, GenerateRequest, MeasureRequest, Model, PrepareRequest, Publish
from isobench_runner.transcript import CUT, MAX_BYTES, redacted, secrets_of

KEPT = """
import subprocess, sys
from pathlib import Path
from isobench_runner.transcript import Transcript
with Transcript(Path(sys.argv[1]), frozenset({{b"hunter22", b"hunter22-and-more"}})):
    {body}
print("after")
"""
COMMON = {"commit": "c", "nonce": "n", "repository_url": "u", "repository": "o/r"}


def kept(path: Path, body: str) -> tuple[subprocess.CompletedProcess[str], str]:
    done = subprocess.run(
        [sys.executable, "-c", KEPT.format(body=body), str(path)],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done, path.read_text()


def test_both_streams_and_those_of_children_are_kept_and_shown(tmp_path: Path) -> None:
    body = "print('one'); sys.stderr.write('two\\n'); subprocess.run(['sh', '-c', 'echo three; printf four >&2'])"
    done, log = kept(tmp_path / "fetch.log", body)
    assert sorted(done.stdout.splitlines()) == ["after", "one", "three"]
    assert done.stderr == "two\nfour"
    assert sorted(log.replace("four", "four\n").split()) == ["four", "one", "three", "two"]


def test_neither_the_log_nor_the_output_has_a_secret_even_one_that_comes_in_pieces(tmp_path: Path) -> None:
    body = "[print(one, end='', flush=True) for one in ('key hun', 'ter', '22-and-more, hunter22\\n')]; print('https://me:pw@host/x')"
    done, log = kept(tmp_path / "fetch.log", body)
    assert log == "key ***, ***\nhttps://host/x\n"
    assert done.stdout == f"{log}after\n"


def test_a_flood_is_shown_whole_and_kept_up_to_its_limit(tmp_path: Path) -> None:
    done, log = kept(
        tmp_path / "fetch.log",
        f"print('x' * 99 + '\\n' * 1, end='') or [print('y' * 99) for _ in range({MAX_BYTES // 50})]",
    )
    assert len(done.stdout) > MAX_BYTES * 1.9
    assert MAX_BYTES < len(log) <= MAX_BYTES + len(CUT)
    assert log.endswith(CUT.decode())


def test_a_log_that_cannot_be_kept_holds_up_nobody(tmp_path: Path) -> None:
    body = f"print('x' * {MAX_BYTES})"
    done = subprocess.run(
        [sys.executable, "-c", KEPT.format(body=body), str(tmp_path / "not there" / "fetch.log")],
        check=True, capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert done.stdout == f"{'x' * MAX_BYTES}\nafter\n"


def test_a_daemon_that_holds_the_output_does_not_hold_up_the_stage(tmp_path: Path) -> None:
    done, log = kept(tmp_path / "fetch.log", "subprocess.Popen(['sleep', '30'], start_new_session=True); print('done')")
    assert (log, done.stdout) == ("done\n", "done\nafter\n")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b"pip: https://u:p@pypi.example/simple", b"pip: https://pypi.example/simple"),
        (b"ssh://git@host/a.git", b"ssh://host/a.git"),
        (b"mail a@b.example", b"mail a@b.example"),
        (b"short and sweet-secret", b"short and ***"),
        (b"", b""),
    ],
)
def test_what_is_redacted(text: bytes, shown: bytes) -> None:
    assert redacted(text, {b"sweet-secret", b"secret!!"}) == shown


def test_every_secret_that_a_job_mounts_is_known_and_nothing_else(tmp_path: Path) -> None:
    files = {
        "git/username": "somebody", "git/password": "git-password\n", "git/known_hosts": "host ssh-rsa AAAA",
        "model/key": "model-key-1", "hub/token": "hub-token-1", "store/AWS_SECRET_ACCESS_KEY": "store-key-1", "store/short": "x",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    store = {"ISOBENCH_STORE_CREDENTIALS": str(tmp_path / "store")}
    git, model = str(tmp_path / "git"), Model(provider="openai", model="m", key_file=str(tmp_path / "model" / "key"))
    publish = Publish(repository="o/d", token_file=str(tmp_path / "hub" / "token"))
    measure = MeasureRequest(**COMMON, role="base", revisions=(), test="t", origin="given", inputs="i")
    assert secrets_of(PrepareRequest(**COMMON, role="head", head="h", credentials=git), {}) == {b"git-password"}
    assert secrets_of(GenerateRequest(**COMMON, head="h", models=(model,), credentials=git), store) == {
        b"git-password", b"model-key-1", b"store-key-1",
    }  # fmt: skip
    assert secrets_of(CollectRequest(**COMMON, dataset="d", publish=publish), {}) == {b"hub-token-1"}
    assert secrets_of(measure, store) == {b"store-key-1"}
    assert secrets_of(measure, {"ISOBENCH_STORE_CREDENTIALS": str(tmp_path / "none")}) == frozenset()
