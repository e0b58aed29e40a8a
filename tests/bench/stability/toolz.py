"""Values of which about half can be iterated over."""

import json
import random

from toolz import isiterable


def setup(seed=0):
    rng = random.Random(seed)
    kinds = [1, 2.5, None, "text", (1, 2), [3], {}, True]
    return [rng.choice(kinds) for _ in range(20_000)]


def experiment(data):
    return [isiterable(one) for one in data]


def store_result(result, filepath):
    with open(filepath, "w") as file:
        json.dump(result, file)


def load_result(filepath):
    with open(filepath) as file:
        return json.load(file)


def check_equivalence(current_result, reference_result):
    assert current_result == reference_result, "the results differ"


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
