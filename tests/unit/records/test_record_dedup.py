"""Which records stay, and that every one is named the same way whatever order they come in."""

import dataclasses
import random

from hypothesis import given
from hypothesis import strategies as st

from isobench_runner.records.dedup import HELD, NEW, Entry, instance_ids, latest, pull_request


def an_entry(**changes):
    fields = {
        "source": NEW, "offset": 0, "repo": "o/r", "head": "a" * 40, "subject": "Faster (#7)", "created_at": "2025-01-01T00:00:00Z",
        "test": "t", "device": "cpu", "image": "", "finished": "2025-02-01T00:00:00Z", "digest": "d",
    }  # fmt: skip
    return Entry(**{**fields, **changes})


HEADS = st.text("ab", min_size=7, max_size=9).map(lambda text: text.ljust(40, "0"))
ENTRIES = st.lists(
    st.builds(
        an_entry,
        repo=st.sampled_from(["o/r", "o/s"]),
        head=HEADS,
        subject=st.sampled_from(["x", "x (#1)", "x (#2)", "revert (#1) again"]),
        test=st.sampled_from("tu"),
        finished=st.sampled_from(["2025-02-01T00:00:00Z", "2025-02-02T00:00:00Z"]),
        source=st.sampled_from([NEW, HELD]),
    ).map(lambda item: dataclasses.replace(item, digest=repr(item))),
    max_size=30,
)


@given(ENTRIES)
def test_every_commit_has_an_id_of_its_own(entries):
    ids = instance_ids(entries)
    assert set(ids) == {(item.repo, item.head) for item in entries}
    assert len(set(ids.values())) == len(ids)


@given(ENTRIES, st.integers())
def test_neither_choice_nor_names_depend_on_the_order_of_arrival(entries, seed):
    shuffled = random.Random(seed).sample(entries, len(entries))
    assert latest(shuffled) == latest(entries)
    assert instance_ids(latest(shuffled)) == instance_ids(latest(entries))


@given(ENTRIES)
def test_of_equal_keys_the_latest_finished_stays(entries):
    chosen = {item.key: item for item in latest(entries)}
    for item in entries:
        assert chosen[item.key].finished >= item.finished
    assert len(chosen) == len({item.key for item in entries})


def test_of_one_instant_the_newly_assembled_stays():
    assert latest([an_entry(source=HELD, digest="z"), an_entry(source=NEW, digest="a")])[0].source == NEW


def test_other_devices_tests_and_images_are_other_records():
    others = [an_entry(device="gpu"), an_entry(test="u"), an_entry(image="sha256:1"), an_entry()]
    assert len(latest(others)) == 4


def test_a_pull_request_names_the_record_only_where_one_commit_has_it():
    one, two = an_entry(), an_entry(head="b" * 40)
    assert instance_ids([one]) == {("o/r", "a" * 40): "o__r-PR-7"}
    assert set(instance_ids([one, two]).values()) == {"o__r-aaaaaaa", "o__r-bbbbbbb"}


def test_only_a_number_at_the_end_of_the_subject_is_the_pull_request():
    assert pull_request("Revert (#1) for speed (#12)") == 12
    assert pull_request("Fix #12") is None
    assert pull_request("Follow up to (#12), again") is None
