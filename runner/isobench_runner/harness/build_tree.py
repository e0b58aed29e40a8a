"""Handles the files of an environment's folder: empties it, unpacks the revision's tree, takes git out of it, writes bytecode."""

import os
import shutil
import subprocess
import tarfile
import time

from .build_environment import bare_variables, python_of
from .build_errors import BuildError

COMPILE_WORKERS = "2"


def remove(folder: str) -> None:
    """Remove a folder of whatever the lines left in it, read-only folders among them."""
    for base, folders, _ in os.walk(folder):
        for name in folders:
            path = os.path.join(base, name)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
    shutil.rmtree(folder, ignore_errors=True)


def wipe(env_dir: str) -> None:
    """Empty the folder; it stays itself, for it may be mounted and it carries the lock."""
    for name in os.listdir(env_dir):
        path = os.path.join(env_dir, name)
        if os.path.isdir(path) and not os.path.islink(path):
            remove(path)
        else:
            os.unlink(path)


def extract(archive: str, folder: str) -> None:
    """Unpack an archive as files of this user: git and setuptools_scm refuse a checkout of another owner.

    Raises:
        BuildError: DiskFull.
    """
    os.makedirs(folder, exist_ok=True)
    tar = shutil.which("tar")
    if tar:
        try:
            subprocess.run([tar, "-xf", archive, "-C", folder, "--no-same-owner"], check=True, stderr=subprocess.PIPE)
            return
        except subprocess.CalledProcessError as error:
            if b"No space left" in error.stderr:
                raise BuildError("DiskFull", error.stderr.decode("utf-8", "replace")) from error
            raise
    with tarfile.open(archive) as file:
        for member in file.getmembers():
            member.uid, member.gid = os.getuid(), os.getgid()
        options = {"filter": "fully_trusted"} if hasattr(tarfile, "fully_trusted_filter") else {}
        file.extractall(folder, **options)  # type: ignore[arg-type]


def pack(env_dir: str, archive: str) -> None:
    """Put an environment with its tree and manifest into one archive.

    Raises:
        BuildError: DiskFull.
    """
    names = sorted(name for name in ("env", "tree", "environment.json") if os.path.exists(os.path.join(env_dir, name)))
    tar = shutil.which("tar")
    if tar:
        argv = [tar, "-cf", archive, "-C", env_dir, "--numeric-owner", *names]
        done = subprocess.run(argv, stderr=subprocess.PIPE, check=False)
        if done.returncode == 0:
            return
        words = done.stderr.decode("utf-8", "replace")
        raise BuildError("DiskFull" if "No space left" in words else "ResultInvalid", words)
    with tarfile.open(archive, "w") as file:
        for name in names:
            file.add(os.path.join(env_dir, name), arcname=name)


def remove_git(tree: str) -> None:
    """Remove every `.git`, of submodules too: a stored tree is files and no history."""
    for base, folders, files in os.walk(tree):
        if ".git" in folders:
            folders.remove(".git")
            remove(os.path.join(base, ".git"))
        if ".git" in files:
            os.unlink(os.path.join(base, ".git"))


def compile_all(env_dir: str, deadline: float) -> None:
    """Write bytecode that is checked by content: with times in it, unpacking elsewhere or an edit within a second goes wrong.

    Files that do not compile, of which test data has many, are left as they are.
    """
    python = python_of(env_dir)
    places = [os.path.join(env_dir, "env", "lib"), os.path.join(env_dir, "tree")]
    argv = [
        python,
        "-I",
        "-m",
        "compileall",
        "-q",
        "-j",
        COMPILE_WORKERS,
        "--invalidation-mode",
        "checked-hash",
        *places,
    ]
    try:
        subprocess.run(
            argv,
            cwd="/",
            env=bare_variables(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=max(0.1, deadline - time.monotonic()),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError("BuildTimeout", "compiling was still going on when the build's limit was reached") from error
