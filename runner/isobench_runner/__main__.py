"""`python -m isobench_runner <stage> --in DIR --out DIR`: runs one trusted stage, files to files.

The request comes as ISOBENCH_REQUEST. A typed failure before `report` is written to the output folder as outcome.json and exits 0,
so that `report` runs and can tell it; `report` alone turns an outcome into an exit code. Where the kernel has killed for memory, `report`
would not be run: the exit code says it then.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from pathlib import Path

from .contract import EXIT_AGAIN, REQUEST_VARIABLE, Reason, Request, StageError, parse_request
from .dumpable import keep_to_itself
from .harness.pod import exit_code, oom_kills
from .location import open_place, take_credentials
from .outcome import write_outcome
from .places import UnreachableError
from .store import Store, StoreError
from .transcript import Transcript, secrets_of

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
    if os.environ.get("ISOBENCH_RUNTIME") == "kubernetes":
        keep_to_itself()
    take_credentials(os.environ)
    if arguments.stage == "report":
        return _run(arguments.stage, request, arguments.input, arguments.output)
    log = arguments.output / f"{arguments.stage}.log"
    kills = oom_kills()
    with Transcript(log, secrets_of(request, os.environ)):
        print(f"{arguments.stage}: for {request.commit}, attempt {request.attempt}", flush=True)
        code = _run(arguments.stage, request, arguments.input, arguments.output)
    return exit_code(code, kills)


def _run(name: str, request: Request, source: Path, target: Path) -> int:
    stage = importlib.import_module(f".stages.{name}", __package__)
    try:
        store = Store(open_place(os.environ["ISOBENCH_STORE"]))
        code = stage.run(request, source, target, store)
        return int(code) if name == "report" else 0
    except StageError as error:
        print(f"{name}: {error.reason.value}: {error}", file=sys.stderr)
        write_outcome(target, name, error.reason, str(error))
    except (StoreError, UnreachableError) as error:
        write_outcome(target, name, Reason.STORE_UNAVAILABLE, str(error))
        print(error, file=sys.stderr)
        return EXIT_AGAIN if name == "report" else 0
    except Exception as error:  # noqa: BLE001 - the last line of defence: a bug here must end one Commit, typed
        traceback.print_exc()
        full = isinstance(error, OSError) and error.errno == 28
        write_outcome(target, name, Reason.DISK_FULL if full else Reason.INTERNAL_ERROR, traceback.format_exc())
    return 0


if __name__ == "__main__":
    sys.exit(main())
