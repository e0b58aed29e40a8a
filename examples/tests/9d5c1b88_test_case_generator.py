"""Sorting version strings of old uploads, some of them from before PEP 440: what 21.3 sorts, 22.0 refuses."""

import json
import random
import warnings

from packaging.version import parse


def setup(seed=0):
    rng = random.Random(seed)
    texts = [f"{rng.randrange(9)}.{rng.randrange(30)}.{rng.randrange(12)}" for _ in range(6000)]
    return {"texts": [*texts, "2004-05-final", "r17-snapshot"]}


def experiment(data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return [str(version) for version in sorted(parse(text) for text in data["texts"])]


def store_result(result, filepath):
    with open(filepath, "w") as file:
        json.dump(result, file)


def load_result(filepath):
    with open(filepath) as file:
        return json.load(file)


def check_equivalence(current_result, reference_result):
    assert current_result == reference_result, "the versions come in another order"


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
