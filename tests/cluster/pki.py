"""One certificate authority and a certificate for every part: ECDSA by openssl, made once per state folder."""

from __future__ import annotations

import subprocess
from pathlib import Path

import yaml

from .layout import API_PORT, API_SERVICE_IP, HOST_IP, NODE, NODE_IP, Layout, host_tool

CLIENTS = {
    "admin": ("system:masters", "admin"),
    "controller-manager": ("", "system:kube-controller-manager"),
    "scheduler": ("", "system:kube-scheduler"),
    "proxy": ("", "system:kube-proxy"),
    "kubelet-client": ("system:nodes", f"system:node:{NODE}"),
    "apiserver-kubelet": ("system:masters", "apiserver-kubelet"),
    "front-proxy": ("", "front-proxy"),
}
"""Organisation and common name: what Kubernetes reads as groups and user."""
SERVERS = {
    "apiserver": f"DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:{NODE_IP},IP:{API_SERVICE_IP},IP:{HOST_IP}",
    "kubelet": f"DNS:{NODE},IP:127.0.0.1,IP:{NODE_IP}",
}


def _openssl(*arguments: str, stdin: str = "") -> None:
    done = subprocess.run([host_tool("openssl"), *arguments], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"openssl {' '.join(arguments)}: {done.stderr}")


def _sign(folder: Path, name: str, subject: str, extensions: str) -> None:
    key, request, certificate = folder / f"{name}.key", folder / f"{name}.csr", folder / f"{name}.crt"
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(key))
    _openssl("req", "-new", "-key", str(key), "-subj", subject, "-out", str(request))
    config = folder / f"{name}.ext"
    config.write_text(extensions)
    _openssl("x509", "-req", "-in", str(request), "-CA", str(folder / "ca.crt"), "-CAkey", str(folder / "ca.key"),
             "-CAcreateserial", "-days", "3650", "-extfile", str(config), "-out", str(certificate))  # fmt: skip


def make(layout: Layout) -> None:
    """Make what is missing; a folder that was left half made is made anew."""
    folder = layout.pki
    if (folder / ".done").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", str(folder / "ca.key"))
    _openssl("req", "-x509", "-new", "-key", str(folder / "ca.key"), "-subj", "/CN=isobench-test-ca", "-days", "3650", "-out", str(folder / "ca.crt"))  # fmt: skip
    _openssl("genrsa", "-out", str(folder / "service-account.key"), "2048")
    _openssl("rsa", "-in", str(folder / "service-account.key"), "-pubout", "-out", str(folder / "service-account.pub"))
    for name, (organisation, common) in CLIENTS.items():
        subject = f"/O={organisation}/CN={common}" if organisation else f"/CN={common}"
        _sign(folder, name, subject, "extendedKeyUsage=clientAuth\n")
    for name, names in SERVERS.items():
        _sign(folder, name, f"/CN={name}", f"extendedKeyUsage=serverAuth\nsubjectAltName={names}\n")
    for name in ("controller-manager", "scheduler", "proxy", "kubelet-client"):
        write_kubeconfig(layout, name, layout.etc / f"{name}.kubeconfig")
    write_kubeconfig(layout, "admin", layout.kubeconfig)
    (folder / ".done").touch()


def write_kubeconfig(layout: Layout, client: str, path: Path) -> None:
    """How a client reaches the API server."""
    folder = layout.pki
    body = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "isobench",
        "clusters": [
            {
                "name": "isobench",
                "cluster": {
                    "server": f"https://{NODE_IP}:{API_PORT}",
                    "certificate-authority": str(folder / "ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": client,
                "user": {
                    "client-certificate": str(folder / f"{client}.crt"),
                    "client-key": str(folder / f"{client}.key"),
                },
            }
        ],
        "contexts": [{"name": "isobench", "context": {"cluster": "isobench", "user": client}}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(body, sort_keys=False))
    path.chmod(0o600)
