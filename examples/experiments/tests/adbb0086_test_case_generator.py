"""Matching a project's files against an ignore list, as a packer or a formatter does at every start."""

import json
import random

import pathspec


def setup(seed=0):
    rng = random.Random(seed)
    lines = ["*.py", "!test_*.py", "build/", "docs/**/*.md", "a/b/*/c", "**/node_modules/", "*.log", "*.tmp", "dist/"]
    files = [
        f"src/module_{rng.randrange(40)}/file_{rng.randrange(10**5)}.{rng.choice(['log', 'tmp', 'tmp', 'py', 'txt'])}"
        for _ in range(6000)
    ]
    return {"lines": lines * 5, "files": files}


def experiment(data):
    spec = pathspec.PathSpec.from_lines("gitwildmatch", data["lines"])
    return sorted(spec.match_files(data["files"]))


def store_result(result, filepath):
    with open(filepath, "w") as file:
        json.dump(result, file)


def load_result(filepath):
    with open(filepath) as file:
        return json.load(file)


def check_equivalence(current_result, reference_result):
    assert current_result == reference_result, "other files match"


def run_test(eqcheck=False, reference=False, prefix=""):
    import time

    data = setup()
    start = time.perf_counter()
    result = experiment(data)
    elapsed = time.perf_counter() - start
    path = f"{prefix}_result.json"
    if reference:
        store_result(result, path)
    if eqcheck:
        check_equivalence(result, load_result(path))
    return elapsed
