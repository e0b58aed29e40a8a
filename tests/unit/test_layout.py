"""The repository's own layout keeps its promises."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_operator_folder_never_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator" / "__init__.py").exists()
    assert not (ROOT / "operator" / "operator.py").exists()
    done = subprocess.run(
        [sys.executable, "-c", "import operator; print(operator.itemgetter)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "itemgetter" in done.stdout


def test_help_imports_no_heavy_library() -> None:
    code = "import sys; from isobench_operator.cli import main; main(['--help'], standalone_mode=False); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for name in ("pydantic", "openai", "anthropic", "kubernetes", "pyarrow", "asyncio", "rich"):
        assert f"'{name}'" not in done.stdout
