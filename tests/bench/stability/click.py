"""Command lines split for completion."""

import json
import random

from click.shell_completion import split_arg_string


def setup(seed=0):
    rng = random.Random(seed)
    return [" ".join(f"--option-{rng.randrange(99)} 'value {rng.randrange(99)}'" for _ in range(8)) for _ in range(30)]


def experiment(data):
    return [split_arg_string(line) for line in data]


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
