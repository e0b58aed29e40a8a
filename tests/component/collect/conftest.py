"""A real API server with our kinds, for the tests of this folder that ask for one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.apiserver import ApiServer, running

CRDS = Path(__file__).parents[3] / "crds"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("apiserver")) as started:
        started.ok("apply", "--server-side", "-f", str(CRDS))
        end = time.monotonic() + 30
        while started.kubectl("get", "commits").returncode != 0:
            assert time.monotonic() < end, "the kinds are not served"
            time.sleep(0.2)
        yield started
