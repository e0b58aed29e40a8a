"""Stripping tags from long documents with comments."""

import json
import random

from markupsafe import Markup


def setup(seed=0):
    rng = random.Random(seed)
    words = ["<p>", "</p>", "<!-- note -->", "text", "&amp;", "<b class='x'>", "</b>", "more words"]
    return "".join(rng.choice(words) + " " for _ in range(1500))


def experiment(data):
    return Markup(data).striptags()


def store_result(result, filepath):
    with open(filepath, "w") as file:
        json.dump(result, file)


def load_result(filepath):
    with open(filepath) as file:
        return json.load(file)


def check_equivalence(current_result, reference_result):
    assert current_result.split() == reference_result.split(), "the texts differ by more than white space"


def run_test(eqcheck=False, reference=False, prefix=""):
    import time

    data = setup()
    start = time.perf_counter()
    result = experiment(data)
    elapsed = time.perf_counter() - start
    if reference:
        store_result(result, f"{prefix}_result.json")
    if eqcheck:
        check_equivalence(result, load_result(f"{prefix}_result.json"))
    return elapsed
