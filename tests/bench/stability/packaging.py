"""Markers of a lock file, evaluated in this interpreter's environment."""

import json
import random

from packaging.markers import Marker


def setup(seed=0):
    rng = random.Random(seed)
    systems = ["linux", "win32", "darwin"]
    return [
        Marker(f"python_version >= '3.{rng.randrange(6, 14)}' and sys_platform == '{rng.choice(systems)}'")
        for _ in range(150)
    ]


def experiment(data):
    return [marker.evaluate() for marker in data]


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
