"""Python code as HTML; the tokens are made beforehand."""

import json
import random

from io import StringIO

from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer


def setup(seed=0):
    rng = random.Random(seed)
    lines = [
        f"def f{rng.randrange(1000)}(a, b={rng.randrange(99)}): return a + b * {rng.randrange(99)}  # text"
        for _ in range(60)
    ]
    return list(PythonLexer().get_tokens("\n".join(lines)))


def experiment(data):
    out = StringIO()
    HtmlFormatter().format(iter(data), out)
    return out.getvalue()


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
