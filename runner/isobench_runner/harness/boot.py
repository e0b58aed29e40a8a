"""How a worker comes by its own modules: compiled once per revision, by that revision's interpreter, and handed to each process in its pipe.

From a .pyz they would be compiled again in every process, which is half of what a short round costs. They lie in the parent's memory
and nowhere else, so that no revision can change what a later process runs.
"""

import contextlib
import os
import subprocess
import tempfile
from typing import Sequence

MAX_BYTES = 1 << 20
SECONDS = 60.0

COMPILE = """\
import marshal, sys
root, package = sys.argv[1:3]
sys.path.insert(0, root)
__import__(package + ".worker")
top = package.partition(".")[0]
found = {}
for name, module in list(sys.modules.items()):
    if name == top or name.startswith(top + "."):
        spec = module.__spec__
        found[name] = spec.submodule_search_locations is not None, spec.loader.get_code(name)
sys.stdout.buffer.write(marshal.dumps(found))
"""

BOOT = """\
import sys
root, package, command, reply, size = sys.argv[1:6]
sys.path[0] = root
if size == "0":
    __import__(package + ".worker")
else:
    import marshal, os
    from importlib.machinery import ModuleSpec
    pieces, left = [], int(size)
    while left:
        pieces.append(os.read(int(command), left))
        left -= len(pieces[-1]) or sys.exit("its modules did not come")
    codes = marshal.loads(b"".join(pieces))
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
    sys.meta_path.insert(0, Modules)
    __import__(package + ".worker")
    sys.meta_path.remove(Modules)
sys.modules[package + ".worker"].main()
"""
"""Arguments: the harness's root and package, the two pipes, and how many bytes of compiled modules come first (0: import them)."""


def compiled(python: str, harness: Sequence[str]) -> bytes:
    """The worker's modules as this interpreter compiles them, with nothing of its environment imported; empty where it does not.

    Args:
        harness: root and package.
    """
    with tempfile.TemporaryFile() as file, contextlib.suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(
            [python, "-I", "-S", "-c", COMPILE, *harness],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.defpath, "LANG": "C.UTF-8"},
            timeout=SECONDS,
            check=False,
        )
        file.seek(0)
        found = file.read(MAX_BYTES + 1)
        return found if done.returncode == 0 and len(found) <= MAX_BYTES else b""
    return b""
