"""Formatting a long query, as an ORM's debug toolbar or a query log does."""

import random

import sqlparse


def setup(seed=0):
    rng = random.Random(seed)
    conditions = " and ".join(f"column_{rng.randrange(1000)} = {rng.randrange(10**6)}" for _ in range(30))
    query = (
        "select a, b, sum(c) from t join (select * from u where x in (1, 2, 3)) v on t.i = v.i "
        f"where {conditions} group by a, b having sum(c) > 10 order by 1;"
    )
    return {"sql": query * 3}


def experiment(data):
    return sqlparse.format(data["sql"], reindent=True, keyword_case="upper")


def store_result(result, filepath):
    with open(filepath, "w") as file:
        file.write(result)


def load_result(filepath):
    with open(filepath) as file:
        return file.read()


def check_equivalence(current_result, reference_result):
    assert current_result.split() == reference_result.split(), "the formatted query has other tokens"


def run_test(eqcheck=False, reference=False, prefix=""):
    import time

    data = setup()
    start = time.perf_counter()
    result = experiment(data)
    elapsed = time.perf_counter() - start
    path = f"{prefix}_result.sql"
    if reference:
        store_result(result, path)
    if eqcheck:
        check_equivalence(result, load_result(path))
    return elapsed
