"""Calls of a hook with few implementations."""

import json
import random

import pluggy

spec, implementation = pluggy.HookspecMarker("bench"), pluggy.HookimplMarker("bench")


class Spec:
    @spec
    def work(self, one, two, three):
        """Add up."""


class Plugin:
    @implementation
    def work(self, one, two, three):
        return one + two + three


def setup(seed=0):
    rng = random.Random(seed)
    manager = pluggy.PluginManager("bench")
    manager.add_hookspecs(Spec)
    for _ in range(2):
        manager.register(Plugin())
    return manager, [rng.randrange(1000) for _ in range(1000)]


def experiment(data):
    manager, values = data
    return [sum(manager.hook.work(one=value, two=2, three=3)) for value in values]


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
