"""report: the last container of every Job, the only one whose word counts.

It reads what the others left, believes nothing that it can recompute, keeps the evidence, writes the termination message and alone
turns an outcome into an exit code. It never runs or imports anything that it was given.
"""

from __future__ import annotations

import os
import traceback
from pathlib import Path

from isobench_runner.contract import (
    CollectRequest,
    GenerateRequest,
    MeasureRequest,
    PrepareRequest,
    Reason,
    Report,
    Request,
    StageError,
)
from isobench_runner.outcome import Outcome, read_outcome
from isobench_runner.reporting import collect, generate, log, measure, prepare
from isobench_runner.store import Store, StoreError


def _failed_before(root: Path) -> Outcome | None:
    """The outcome of `fetch`, where it failed: then nothing after it did anything."""
    outcome = read_outcome(root / "in")
    return outcome if outcome is not None and outcome.reason is not None else None


def conclude(request: Request, root: Path, store: Store) -> Report:
    """What happened, from the Job's folders `in` and `out` below `root`."""
    try:
        failed = _failed_before(root)
        if failed is not None:
            return Report(reason=failed.reason, tail=failed.tail)
        match request:
            case PrepareRequest():
                return prepare.conclude(request, root, store)
            case GenerateRequest():
                return generate.conclude(request, root, store)
            case MeasureRequest():
                return measure.conclude(request, root, store)
            case CollectRequest():
                return collect.conclude(request, root, store)
            case _:
                raise StageError(Reason.INTERNAL_ERROR, f"no report for {type(request).__name__}")
    except StageError as error:
        return Report(reason=error.reason, tail=str(error))
    except StoreError as error:
        return Report(reason=Reason.STORE_UNAVAILABLE, tail=str(error))
    except OSError as error:
        full = error.errno == 28
        return Report(reason=Reason.DISK_FULL if full else Reason.INTERNAL_ERROR, tail=traceback.format_exc())
    except Exception:  # noqa: BLE001 - a bug here must end one Commit, typed
        return Report(reason=Reason.INTERNAL_ERROR, tail=traceback.format_exc())


def run(request: Request, root: Path, output: Path, store: Store) -> int:
    """Write the termination message; returns the exit code that Kubernetes acts upon."""
    report = conclude(request, root, store)
    message = report.message(request)
    (output / "message").write_text(message)
    Path(os.environ.get("ISOBENCH_TERMINATION", "/dev/termination-log")).write_text(message)
    print(log.conclusion(report), flush=True)
    log.keep(report, root, store, os.environ)
    return report.exit_code
