"""The record as its consumers want it: ISO-Bench's published v1 keys, SWE-Perf's, GSO's. Pure; nothing is measured or looked up.

`canonical` holds the keys of ISO-Bench's published schema and no others. SWE-Perf counts in seconds and carries duration_changes as
JSON text, one object per sample; GSO names the optimised commit opt_commit and wants whole scripts.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .dedup import pull_request

Record = Mapping[str, Any]
TEST_NAME = "_generated_perf_tests/test_generated.py"

CANONICAL = (
    "repo", "instance_id", "created_at", "base_commit", "head_commit", "patch", "test_patch", "patch_functions", "test_functions",
    "efficiency_test", "duration_changes", "human_performance", "version", "setup_commands", "install_commands", "api",
    "gt_commit_message", "notes",
)  # fmt: skip
"""The keys of ISO-Bench's published canonical schema v1, but for the two problem statements, which a performance commit has not."""


def canonical(record: Record) -> dict[str, Any]:
    """Milliseconds; keys without a value are left out, for the schema allows strings alone."""
    view = {name: record[name] for name in CANONICAL if record[name] is not None}
    view["duration_changes"] = [{"base": item["base"], "head": item["head"]} for item in record["duration_changes"]]
    return view


def _added_file(path: str, content: str) -> str:
    """A unified diff that adds a text file."""
    if not content:
        return ""
    lines = content.split("\n")
    ends = lines[-1] == ""
    lines = lines[:-1] if ends else lines
    body = "".join(f"+{line}\n" for line in lines)
    header = (
        f"diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1,{len(lines)} @@\n"
    )
    return header + body + ("" if ends else "\\ No newline at end of file\n")


def swe_perf(record: Record) -> dict[str, Any]:
    """Seconds; duration_changes is JSON text: a list of {test: {base, head}}, sample by sample as far as both sides go.

    Tests are named by their path there, so the script comes as a file that test_patch adds. The problem statements say nothing of the
    commit's own words, which name the solution.
    """
    durations = [
        {TEST_NAME: {"base": base / 1000, "head": head / 1000}}
        for item in record["duration_changes"]
        for base, head in zip(item["base"], item["head"], strict=False)
    ]
    functions = ", ".join(record["patch_functions"]) or "the code that the test calls"
    return {
        "repo": record["repo"],
        "instance_id": record["instance_id"],
        "patch": record["patch"],
        "test_patch": record["test_patch"] + _added_file(TEST_NAME, record["efficiency_test"][0]),
        "base_commit": record["base_commit"],
        "head_commit": record["head_commit"],
        "created_at": record["created_at"],
        "version": record["version"],
        "duration_changes": json.dumps(durations, allow_nan=False, separators=(",", ":")),
        "efficiency_test": [TEST_NAME],
        "patch_functions": record["patch_functions"],
        "test_functions": record["test_functions"],
        "problem_statement_oracle": f"Make {functions} in {record['repo']} faster. Results must stay the same.",
        "problem_statement_realistic": f"Make {TEST_NAME} run faster in {record['repo']}. Results must stay the same.",
        "human_performance": record["human_performance"],
    }


def gso(record: Record) -> dict[str, Any]:
    """GSO's keys; instance_id is `owner__repo-<commit7>`, the diff holds tests as well."""
    fields = dict(part.partition("=")[::2] for part in record["version"].split(";"))
    number = pull_request(record["gt_commit_message"].partition("\n")[0])
    return {
        "instance_id": f"{record['repo'].replace('/', '__')}-{record['head_commit'][:7]}",
        "repo": record["repo"],
        "base_commit": record["base_commit"],
        "opt_commit": record["head_commit"],
        "api": record["api"] or "",
        "prob_script": record["efficiency_test"][0],
        "tests": record["efficiency_test"],
        "hints_text": f"Pull request #{number}" if number else "",
        "setup_commands": record["setup_commands"],
        "install_commands": record["install_commands"],
        "created_at": record["created_at"],
        "gt_commit_message": record["gt_commit_message"],
        "gt_diff": record["patch"] + record["test_patch"],
        "arch": fields.get("arch", "unknown"),
        "instance_image_tag": fields.get("image", "none"),
    }


VIEWS: dict[str, Callable[[Record], dict[str, Any]]] = {"canonical": canonical, "swe-perf": swe_perf, "gso": gso}
