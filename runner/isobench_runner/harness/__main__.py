"""`python3 -I -S harness.pyz build|unpack|measure --in DIR --out DIR`: everything that executes in a user's image enters here.

An untrusted container exits 0, and what happened stands in outcome.json; under a kubelet not where it, or a process of it, was killed for
its memory. Only the command that is asked for is imported: the measuring parent has to stay small.
"""

import argparse
import os
import sys
import traceback
from typing import List, Optional

from . import pod
from .wire import failed_before, write_outcome


def main(argv: Optional[List[str]] = None) -> int:
    """Run a command of the harness; returns 0 once the arguments are understood, or `pod.KILLED`."""
    parser = argparse.ArgumentParser(
        prog="harness.pyz", description="isobench's harness, run inside of a user's image."
    )
    parser.add_argument("command", choices=("build", "unpack", "measure"))
    parser.add_argument(
        "--in", dest="input", required=True, metavar="DIR", help="what fetch made: plan.json and beside it"
    )
    parser.add_argument("--out", dest="output", required=True, metavar="DIR", help="where outcome.json is left")
    arguments = parser.parse_args(argv)
    in_dir, out_dir = os.path.abspath(arguments.input), os.path.abspath(arguments.output)
    if failed_before(in_dir):
        return 0
    os.makedirs(out_dir, exist_ok=True)
    kills = pod.oom_kills()
    try:
        if arguments.command == "build":
            from . import building

            building.main(in_dir, out_dir)
        elif arguments.command == "unpack":
            from . import unpacking

            unpacking.main(in_dir, out_dir)
        else:
            from . import measuring

            measuring.main(in_dir, out_dir)
    except Exception as error:
        traceback.print_exc()
        full = isinstance(error, OSError) and error.errno == 28
        write_outcome(out_dir, arguments.command, "DiskFull" if full else "InternalError", traceback.format_exc())
    return pod.exit_code(0, kills)


if __name__ == "__main__":
    sys.exit(main())
