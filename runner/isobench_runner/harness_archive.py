"""Packs the harness into one .pyz, so that any CPython 3.8 or later runs it without an installation and without our packages.

The archive's root holds `__main__.py` alone; the harness lies in it as the package `isobench_harness`, and its modules import each
other relatively, so that the same files are `isobench_runner.harness` in our tests.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

from .store import write_atomic

PACKAGE = "isobench_harness"
_MAIN = f"import sys\n\nfrom {PACKAGE}.__main__ import main\n\nsys.exit(main())\n"
_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time that a zip can hold: equal files give equal archives."""


def archive_bytes() -> bytes:
    """The archive: the same bytes for the same files, whenever and wherever it is made."""
    folder = Path(__file__).parent / "harness"
    files = {"__main__.py": _MAIN.encode()}
    for path in sorted(folder.rglob("*.py")):
        files[f"{PACKAGE}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(files.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
    return buffer.getvalue()


def build_archive(path: Path) -> str:
    """Write the archive; returns its digest, `sha256:<hex>`."""
    content = archive_bytes()
    write_atomic(path, content)
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
