"""A document with much raw HTML."""

import json
import random

import markdown


def setup(seed=0):
    rng = random.Random(seed)
    lines = []
    for number in range(120):
        lines += [
            f"<div class='c{rng.randrange(9)}'>",
            f"text {rng.randrange(1000)}",
            "</div>",
            "",
            f"Paragraph {number}.",
            "",
        ]
    return "\n".join(lines)


def experiment(data):
    return markdown.markdown(data)


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
