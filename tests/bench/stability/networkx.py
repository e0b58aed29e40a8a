"""All shortest paths across a grid."""

import json
import random

import networkx as nx


def setup(seed=0):
    rng = random.Random(seed)
    size = 7
    graph = nx.grid_2d_graph(size, size)
    return graph, (0, 0), (size - 1, size - 1 - rng.randrange(2))


def experiment(data):
    graph, source, target = data
    return [sum(x * 7 + y for x, y in path) for path in nx.all_shortest_paths(graph, source, target)]


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
