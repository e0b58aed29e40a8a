"""`python -m isobench_runner <stage> --in DIR --out DIR`: runs one trusted stage, files to files.

The request comes as ISOBENCH_REQUEST. A typed failure before `report` is written to the output folder as outcome.json and exits 0,
so that `report` runs and can tell it; `report` alone turns an outcome into an exit code.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from pathlib import Path

from .contract import REQUEST_VARIABLE, Reason, StageError, parse_request
from .outcome import write_outcome
from .store import Store

STAGES = ("fetch", "generate", "report", "list", "collect", "publish")


def main(argv: list[str] | None = None) -> int:
    """Run a stage; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m isobench_runner", description=__doc__)
    parser.add_argument("stage", choices=STAGES)
    parser.add_argument("--in", dest="input", required=True, type=Path, metavar="DIR")
    parser.add_argument("--out", dest="output", required=True, type=Path, metavar="DIR")
    arguments = parser.parse_args(argv)
    arguments.output.mkdir(parents=True, exist_ok=True)
    request = parse_request(os.environ.get(REQUEST_VARIABLE, ""))
    store = Store(Path(os.environ["ISOBENCH_STORE"]))
    stage = importlib.import_module(f".stages.{arguments.stage}", __package__)
    if arguments.stage == "report":
        return int(stage.run(request, arguments.input, arguments.output, store))
    try:
        stage.run(request, arguments.input, arguments.output, store)
    except StageError as error:
        write_outcome(arguments.output, arguments.stage, error.reason, str(error))
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug here must end one Commit, typed
        traceback.print_exc()
        full = isinstance(error, OSError) and error.errno == 28
        write_outcome(
            arguments.output,
            arguments.stage,
            Reason.DISK_FULL if full else Reason.INTERNAL_ERROR,
            traceback.format_exc(),
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
