"""What reading a test script finds: the six functions, work, copies, mocks, and scripts of the older kind."""

from __future__ import annotations

import pytest

from isobench_runner.contract import Reason
from isobench_runner.llm.findings import fatal
from isobench_runner.llm.script_contract import SIX, granularity, inspect_script
from support.scripts import BROKEN, GOOD, LEAKED, MOCKED, PATCH, RENAMED, TRIVIAL


def reasons(source: str, **fields: object) -> set[Reason]:
    found = inspect_script(source, **{"patch": PATCH, "package": "pkg", **fields})  # type: ignore[arg-type]
    return {finding.reason for finding in found if finding.fatal}


def test_a_good_test_has_nothing_to_say() -> None:
    assert inspect_script(GOOD, patch=PATCH, package="pkg") == []
    assert granularity(GOOD) == "function"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BROKEN, Reason.TEST_SYNTAX),
        (RENAMED, Reason.CONTRACT_UNMET),
        (TRIVIAL, Reason.TEST_TRIVIAL),
        (MOCKED, Reason.TARGET_MOCKED),
        (LEAKED, Reason.PATCH_LEAKED),
    ],
)
def test_each_way_to_be_wrong_has_its_reason(source: str, reason: Reason) -> None:
    assert reason in reasons(source)


def test_the_compilers_words_name_the_line() -> None:
    (finding,) = inspect_script(BROKEN)
    assert finding.line == 14
    assert "line 14" in finding.words
    assert "def experiment(data:" in finding.words


@pytest.mark.parametrize("name", SIX)
def test_every_function_of_the_contract_has_to_be_there(name: str) -> None:
    found = fatal(inspect_script(GOOD.replace(f"def {name}(", f"def {name}_(")))
    assert found is not None
    assert found.reason is Reason.CONTRACT_UNMET
    assert name in found.words


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def setup(seed):", "def setup():"),
        ("def setup(seed):", "def setup(seed: int = 0, *, size=3):"),
        ("def experiment(data):", "def experiment(data, rounds=1):"),
        ("def experiment(data):", "def experiment(*data):"),
        ("def check_equivalence(current, reference):", "def check_equivalence(ref_result, result):"),
        ('def run_test(eqcheck=False, reference=False, prefix=""):', "def run_test(eqcheck: bool = False, reference: bool = False, prefix: str = '') -> float:"),
        ('def run_test(eqcheck=False, reference=False, prefix=""):', "def run_test(*, prefix='', eqcheck=False, reference=False, more=1):"),
    ],
)  # fmt: skip
def test_signatures_that_can_be_called_are_accepted(old: str, new: str) -> None:
    assert fatal(inspect_script(GOOD.replace(old, new), package="pkg")) is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("def setup(seed):", "def setup(seed, size):"),
        ("def experiment(data):", "def experiment():"),
        ("def experiment(data):", "def experiment(data, other):"),
        ("def experiment(data):", "def experiment(data, *, other):"),
        ("def experiment(data):", "async def experiment(data):"),
        ("    return count(data)", "    yield count(data)"),
        ("def store_result(result, path):", "def store_result(result):"),
        ("def load_result(path):", "def load_result():"),
        ("def check_equivalence(current, reference):", "def check_equivalence(current):"),
        ('def run_test(eqcheck=False, reference=False, prefix=""):', "def run_test(eqcheck=False, reference=False):"),
        ('def run_test(eqcheck=False, reference=False, prefix=""):', "def run_test(eqcheck, reference=False, prefix=''):"),
    ],
)  # fmt: skip
def test_signatures_that_cannot_be_called_are_refused(old: str, new: str) -> None:
    assert reasons(GOOD.replace(old, new)) == {Reason.CONTRACT_UNMET}


def test_functions_defined_under_a_condition_count() -> None:
    body = GOOD.replace(
        "def experiment(data):\n    return count(data)",
        "if True:\n    def experiment(data):\n        return count(data)",
    )
    assert granularity(body) == "function"


@pytest.mark.parametrize(
    "body",
    ["pass", "...", "return None", "return 42", "return data", "return (1, [2, 3])", '"""Words."""', "raise NotImplementedError('later')",
     "print('working')", "return {'a': 1, 'b': data}", "time.sleep(0.1)", "return 1 + 2"],
)  # fmt: skip
def test_an_experiment_without_work_is_trivial(body: str) -> None:
    assert Reason.TEST_TRIVIAL in reasons(GOOD.replace("return count(data)", body))


@pytest.mark.parametrize(
    "body",
    ["return count(data)", "return data @ data", "return [x for x in data]", "return data.total", "for x in data:\n        x.run()", "return data < data"],
)  # fmt: skip
def test_an_experiment_with_work_is_not_trivial(body: str) -> None:
    assert reasons(GOOD.replace("return count(data)", body)) == set()


def test_a_test_that_never_imports_the_package_is_trivial() -> None:
    assert Reason.TEST_TRIVIAL in reasons(
        GOOD.replace("from pkg.words import count", "from collections import Counter as count")
    )
    late = GOOD.replace("from pkg.words import count\n", "").replace(
        "return count(data)", "import importlib\n    return importlib.import_module('pkg.words').count(data)"
    )
    assert reasons(late) == set()


def test_a_check_that_cannot_say_no_is_vacuous() -> None:
    assert Reason.VACUOUS_EQUIVALENCE in reasons(GOOD.replace("assert current == reference", "return True"))


@pytest.mark.parametrize(
    "line",
    [
        "from unittest import mock",
        "from unittest.mock import patch",
        "import mock",
        "import pkg.words\npkg.words.count = len",
        "import sys\nsys.modules['pkg.words'] = object()",
        "import pkg\nsetattr(pkg, 'words', None)",
        "try:\n    from pkg.words import Counter\nexcept ImportError:\n    class Counter:\n        pass",
        "try:\n    from pkg.words import tally\nexcept Exception:\n    def tally(words):\n        return {}",
        "try:\n    from pkg.words import tally\nexcept:\n    tally = lambda words: {}",
        "try:\n    from pkg.words import Counter\nexcept ModuleNotFoundError:\n    class MockCounter:\n        pass",
        "class FakeCount:\n    pass",
    ],
)
def test_replacing_the_code_under_test_is_refused_in_a_generated_script_and_flagged_in_a_given_one(line: str) -> None:
    source = f"{line}\n{GOOD}"
    functions = ("pkg/words.py::Count",)
    assert reasons(source, functions=functions) == {Reason.TARGET_MOCKED}
    given = inspect_script(source, patch=PATCH, package="pkg", origin="given", functions=functions)
    assert [finding.reason for finding in given][:1] == [Reason.TARGET_MOCKED]
    assert fatal(given) is None


@pytest.mark.parametrize(
    "line",
    [
        "try:\n    from pkg.words import tally\nexcept ImportError:\n    from pkg.old import tally",
        "try:\n    import torch\nexcept ImportError:\n    torch = None",
        "try:\n    from numba import njit\nexcept ImportError:\n    def njit(f):\n        return f",
        "class FakeInput:\n    pass",
        "class Config:\n    size = 3\nconfig = Config()\nconfig.size = 4",
    ],
)
def test_inputs_of_its_own_and_other_imports_are_no_mock(line: str) -> None:
    assert reasons(f"{line}\n{GOOD}") == set()


def test_a_copy_is_found_whatever_its_spacing_quotes_comments_and_self() -> None:
    patch = PATCH.replace("+    totals", "+    self.totals").replace("+        totals", "+        self.totals")
    copied = LEAKED.replace("current_word, 0", "current_word,0").replace("totals.get\n", "totals.get  # the trick\n")
    assert Reason.PATCH_LEAKED in reasons(copied, patch=patch.replace("get_total = totals", "get_total = self.totals"))


@pytest.mark.parametrize(
    "patch",
    [
        PATCH.replace("pkg/words.py", "docs/words.md"),
        PATCH.replace("\n-", "\n ").replace("+    get_total", "     get_total"),
        "",
        "not a diff",
    ],
)
def test_documents_moved_lines_and_no_diff_leak_nothing(patch: str) -> None:
    assert Reason.PATCH_LEAKED not in reasons(GOOD, patch=patch)


def test_one_long_line_is_enough_for_a_copy_and_an_everyday_one_is_not() -> None:
    long = "return tuple(sorted(merge_spans(left_spans, right_spans, tolerance=default_tolerance), key=span_start))"
    short = "totals = collections.Counter(words)"
    template = "diff --git a/pkg/a.py b/pkg/a.py\n--- a/pkg/a.py\n+++ b/pkg/a.py\n@@ -1,1 +1,1 @@\n+    {}\n"
    test = GOOD + f"\n\ndef helper():\n    {short}\n    {long}\n"
    assert Reason.PATCH_LEAKED in reasons(test, patch=template.format(long))
    assert Reason.PATCH_LEAKED not in reasons(test, patch=template.format(short))


@pytest.mark.parametrize(
    "source",
    [
        "import pkg\n\ndef test_speed():\n    pkg.words.count([])\n",
        "import pkg\n\nclass TestSpeed:\n    def test_it(self):\n        pass\n",
        "import unittest\n\nclass Speed(unittest.TestCase):\n    pass\n",
        "import pkg\npkg.words.count(['a'])\n",
        "import pkg\n\ndef main():\n    pkg.run()\n\nif __name__ == '__main__':\n    main()\n",
    ],
)
def test_given_scripts_of_the_older_kind_are_timed_as_processes(source: str) -> None:
    assert granularity(source) == "process"
    found = inspect_script(source, package="pkg", origin="given")
    assert fatal(found) is None
    assert Reason.CONTRACT_UNMET in {finding.reason for finding in found}
    assert Reason.CONTRACT_UNMET in reasons(source)


def test_a_given_script_that_would_do_nothing_as_a_process_is_refused() -> None:
    found = fatal(inspect_script("import pkg\n\ndef setup():\n    return pkg\n", origin="given"))
    assert found is not None
    assert found.reason is Reason.CONTRACT_UNMET
    assert "do nothing" in found.words


def test_no_source_is_deep_or_strange_enough_to_raise() -> None:
    for source in ("(" * 5000, "\0", "x" * 100_000, "-" * 50_000 + "1", "\ud800"):
        assert inspect_script(source)
