"""Permutations by their index, some of which are shorter than the pool."""

import json
import random

from more_itertools import nth_permutation


def setup(seed=0):
    rng = random.Random(seed)
    return [(rng.randrange(4, 12), rng.randrange(10_000)) for _ in range(1500)]


def experiment(data):
    return [list(nth_permutation(range(20), r, index)) for r, index in data]


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
