"""Parsing a long query."""

import json
import random

import sqlparse


def setup(seed=0):
    rng = random.Random(seed)
    conditions = " and ".join(f"column_{rng.randrange(1000)} = {rng.randrange(10**6)}" for _ in range(20))
    return f"select a, b, sum(c) from t join u on t.i = u.i where {conditions} group by a, b order by 1;"


def experiment(data):
    return [token.value for token in sqlparse.parse(data)[0].tokens]


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
