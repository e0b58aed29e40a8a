"""A real API server on etcd, without nodes or controllers: what takes, refuses and authorizes objects, in four seconds.

For tests of manifests, of admission and of the operator's requests. Nothing ends by itself here: whatever needs a kubelet or a
controller is an end-to-end test on the cluster of tests/cluster.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import yaml

from .tools import tool

Json = dict[str, Any]
START_SECONDS, END_SECONDS = 60, 20
USERS = {"admin": "system:masters", "operator": "", "nobody": ""}


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on just now."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in found:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in found]


class ApiServer:
    """etcd and kube-apiserver below a folder; a context manager.

    Attributes:
        kubeconfig: of an administrator.
        ca: its certificate.
    """

    def __init__(self, folder: Path, *, flags: Mapping[str, object] | None = None) -> None:
        self.folder = folder
        self._flags = dict(flags or {})
        self.port, self._client, self._peer = free_ports(3)
        # A self-signed certificate that is followed by its authority's.
        self.ca = folder / "certificates" / "apiserver.crt"
        self.kubeconfig = self.kubeconfig_of("admin")
        self._etcd: subprocess.Popen[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        openssl = shutil.which("openssl") or "openssl"
        subprocess.run([openssl, "genrsa", "-out", str(self._key), "2048"], check=True, capture_output=True)
        lines = [f"token-of-{user},{user},{user}" + (f',"{group}"' if group else "") for user, group in USERS.items()]
        (self.folder / "tokens.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
        for user in USERS:
            self._write_kubeconfig(user)
        try:
            self._start_etcd()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        _end(self._server)
        _end(self._etcd)

    def kubeconfig_of(self, user: str) -> Path:
        """The kubeconfig of a user: `admin`, `operator` and `nobody`, the latter two without any right that a test does not give."""
        return self.folder / f"{user}.kubeconfig"

    @property
    def _key(self) -> Path:
        return self.folder / "sa.key"

    def _run(self, name: str, flags: Mapping[str, object]) -> subprocess.Popen[bytes]:
        arguments = [tool(name), *(f"--{flag}={value}" for flag, value in flags.items())]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(arguments, stdout=log, stderr=subprocess.STDOUT, cwd=self.folder)

    def _start_etcd(self) -> None:
        client, peer = f"http://127.0.0.1:{self._client}", f"http://127.0.0.1:{self._peer}"
        flags = {
            "data-dir": self.folder / "etcd",
            "unsafe-no-fsync": "true",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        self._etcd = self._run("etcd", flags)

    def start(self) -> None:
        """Start the API server.

        Raises:
            AssertionError: it was not ready in time; with the end of its log.
        """
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self._client}",
            "cert-dir": self.ca.parent,
            "bind-address": "127.0.0.1",
            "secure-port": self.port,
            "service-account-key-file": self._key,
            "service-account-signing-key-file": self._key,
            "service-account-issuer": "https://tests",
            "token-auth-file": self.folder / "tokens.csv",
            "authorization-mode": "RBAC",
            "service-cluster-ip-range": "10.96.0.0/16",
            **self._flags,
        }
        self._server = self._run("kube-apiserver", flags)
        end = time.monotonic() + START_SECONDS
        while self.kubectl("get", "--raw", "/readyz").returncode != 0:
            tail = (self.folder / "kube-apiserver.log").read_text(encoding="utf-8", errors="replace")[-800:]
            assert self._server.poll() is None, f"the API server has ended: {tail}"
            assert time.monotonic() < end, f"no API server after {START_SECONDS} s: {tail}"
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop the API server; etcd keeps what there is."""
        _end(self._server)
        self._server = None

    def kubectl(self, *arguments: str, stdin: Any = None) -> subprocess.CompletedProcess[str]:
        """Run kubectl as administrator; `stdin` is an object or a list of objects."""
        objects = stdin if isinstance(stdin, list) else [stdin]
        return subprocess.run(
            [tool("kubectl"), *arguments], input=yaml.safe_dump_all(objects) if stdin is not None else None,
            check=False, capture_output=True, text=True, env={**os.environ, "KUBECONFIG": str(self.kubeconfig)}, timeout=120,
        )  # fmt: skip

    def ok(self, *arguments: str, stdin: Any = None) -> str:
        """Run kubectl; returns what it printed.

        Raises:
            AssertionError: it failed; with its words.
        """
        done = self.kubectl(*arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def get(self, *arguments: str) -> Json:
        """An object, or a list of objects."""
        found: Json = json.loads(self.ok("get", *arguments, "-o", "json"))
        return found

    def namespace(self, name: str, **labels: str) -> str:
        """Create a namespace under Pod Security `restricted`."""
        security = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": {**security, **labels}}}
        self.ok("create", "-f", "-", stdin=body)
        return name

    def _write_kubeconfig(self, user: str) -> None:
        cluster = {"server": f"https://127.0.0.1:{self.port}", "certificate-authority": str(self.ca)}
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "tests",
            "clusters": [{"name": "tests", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": f"token-of-{user}"}}],
            "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": user}}],
        }
        self.kubeconfig_of(user).write_text(yaml.safe_dump(body), encoding="utf-8")


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def running(folder: Path) -> Iterator[ApiServer]:
    """Start etcd and the API server below a folder; both are gone at the end."""
    with ApiServer(folder) as server:
        yield server
