"""Links in a long text."""

import json
import random

from jinja2.utils import urlize


def setup(seed=0):
    rng = random.Random(seed)
    kinds = [
        "http://example.org/{}",
        "www.example.com/{}",
        "someone{}@example.org",
        "word{}",
        "(in.brackets{})",
        "end{}.",
    ]
    return " ".join(rng.choice(kinds).format(rng.randrange(1000)) for _ in range(1000))


def experiment(data):
    return str(urlize(data))


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
