"""Credentials for git: a mounted Secret of type kubernetes.io/basic-auth or ssh-auth, or the user's own configuration.

A key or password lives in the Secret's files alone: the git child gets the name of a program to ask, never the secret in its argv, its
configuration or its environment. It is told to the host of the repository alone, so a submodule elsewhere cannot ask for it.
"""

from __future__ import annotations

import os
import pwd
import shlex
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from isobench_runner.contract import Reason, StageError

from .commands import environment

_ASK = """#!/bin/sh
case "$1" in
  "Username for '$ISOBENCH_GIT_ORIGIN"*) cat "$ISOBENCH_GIT_SECRET/username" ;;
  "Password for '$ISOBENCH_GIT_SCHEME://"*"@$ISOBENCH_GIT_HOST'"*|"Password for '$ISOBENCH_GIT_ORIGIN'"*) cat "$ISOBENCH_GIT_SECRET/password" ;;
  *) exit 1 ;;
esac
"""


def _home() -> dict[str, str]:
    """On a laptop a Job has a HOME of its own, but git is to find the user's configuration."""
    if os.environ.get("ISOBENCH_RUNTIME") != "embedded" or "GIT_CONFIG_GLOBAL" in os.environ:
        return {}
    try:
        return {"HOME": pwd.getpwuid(os.getuid()).pw_dir}
    except KeyError:
        return {}


@dataclass
class Access:
    """How remotes of one repository are reached; a context manager, since an SSH key needs a private copy while git runs.

    Attributes:
        url: the repository's URL or absolute path.
        folder: the mounted Secret, or None.
    """

    url: str
    folder: Path | None = None
    _private: Path | None = field(default=None, init=False)
    _variables: dict[str, str] = field(default_factory=dict, init=False)
    _settings: dict[str, str] = field(default_factory=dict, init=False)

    def __enter__(self) -> Self:
        """Lay out what git is to ask.

        Raises:
            StageError: MissingInput, naming the key that the Secret lacks.
        """
        if self.folder is None:
            self._variables = {"GIT_ASKPASS": "true", "SSH_ASKPASS": "true"} | _home()
            self._variables["GIT_SSH_COMMAND"] = os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
            return self
        self._private = Path(tempfile.mkdtemp(prefix="git-access-"))
        if (self.folder / "ssh-privatekey").is_file():
            self._ssh(self.folder, self._private)
        elif (self.folder / "username").is_file() and (self.folder / "password").is_file():
            self._basic(self.folder, self._private)
        else:
            self.__exit__(None, None, None)
            raise StageError(
                Reason.MISSING_INPUT,
                f"the git Secret mounted at {self.folder} holds neither username and password (kubernetes.io/basic-auth) "
                "nor ssh-privatekey and known_hosts (kubernetes.io/ssh-auth); correct repository.credentialsSecretRef",
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._private is not None:
            shutil.rmtree(self._private, ignore_errors=True)
            self._private = None

    def _basic(self, folder: Path, private: Path) -> None:
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        program = private / "ask"
        program.write_text(_ASK)
        program.chmod(0o700)
        self._settings = {"credential.helper": ""}
        self._variables = {
            "GIT_ASKPASS": str(program),
            "ISOBENCH_GIT_SECRET": str(folder),
            "ISOBENCH_GIT_SCHEME": parts.scheme,
            "ISOBENCH_GIT_HOST": host,
            "ISOBENCH_GIT_ORIGIN": f"{parts.scheme}://{host}",
        } | _home()

    def _ssh(self, folder: Path, private: Path) -> None:
        if not (folder / "known_hosts").is_file():
            self.__exit__(None, None, None)
            raise StageError(
                Reason.MISSING_INPUT,
                f"the git Secret mounted at {folder} has no known_hosts, without which the server cannot be told from an "
                "impostor; add what `ssh-keyscan HOST` prints, once compared with the host's published keys",
            )
        key = private / "key"
        key.touch(mode=0o600)
        key.write_text((folder / "ssh-privatekey").read_text().rstrip("\n") + "\n")
        options = [
            "-F",
            "none",
            "-i",
            str(key),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
            "-o",
            "BatchMode=yes",
        ]
        options += ["-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={folder / 'known_hosts'}"]
        self._settings = {"credential.helper": ""}
        self._variables = {"GIT_SSH_COMMAND": shlex.join(["ssh", *options]), "GIT_ASKPASS": "true"} | _home()

    def environment(self) -> dict[str, str]:
        """The environment of a git child that speaks to a remote."""
        return environment(network=True, settings=self._settings, variables=self._variables)
