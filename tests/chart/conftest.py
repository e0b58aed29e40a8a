"""One API server for all tests of this folder that ask for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.apiserver import ApiServer, running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("apiserver")) as started:
        yield started
