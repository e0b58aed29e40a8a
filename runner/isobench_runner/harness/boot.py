"""How a worker comes by its own modules: compiled once per revision, by that revision's interpreter, and read by each process from memory.

From a .pyz they would be compiled again in every process, which is a third of a short round. The memory is sealed: no revision can
change what a later process runs. All revisions get theirs so or none does, for the time to start is compared, too.
"""

import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING, Dict, Optional

from .processes import Died, Late, Process

if TYPE_CHECKING:
    from .session import Session

MAX_BYTES = 1 << 20
SECONDS = 10.0
F_ADD_SEALS, SEALS = 1033, 0x1 | 0x2 | 0x4 | 0x8
"""linux/fcntl.h: no more seals, no shrinking, no growing, no writing."""
NONE = "-1"

COMPILE = """\
import marshal, os, sys
root, package, memory, _, reply = sys.argv[1:6]
sys.path.insert(0, root)
__import__(package + ".worker")
top = package.partition(".")[0]
found = {}
for name, module in list(sys.modules.items()):
    if name == top or name.startswith(top + "."):
        spec = module.__spec__
        found[name] = spec.submodule_search_locations is not None, spec.loader.get_code(name)
with open(int(memory), "wb") as file:
    file.write(marshal.dumps(found))
os.write(int(reply), b"done\\n")
"""

BOOT = """\
import sys
root, package, memory = sys.argv[1:4]
if memory == "-1":
    sys.path[0] = root
    __import__(package + ".worker")
else:
    import marshal, os
    from importlib.machinery import ModuleSpec
    codes = marshal.loads(os.pread(int(memory), os.fstat(int(memory)).st_size, 0))
    os.close(int(memory))
    class Modules:
        @staticmethod
        def find_spec(name, path=None, target=None):
            return ModuleSpec(name, Modules, is_package=codes[name][0]) if name in codes else None
        @staticmethod
        def create_module(spec):
            return None
        @staticmethod
        def exec_module(module):
            exec(codes[module.__name__][1], module.__dict__)
    del sys.path[0]
    sys.meta_path.insert(0, Modules)
    __import__(package + ".worker")
    sys.meta_path.remove(Modules)
sys.modules[package + ".worker"].main()
"""
"""Arguments: the harness's root and package, the memory with its compiled modules (-1: import them), and the two pipes."""


def compile_all(session: "Session") -> Dict[str, int]:
    """Sealed memory with the worker's modules for every revision, by name; empty where any of them cannot have it."""
    found: Dict[str, int] = {}
    for name in session.names:
        memory = _compiled(session, name)
        if memory is None:
            for other in found.values():
                os.close(other)
            session.said.say(
                "processes of {} cannot be handed the harness compiled: all of them import it".format(name)
            )
            return {}
        found[name] = memory
    return found


def _compiled(session: "Session", name: str) -> Optional[int]:
    try:
        memory = os.memfd_create("modules", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    except (AttributeError, OSError):
        return None
    if _compile(session, name, memory) and 0 < os.fstat(memory).st_size <= MAX_BYTES:
        with contextlib.suppress(OSError):
            fcntl.fcntl(memory, F_ADD_SEALS, SEALS)
            return memory
    os.close(memory)
    return None


def _compile(session: "Session", name: str, memory: int) -> bool:
    """Run the revision's interpreter without its site-packages, shut in as a worker is; whether it says that it was done."""
    folders = session.folders(name)
    python = session.revisions[name].python
    try:
        process = Process(
            [python, "-I", "-S", "-B", "-c", COMPILE, *session.harness, str(memory)],
            env=session.environment(name, folders, hashseed=0, pad=0),
            cwd=folders["work"],
            logs=session.logs,
            cpus=session.cpus,
            data_bytes=session.data_bytes,
            inherited=(memory,),
        )
    except OSError:
        return False
    try:
        return process.hear(time.monotonic() + min(SECONDS, session.left())) == b"done"
    except (Late, Died):
        return False
    finally:
        process.end()
        session.trash.throw(folders["place"])
