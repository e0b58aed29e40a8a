"""Container images without a registry: a Debian base by mmdebstrap, images on top of it by buildah, brought into containerd by ctr.

What an image is made of is hashed; what is in the cache, or in the node's containerd, under that hash is not made again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .layout import ROOT, Layout, host_tool

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,git,gcc,libc6-dev,python3-dev,make,ca-certificates,openssh-client"
EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/var/lib/apt/lists/*")
PAUSE = "#include <unistd.h>\n#include <signal.h>\nstatic void end(int s) { _exit(0); }\nint main(void) { signal(SIGTERM, end); signal(SIGINT, end); for (;;) pause(); }\n"  # fmt: skip


@dataclass(frozen=True)
class Image:
    """An image.

    Attributes:
        name: as manifests have it.
        key: hash of what it is made of.
        archive: where it lies, as an OCI archive.
    """

    name: str
    key: str
    archive: Path


def _run(*command: str, stdin: str = "", cwd: Path = ROOT) -> None:
    done = subprocess.run(
        [host_tool(command[0]), *command[1:]], input=stdin, text=True, capture_output=True, check=False, cwd=cwd
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)[:300]}:\n{(done.stdout + done.stderr)[-4000:]}")


def _key(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _sources(*names: str) -> str:
    """Digest of files of this repository, those below folders included."""
    digest = hashlib.sha256()
    for name in names:
        top = ROOT / name
        for path in sorted(top.rglob("*") if top.is_dir() else [top]):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _image(layout: Layout, name: str, key: str) -> Image:
    folder = layout.cache / "images"
    folder.mkdir(parents=True, exist_ok=True)
    return Image(name, key, folder / f"{name.rpartition('/')[2].replace(':', '-')}-{key}.tar")


def _save(image: Image, container_image: str) -> None:
    partial = image.archive.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    _run("buildah", "push", "--quiet", container_image, f"oci-archive:{partial}:{image.name}")
    partial.rename(image.archive)


def pause(layout: Layout) -> Image:
    """The sandbox: a program that waits."""
    image = _image(layout, "localhost/pause:dev", _key(PAUSE))
    if not image.archive.exists():
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "pause.c").write_text(PAUSE)
            _run("gcc", "-static", "-Os", "-o", f"{folder}/pause", f"{folder}/pause.c")
            (Path(folder) / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
            _run("buildah", "bud", "--quiet", "--isolation", "chroot", "-t", image.name, folder)
        _save(image, image.name)
    return image


def debian(layout: Layout) -> Path:
    """The root file system of the base, as a tar."""
    target = layout.cache / "images" / f"debian-{_key(SUITE, PACKAGES, *EXCLUDED)}.rootfs.tar"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        print("making the Debian base (a minute)", flush=True)
        partial = target.with_suffix(".partial.tar")
        options = [f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED]
        _run("mmdebstrap", "--variant=essential", f"--include={PACKAGES}", *options, SUITE, str(partial))
        partial.rename(target)
    return target


def _on_debian(layout: Layout, name: str, dockerfile: str, context: Path | None = None, extra: str = "") -> Image:
    rootfs = debian(layout)
    image = _image(layout, name, _key(rootfs.name, dockerfile, extra))
    if not image.archive.exists():
        print(f"building {name}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            place = context or Path(folder)
            if context is None:
                os.link(rootfs, place / "rootfs.tar") if _same_device(rootfs, place) else shutil.copy(
                    rootfs, place / "rootfs.tar"
                )
            (Path(folder) / "Dockerfile").write_text(dockerfile)
            _run("buildah", "bud", "--quiet", "--isolation", "chroot", "--network", "host", "-t", name, "-f", f"{folder}/Dockerfile", str(place))  # fmt: skip
        _save(image, name)
    return image


def _same_device(first: Path, second: Path) -> bool:
    return first.stat().st_dev == second.stat().st_dev


def python(layout: Layout) -> Image:
    """What a user's image is like: Debian's Python, git and a compiler."""
    return _on_debian(
        layout, "localhost/python:3.11", 'FROM scratch\nADD rootfs.tar /\nENV LANG=C.UTF-8\nCMD ["python3"]\n'
    )


def venv(layout: Layout) -> Image:
    """One whose Python is a virtual environment."""
    python(layout)
    text = "FROM localhost/python:3.11\nRUN python3 -m venv --without-pip /opt/venv\nENV PATH=/opt/venv/bin:/usr/bin:/bin\n"
    return _on_debian(layout, "localhost/python:venv", text)


def old_python(layout: Layout) -> Image | None:
    """One with CPython 3.8, where this machine has one from pyenv."""
    found = sorted(Path.home().glob(".pyenv/versions/3.8.*"))
    if not found:
        return None
    python(layout)
    prefix = found[-1]
    text = f"FROM localhost/python:3.11\nCOPY {prefix.name} {prefix}\nENV PATH={prefix}/bin:/usr/bin:/bin\nRUN chmod a+rx /root /root/.pyenv /root/.pyenv/versions\n"
    return _on_debian(layout, "localhost/python:3.8", text, context=prefix.parent, extra=prefix.name)


def with_program(layout: Layout, name: str, program: Path) -> Image:
    """One whose `python3` is this program."""
    python(layout)
    text = f"FROM localhost/python:3.11\nCOPY --chmod=755 {program.name} /usr/local/bin/python3\n"
    return _on_debian(layout, name, text, context=program.parent, extra=program.read_text())


def product(layout: Layout, name: str) -> Image:
    """`images/<name>/Dockerfile` of this repository on the Debian base."""
    python(layout)
    sources = _sources(f"images/{name}", "operator", "runner", "prompts", "pyproject.toml", "uv.lock", ".dockerignore")
    image = _image(layout, f"localhost/isobench-{name}:e2e", _key(sources, debian(layout).name))
    if not image.archive.exists():
        print(f"building {image.name}", flush=True)
        arguments = ["--build-arg", "BASE=localhost/python:3.11"]
        # The index may be behind an authority that only this machine knows.
        bundle = os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE")
        if bundle and Path(bundle).exists():
            arguments += ["--volume", f"{bundle}:/etc/ssl/certs/ca-certificates.crt:ro"]
        _run("buildah", "bud", "--quiet", "--layers", "--isolation", "chroot", "--network", "host", *arguments, "-t", image.name, "-f", f"images/{name}/Dockerfile", ".")  # fmt: skip
        _save(image, image.name)
        print(f"{image.name}: {image.archive.stat().st_size / 1e6:.0f} MB as an archive", flush=True)
    return image


def bring(layout: Layout, image: Image) -> None:
    """Bring an image into the node's containerd, unless it is there."""
    mark = layout.state / "images" / f"{image.name.replace('/', '_')}"
    if mark.exists() and mark.read_text() == image.key:
        return
    socket = str(layout.containerd_socket)
    _run(str(layout.bin / "ctr"), "--address", socket, "-n", "k8s.io", "images", "import", str(image.archive))
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(image.key)
