"""A large tree walked from the top, and written out."""

import json
import random

from lark import Tree


def setup(seed=0):
    rng = random.Random(seed)

    def grow(depth):
        if depth == 0:
            return [rng.randrange(10) for _ in range(3)]
        return [Tree(f"n{rng.randrange(4)}", grow(depth - 1)) for _ in range(3)]

    return Tree("start", grow(6))


def experiment(data):
    return [sum(len(tree.children) for tree in data.iter_subtrees_topdown()), len(data.pretty())]


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
