"""One process's private places: its folders, the work folder that looks like the checkout, its environment variables, its memory.

What a process may read of another run is decided here: nothing but compiled kernels. No process is started here.
"""

import contextlib
import os
import shutil
import tempfile
from typing import Dict, Optional

PASSED_ON = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "CUDA_VISIBLE_DEVICES",
    "CUDA_HOME",
    "CUDA_PATH",
    "SSL_CERT_FILE",
)
PASSED_ON_PREFIXES = ("NVIDIA_",)
THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "RAYON_NUM_THREADS",
)
QUIET_POOLS = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "OPENBLAS_THREAD_TIMEOUT": "4"}
"""Numeric libraries' threads spin for milliseconds after a call, which cannot be told from deferred work: here they sleep at once."""
CODE_CACHES = ("TRITON_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR", "NUMBA_CACHE_DIR", "CUDA_CACHE_PATH")
"""Caches of compiled kernels: filled by a revision's pilot and copied for each of its workers, unlike every other cache."""
MAX_CODE_CACHE_BYTES = 512 << 20
MAX_TRASH_BYTES = 1 << 30
MAX_PAD = 4096
"""Bytes of environment that move the stack by up to a page."""


def folders(root: str, tree: str, test: bytes) -> Dict[str, str]:
    """Make one process's private folders below `root`: home, tmp, cache, out and `work`.

    `work` looks like the checkout: its entries are links into `tree`, beside `_generated_perf_tests/test_generated.py` of its own.
    """
    place = tempfile.mkdtemp(prefix="p", dir=root)
    folders = {name: os.path.join(place, name) for name in ("home", "tmp", "cache", "out", "work")}
    for folder in folders.values():
        os.mkdir(folder, 0o700)
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(tree):
            if name not in (".git", "_generated_perf_tests"):
                os.symlink(os.path.join(tree, name), os.path.join(folders["work"], name))
    own = os.path.join(folders["work"], "_generated_perf_tests")
    os.mkdir(own)
    folders["test"] = os.path.join(own, "test_generated.py")
    with open(folders["test"], "wb") as file:
        file.write(test)
    folders["place"] = place
    return folders


def environment(folders: Dict[str, str], *, python: str, hashseed: int, pad: int, threads: int) -> Dict[str, str]:
    """The environment of one process: an allow-list of ours, private folders, the round's hash seed and padding."""
    env = {
        name: value for name, value in os.environ.items() if name in PASSED_ON or name.startswith(PASSED_ON_PREFIXES)
    }
    prefix = os.path.dirname(os.path.dirname(python))
    env["PATH"] = os.path.dirname(python) + os.pathsep + env.get("PATH", "/usr/local/bin:/usr/bin:/bin")
    env.setdefault("LANG", "C.UTF-8")
    env["VIRTUAL_ENV"] = prefix
    env["HOME"], env["TMPDIR"], env["XDG_CACHE_HOME"] = folders["home"], folders["tmp"], folders["cache"]
    env["USER"] = env["LOGNAME"] = "user"
    env["MPLCONFIGDIR"] = os.path.join(folders["cache"], "matplotlib")
    for name in CODE_CACHES:
        env[name] = os.path.join(folders["cache"], "code", name.lower())
    for name in THREAD_VARIABLES:
        env[name] = str(threads)
    env.update(QUIET_POOLS)
    env["PYTHONHASHSEED"] = str(hashseed)
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    env["PYTHONNOUSERSITE"] = "1"
    env["PYTHONUNBUFFERED"] = "1"
    env["PADDING"] = "x" * pad
    return env


def copy_code_caches(source: str, target: str) -> bool:
    """Copy compiled kernels from one process's cache folder to another's; too large a cache is left, and False returned."""
    origin = os.path.join(source, "code")
    if not os.path.isdir(origin):
        return True
    size = 0
    for folder, _, names in os.walk(origin):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(folder, name)).st_size
    if size > MAX_CODE_CACHE_BYTES:
        return False
    shutil.copytree(origin, os.path.join(target, "code"), symlinks=True, dirs_exist_ok=True)
    return True


def empty_folder(folder: str) -> None:
    """Remove everything in a folder, whatever it is, without following links; what cannot be removed is left."""
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.is_dir(follow_symlinks=False):
                _remove_tree(entry.path)
            else:
                with contextlib.suppress(OSError):
                    os.unlink(entry.path)


def _remove_tree(path: str) -> None:
    for folder, _, _ in os.walk(path):
        with contextlib.suppress(OSError):
            os.chmod(folder, 0o700)
    shutil.rmtree(path, ignore_errors=True)


class Trash:
    """Folders that are no longer needed: taken out of sight at once, which is cheap, and removed when nothing is being timed.

    Where what lies there may fill the disk, it is removed at once.
    """

    def __init__(self, root: str) -> None:
        self._place = os.path.join(root, "trash")
        os.mkdir(self._place, 0o700)
        self._count = 0
        self._free = self._free_bytes()

    def _free_bytes(self) -> int:
        found = os.statvfs(self._place)
        return found.f_bavail * found.f_frsize

    def throw(self, path: str) -> None:
        """Take a folder away; empties itself where a GiB or half of what was free has been used since the start."""
        self._count += 1
        try:
            os.rename(path, os.path.join(self._place, str(self._count)))
        except OSError:
            remove(path)
        if self._free - self._free_bytes() > min(MAX_TRASH_BYTES, self._free // 2):
            empty_folder(self._place)


def remove(path: str) -> None:
    """Remove a folder and all below it, as far as that works."""
    _remove_tree(path)


def memory_limit() -> Optional[int]:
    """Bytes of data one process may hold: 85 % of what the cgroup or the machine has left; None where neither says."""
    limits = []
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError), open(name) as file:
            limits.append(int(file.read()))
    with contextlib.suppress(OSError, ValueError), open("/proc/meminfo") as file:
        limits += [int(line.split()[1]) * 1024 for line in file if line.startswith("MemTotal:")]
    return int(min(limits) * 0.85) if limits else None
