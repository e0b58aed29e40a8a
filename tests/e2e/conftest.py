"""One cache of environments, mirrors and wheels for all end-to-end tests: what is built once is built once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared by the session."""
    return tmp_path_factory.mktemp("cache")
