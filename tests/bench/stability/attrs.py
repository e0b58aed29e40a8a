"""Records turned into dictionaries, as before they are written as JSON."""

import json
import random

import attr


@attr.s
class Order:
    number = attr.ib()
    name = attr.ib()
    price = attr.ib()
    parts = attr.ib()


def setup(seed=0):
    rng = random.Random(seed)
    return [
        Order(rng.randrange(10**6), f"name {rng.randrange(1000)}", rng.random(), [rng.randrange(9) for _ in range(5)])
        for _ in range(500)
    ]


def experiment(data):
    return [attr.asdict(order) for order in data]


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
