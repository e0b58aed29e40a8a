"""One URL relative to another."""

import json
import random

from yarl import URL


def setup(seed=0):
    rng = random.Random(seed)
    paths = ["/".join(f"p{rng.randrange(4)}" for _ in range(6)) for _ in range(200)]
    return [(URL(f"http://example.org/{a}/x"), URL(f"http://example.org/{b}")) for a, b in zip(paths, paths[::-1])]


def experiment(data):
    return [str(target - base) for target, base in data for _ in range(5)]


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
