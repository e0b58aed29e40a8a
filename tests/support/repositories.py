"""Real git repositories for tests, made of dictionaries of files; git runs as nobody in particular, without the user's configuration."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_WHO = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "C",
    "GIT_COMMITTER_EMAIL": "c@example.org",
}


@dataclass
class Repository:
    """A repository with a work tree; commits are a minute apart from 2024-01-01 on."""

    path: Path
    clock: int = 1_704_067_200

    @classmethod
    def create(cls, path: Path) -> Repository:
        path.mkdir(parents=True, exist_ok=True)
        repository = cls(path)
        repository.git("init", "--quiet", "--initial-branch=main", ".")
        return repository

    def git(self, *arguments: str, stdin: bytes | None = None) -> str:
        """Run git in the work tree; returns its output."""
        date = f"{self.clock} +0200"
        variables = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_GLOBAL": "/dev/null", **_WHO}
        variables |= {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date, "GIT_CONFIG_NOSYSTEM": "1"}
        options = ["-c", "protocol.file.allow=always", "-c", "safe.directory=*"]
        done = subprocess.run(
            ["git", *options, *arguments], cwd=self.path, env=variables, input=stdin, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode("utf-8", "replace").strip()

    def commit(self, files: dict[str, str | bytes | None], message: str = "change") -> str:
        """Write files (None deletes one) and commit everything; returns the sha."""
        for name, content in files.items():
            place = self.path / name
            if content is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_symlink():
                place.unlink()
            place.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all", "--force")
        self.clock += 60
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")
