"""Filtering release lists by specifier sets, as a resolver does for every candidate of every requirement."""

import json
import random

from packaging.specifiers import SpecifierSet
from packaging.version import Version


def setup(seed=0):
    rng = random.Random(seed)
    releases = [
        f"{rng.randrange(9)}.{rng.randrange(30)}.{rng.randrange(12)}{suffix}"
        for suffix in ("", "rc1", ".post2")
        for _ in range(400)
    ]
    specifiers = [">=1.2,<7,!=3.4.*", "~=4.1", ">2.0.1,<=8.9", "==5.*", ">=3.0rc1"]
    return {"releases": releases, "specifiers": specifiers}


def experiment(data):
    versions = [Version(text) for text in data["releases"]]
    return {text: [str(v) for v in SpecifierSet(text).filter(versions)] for text in data["specifiers"]}


def store_result(result, filepath):
    with open(filepath, "w") as file:
        json.dump(result, file)


def load_result(filepath):
    with open(filepath) as file:
        return json.load(file)


def check_equivalence(current_result, reference_result):
    assert current_result.keys() == reference_result.keys(), "other specifiers were filtered by"
    for text, kept in reference_result.items():
        assert current_result[text] == kept, f"{text} keeps other versions"


def run_test(eqcheck=False, reference=False, prefix=""):
    import time

    data = setup()
    start = time.perf_counter()
    result = experiment(data)
    elapsed = time.perf_counter() - start
    path = f"{prefix}_result.json"
    if reference:
        store_result(result, path)
    if eqcheck:
        check_equivalence(result, load_result(path))
    return elapsed
