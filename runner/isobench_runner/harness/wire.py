"""What the harness reads and leaves behind: plan.json in, outcome.json out, and nothing else is agreed with the trusted containers.

No decision and no process may enter here; standard library alone, CPython 3.8.
"""

import json
import os
import tempfile
from typing import Any, Dict, Optional

PLAN_VERSION = 1
MAX_TAIL_CHARACTERS = 20000


class PlanError(Exception):
    """A plan that this harness cannot follow: harness and plan come from one release, so this is a fault of isobench itself."""


def write_file(path: str, content: bytes) -> None:
    """Write a file so that it is either wholly there or not at all."""
    handle, name = tempfile.mkstemp(prefix=".new.", dir=os.path.dirname(path) or ".")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        if os.path.exists(name):
            os.unlink(name)
        raise


def write_json(path: str, value: Any) -> None:
    """Write a value as JSON, atomically; numbers have to be finite."""
    write_file(path, json.dumps(value, sort_keys=True, allow_nan=False).encode())


def read_json(path: str) -> Any:
    """Read a JSON file."""
    with open(path, "rb") as file:
        return json.loads(file.read())


def read_plan(in_dir: str) -> Dict[str, Any]:
    """Read plan.json of this version.

    Raises:
        PlanError: missing, not JSON, or of another version.
    """
    path = os.path.join(in_dir, "plan.json")
    try:
        plan = read_json(path)
    except (OSError, ValueError) as error:
        raise PlanError("{} cannot be read: {}".format(path, error)) from error
    if not isinstance(plan, dict) or plan.get("v") != PLAN_VERSION:
        raise PlanError("{} is not of version {}".format(path, PLAN_VERSION))
    return plan


def write_outcome(
    out_dir: str, stage: str, reason: Optional[str], tail: str = "", detail: Optional[Dict[str, Any]] = None
) -> None:
    """Write outcome.json, the last act of an untrusted container; `reason` is None where all went well."""
    os.makedirs(out_dir, exist_ok=True)
    body = {"v": 1, "stage": stage, "reason": reason, "tail": tail[-MAX_TAIL_CHARACTERS:], "detail": detail or {}}
    write_json(os.path.join(out_dir, "outcome.json"), body)


def failed_before(in_dir: str) -> bool:
    """Whether the container before this one failed and said why, so that nothing is left to be done."""
    try:
        outcome = read_json(os.path.join(in_dir, "outcome.json"))
    except (OSError, ValueError):
        return False
    return isinstance(outcome, dict) and outcome.get("reason") is not None
