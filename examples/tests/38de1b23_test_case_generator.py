"""Parsing a lock-file-like document and writing it back: a release without a change that should matter here."""

import random

import tomlkit


def setup(seed=0):
    rng = random.Random(seed)
    tables = [
        f'[package-{i}]\nname = "name-{rng.randrange(10**6)}"\nversion = "{rng.randrange(20)}.{rng.randrange(20)}"\n'
        f"sizes = [{rng.randrange(99)}, {rng.randrange(99)}]\nuploaded = 2024-01-01T00:00:00Z\n"
        for i in range(90)
    ]
    return {"document": "\n".join(tables)}


def experiment(data):
    return tomlkit.dumps(tomlkit.parse(data["document"]))


def store_result(result, filepath):
    with open(filepath, "w") as file:
        file.write(result)


def load_result(filepath):
    with open(filepath) as file:
        return file.read()


def check_equivalence(current_result, reference_result):
    assert current_result == reference_result, "the document does not survive the round trip in the same way"


def run_test(eqcheck=False, reference=False, prefix=""):
    import time

    data = setup()
    start = time.perf_counter()
    result = experiment(data)
    elapsed = time.perf_counter() - start
    path = f"{prefix}_result.toml"
    if reference:
        store_result(result, path)
    if eqcheck:
        check_equivalence(result, load_result(path))
    return elapsed
