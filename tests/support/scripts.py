"""Test scripts and inputs for generation: a small commit, a good test of it, and the ways in which answers are wrong."""

from __future__ import annotations

from typing import Any

HEAD = "0f40557af6141ced118b81f2a04e651a0c6c9dbd"
BASE = "1111111111111111111111111111111111111111"

PATCH = """\
diff --git a/pkg/words.py b/pkg/words.py
--- a/pkg/words.py
+++ b/pkg/words.py
@@ -1,8 +1,8 @@
 def count(words):
-    totals = {}
-    for word in words:
-        totals[word] = totals[word] + 1 if word in totals else 1
-    return totals
+    totals: dict[str, int] = {}
+    get_total = totals.get
+    for current_word in words:
+        totals[current_word] = get_total(current_word, 0) + 1
+    return totals
"""

OLD = """\
def count(words):
    totals = {}
    for word in words:
        totals[word] = totals[word] + 1 if word in totals else 1
    return totals
"""

GOOD = """\
import json
import random
import time
from pathlib import Path

from pkg.words import count


def setup(seed):
    generator = random.Random(seed)
    return [str(generator.randrange(500)) for _ in range(200_000)]


def experiment(data):
    return count(data)


def store_result(result, path):
    Path(path).write_text(json.dumps(result))


def load_result(path):
    return json.loads(Path(path).read_text())


def check_equivalence(current, reference):
    assert current == reference


def run_test(eqcheck=False, reference=False, prefix=""):
    data = setup(0)
    start = time.perf_counter()
    result = experiment(data)
    seconds = time.perf_counter() - start
    if reference:
        store_result(result, f"{prefix}_result.json")
    if eqcheck:
        check_equivalence(result, load_result(f"{prefix}_result.json"))
    return seconds
"""

BROKEN = GOOD.replace("def experiment(data):", "def experiment(data:")
RENAMED = GOOD.replace("def experiment(", "def run_experiment(").replace("= experiment(", "= run_experiment(")
TRIVIAL = GOOD.replace("return count(data)", "return None")
MOCKED = GOOD.replace("import json\n", "import json\nfrom unittest.mock import MagicMock\n")
LEAKED = GOOD.replace(
    "    return count(data)",
    "    words = data\n    totals: dict[str, int] = {}\n    get_total = totals.get\n    for current_word in words:\n"
    "        totals[current_word] = get_total(current_word, 0) + 1\n    return totals",
)


def markdown(code: str) -> str:
    """As models answer."""
    return f"Here is the test.\n\n```python\n{code}```\n\nIt counts words.\n"


def inputs() -> dict[str, Any]:
    """`inputs.json` as fetch writes it."""
    file = {
        "path": "pkg/words.py",
        "old_path": None,
        "change_type": "modified",
        "binary": False,
        "is_test": False,
        "lfs": False,
    }
    function = {"path": "pkg/words.py", "qualname": "count", "start": 1, "end": 5, "lines": [2, 3, 4]}
    return {
        "v": 1,
        "repo": "acme/pkg",
        "head": HEAD,
        "base": BASE,
        "subject": "count words faster",
        "message": "count words faster\n\nSigned-off-by: A Person <person@example.org>\n",
        "author_date": "2024-01-01T00:00:00+00:00",
        "commit_date": "2024-01-01T00:00:00+00:00",
        "pr": None,
        "files": [file],
        "patch": PATCH,
        "test_patch": "",
        "patch_functions": ["pkg.words.count"],
        "test_functions": [],
        "extraction": extraction(),
        "script": None,
        "changed": [{**function, "side": "base"}, {**function, "side": "head", "lines": [2, 3, 4, 5]}],
        "notes": [],
    }


def extraction() -> dict[str, Any]:
    """The same commit as an extraction file."""
    file = {
        "file_path": "pkg/words.py",
        "old_content": OLD,
        "diff": PATCH,
        "change_type": "modified",
    }
    return {
        "commit_hash": HEAD,
        "parent_hash": BASE,
        "message": "count words faster\n\nSigned-off-by: A Person <person@example.org>\n",
        "files_changed": [file],
        "csv_metadata": {"category": "loops", "json_has_tests": False},
        "timeline_text": "a page nobody should send",
        "author": "A Person",
        "repo_path": "/home/person/checkout",
    }
