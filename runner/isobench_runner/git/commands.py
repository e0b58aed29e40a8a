"""How git is run: one place that decides what a child process of git may see and do.

Two worlds. Commands that speak to a remote see the user's own git configuration (proxies, `insteadOf`, credential helpers) and the
credentials given; everything else sees no configuration but ours, so that neither the user's filters nor the repository's choice of
drivers can run a program. Nothing here knows what a commit or a diff is.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import git

LOCAL_SECONDS = 600
"""The longest that a command without network may take; a rename-aware diff of a large merge takes seconds."""
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"

_SAFE = {
    "safe.directory": "*",
    "protocol.ext.allow": "never",
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.attributesFile": "/dev/null",
    "core.logAllRefUpdates": "false",
    "attr.tree": EMPTY_TREE,
    "gc.auto": "0",
    "maintenance.auto": "false",
    "advice.detachedHead": "false",
    "fetch.recurseSubmodules": "false",
    "submodule.recurse": "false",
    "transfer.fsckObjects": "false",
    "filter.lfs.smudge": "",
    "filter.lfs.process": "",
    "filter.lfs.required": "false",
}
_PASSED_ON = (
    "PATH", "HOME", "USER", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "http_proxy", "https_proxy",
    "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY", "SSH_AUTH_SOCK", "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL",
)  # fmt: skip


class GitError(Exception):
    """A git command failed; `words` is what it said, without progress lines.

    Attributes:
        status: its exit status; None where it was killed at its time limit.
    """

    def __init__(self, words: str, *, status: int | None) -> None:
        super().__init__(words)
        self.words = words
        self.status = status


def _numbered(settings: Mapping[str, str]) -> dict[str, str]:
    """git's GIT_CONFIG_COUNT form: settings that neither stand in argv nor in a file."""
    variables = {"GIT_CONFIG_COUNT": str(len(settings))}
    for index, (key, value) in enumerate(settings.items()):
        variables[f"GIT_CONFIG_KEY_{index}"] = key
        variables[f"GIT_CONFIG_VALUE_{index}"] = value
    return variables


def environment(
    *, network: bool, settings: Mapping[str, str] | None = None, variables: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The whole environment of a git child.

    Args:
        network: whether it speaks to a remote, and so may see the user's own configuration.
        settings: further configuration, after ours.
        variables: further environment variables.
    """
    result = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    result |= {"LC_ALL": "C", "LANGUAGE": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1"}
    result |= {"GIT_OPTIONAL_LOCKS": "0", "GIT_ADVICE": "0", "GCM_INTERACTIVE": "never"}
    if not network:
        result |= {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "HOME": "/nonexistent"}
    result |= _numbered({**_SAFE, **(settings or {})})
    return result | dict(variables or {})


def _words(text: str | bytes) -> str:
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.strip().removeprefix("stderr: ").strip("'")
    lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return "\n".join(
        line for line in lines if line and not line.startswith(("remote: Counting", "remote: Compressing"))
    )


class Git:
    """Runs git in one folder, through GitPython."""

    def __init__(self, folder: Path, *, variables: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self._git = git.Git(str(folder))
        self._variables = dict(variables or {})

    def run(
        self,
        *arguments: str,
        network: dict[str, str] | None = None,
        seconds: float = LOCAL_SECONDS,
        stdin: BinaryIO | None = None,
    ) -> bytes:
        """Run `git ARGUMENTS`; returns its standard output.

        Args:
            network: the whole environment of a command that speaks to a remote; None for one that does not.
            seconds: its time limit; it is killed then.

        Raises:
            GitError: a status other than 0, or the limit.
        """
        variables = self._variables | (environment(network=False) if network is None else network)
        try:
            output = self._git.execute(
                ["git", *arguments],
                istream=stdin,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=seconds,
                env=variables,
            )
        except git.GitCommandNotFound as error:
            raise GitError("git is not installed, or not on PATH", status=127) from error
        except git.GitCommandError as error:
            words = _words(error.stderr)
            timed_out = words.startswith("Timeout: ")
            status = None if timed_out or not isinstance(error.status, int) else error.status
            raise GitError(f"no end within {seconds:g} s" if timed_out else words, status=status) from error
        assert isinstance(output, bytes)
        return output

    def text(self, *arguments: str) -> str:
        """The output of a command without network as text, without the last line's end."""
        return self.run(*arguments).decode("utf-8", "replace").rstrip("\n")

    def bounded(self, arguments: Sequence[str], limit: int) -> bytes | None:
        """The output of a command, or None where it is longer than `limit` bytes: then it is stopped."""
        process = self._git.execute(
            ["git", *arguments], as_process=True, env=environment(network=False) | self._variables
        )
        assert isinstance(process, git.Git.AutoInterrupt)
        child = process.proc
        assert isinstance(child, subprocess.Popen)
        assert child.stdout is not None
        assert child.stderr is not None
        with child.stdout, child.stderr:
            output: bytes = child.stdout.read(limit + 1)
            if len(output) > limit:
                child.kill()
                child.wait()
                return None
            words = child.stderr.read()
        if child.wait() != 0:
            raise GitError(_words(words), status=child.returncode)
        return output
