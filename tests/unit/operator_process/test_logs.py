"""Lines for machines and for people, and libraries that do not say the same thing all the time."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from isobench_operator import logs
from isobench_operator.cluster.ports import Key

KEY = Key("Commit", "bench", "c")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:], root.level = before, level


def test_a_json_line_has_the_subject_in_fields_and_a_bug_its_stack(stream: io.StringIO) -> None:
    logs.setup("info", "json", stream=stream)
    log = logging.getLogger("isobench")
    log.info("did %s", "this", extra={"about": KEY, "fields": {"created": ["a"]}})
    try:
        raise ValueError("wrong")
    except ValueError:
        log.exception("a bug")
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert first.pop("time").endswith("Z")
    assert first == {
        "level": "info", "logger": "isobench", "message": "did this",
        "kind": "Commit", "namespace": "bench", "name": "c", "created": ["a"],
    }  # fmt: skip
    assert "ValueError: wrong" in second["error"]


def test_text_is_for_people(stream: io.StringIO) -> None:
    logs.setup("info", "text", stream=stream)
    logging.getLogger("isobench").warning("did this", extra={"about": KEY})
    assert stream.getvalue().split(" ", 1)[1] == "warning: commit/c in bench: did this\n"


def test_levels_are_ours_and_libraries_only_warn(stream: io.StringIO) -> None:
    logs.setup("debug", "text", stream=stream)
    logging.getLogger("isobench").debug("ours")
    for name in ("kopf.objects", "aiohttp.access", "asyncio", "kubernetes"):
        logging.getLogger(name).info("theirs")
    assert stream.getvalue().count("\n") == 1


def test_a_library_says_the_same_thing_once_in_a_while(stream: io.StringIO) -> None:
    logs.setup("info", "text", stream=stream)
    log = logging.getLogger("kopf._cogs.clients.api")
    for attempt in range(5):
        log.error("Request attempt #%d failed; will retry: GET https://10.0.0.%d/api", attempt, attempt)
    log.error("something else")
    ours = logging.getLogger("isobench")
    for _ in range(2):
        ours.warning("twice")
    assert [line.split("error: ")[-1].split("warning: ")[-1][:9] for line in stream.getvalue().splitlines()] == [
        "Request a", "something", "twice", "twice",
    ]  # fmt: skip
