"""What hostile code would try from inside a container; written into a pod as its harness. Standard library alone; tells what it got."""

# It runs under any interpreter, and is about paths that pathlib would tidy.
# ruff: noqa: PTH113, PTH118, PTH123, PTH202, PTH208, SIM115, SIM117, UP031

import contextlib
import ctypes
import json
import os
import re
import socket
import sys

ROOT = os.environ["ISOBENCH_ROOT"]
CANARY = b"canary" + b"-stolen-"
SKIPPED = ("/usr", "/proc", "/sys", "/dev", "/etc", "/lib", "/lib64", "/bin", "/sbin", sys.base_prefix)
libc = ctypes.CDLL(None, use_errno=True)


def search(data, where, found):
    for match in re.findall(CANARY + rb"[a-z]+", data):
        found.setdefault(match.decode(), where)


def walked(tops):
    for top in tops:
        yield from os.walk(top)


def files(tops, found):
    for folder, names, entries in walked(tops):
        if folder == "/":
            names[:] = [name for name in names if "/" + name not in SKIPPED]
        names[:] = [name for name in names if os.path.join(folder, name) not in SKIPPED]
        for name in entries:
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                if os.path.isfile(path) and os.path.getsize(path) < 1 << 22:
                    with open(path, "rb") as file:
                        search(file.read(), path, found)


def related(pid):
    """In a sandbox everything that is seen; else the tests' own processes, and no others of the machine."""
    with open("/proc/%s/cmdline" % pid, "rb") as file:
        return os.getpid() < 10 or b"isobench" in file.read()


def processes(found):
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if int(pid) == os.getpid() or not related(pid):
                continue
        for name in ("environ", "cmdline"):
            with contextlib.suppress(OSError), open("/proc/%s/%s" % (pid, name), "rb") as file:
                search(file.read(), "/proc/%s/%s" % (pid, name), found)
        with contextlib.suppress(OSError):
            with open("/proc/%s/maps" % pid) as maps, open("/proc/%s/mem" % pid, "rb", 0) as memory:
                for line in maps:
                    low, high = (int(word, 16) for word in line.split()[0].split("-"))
                    if " rw-p " in line and high - low < 1 << 26:
                        with contextlib.suppress(OSError, OverflowError, ValueError):
                            memory.seek(low)
                            search(memory.read(high - low), "/proc/%s/mem" % pid, found)


def refused(call):
    try:
        result = call()
    except OSError as error:
        return error.strerror
    return os.strerror(ctypes.get_errno()) if result == -1 else None


def connect(address):
    with socket.create_connection(address, timeout=3):
        return 0


def write(path):
    with open(path, "a") as file:
        file.write("x")
    return 0


def main():
    found = {}
    with open(os.path.join(ROOT, "in", "tops")) as tops:
        files(json.load(tops), found)
    processes(found)
    status = open("/proc/self/status").read()
    port = int(open(os.path.join(ROOT, "in", "port")).read())
    answers = {
        "found": found,
        "environ": dict(os.environ),
        "pids": len([pid for pid in os.listdir("/proc") if pid.isdigit()]),
        "uid": os.getuid(),
        "caps": re.search(r"CapEff:\s*(\w+)", status).group(1) + re.search(r"CapBnd:\s*(\w+)", status).group(1),
        "nnp": re.search(r"NoNewPrivs:\s*(\d)", status).group(1),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "refused": {}
        if os.getpid() > 10
        else {
            "loopback of the host": refused(lambda: connect(("127.0.0.1", port))),
            "network": refused(lambda: connect(("192.0.2.1", 80))),
            "mount": refused(lambda: libc.mount(b"none", ROOT.encode() + b"/out", b"tmpfs", 0, None)),
            "umount": refused(lambda: libc.umount2(ROOT.encode() + b"/out", 2)),
            "user namespace": refused(lambda: libc.unshare(0x10000000)),
            "mount namespace": refused(lambda: libc.unshare(0x00020000)),
            "ptrace": refused(lambda: libc.ptrace(16, 1, 0, 0)) if os.getuid() == 0 else "not root",
            "become root": refused(lambda: os.setuid(0)),
            "write in": refused(lambda: write(os.path.join(ROOT, "in", "port"))),
            "write the environment": refused(lambda: write(os.path.join(os.environ["ISOBENCH_ENVS"], "mine", "file"))),
            "write usr": refused(lambda: write("/usr/isobench-probe")),
        },
        "mine": open(os.path.join(os.environ["ISOBENCH_ENVS"], "mine", "file")).read(),
        "home": refused(lambda: write(os.path.join(os.environ["HOME"], "file"))),
        "tmp": refused(lambda: write(os.path.join(os.environ["TMPDIR"], "file"))),
    }
    with open(os.path.join(ROOT, "out", "found.json"), "w") as file:
        json.dump(answers, file)


main()
