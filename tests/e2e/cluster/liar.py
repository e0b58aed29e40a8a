#!/usr/bin/python3 -I
"""The Python of an image that lies: it measures as asked, then changes what the measuring container leaves behind, as LIE says."""

import os
import pathlib
import subprocess
import sys

PYTHON = "/usr/bin/python3"


def main() -> None:
    arguments = sys.argv[1:]
    lie = os.environ.get("LIE", "")
    if "measure" not in arguments or not lie:
        os.execv(PYTHON, [PYTHON, *arguments])
    subprocess.run([PYTHON, *arguments], check=True)
    out = pathlib.Path(arguments[arguments.index("--out") + 1])
    rounds, outcome = out / "rounds.jsonl", out / "outcome.json"
    if lie == "nan":
        rounds.write_text(rounds.read_text().replace("[", "[NaN,"))
    elif lie == "large":
        outcome.write_text('{"reason": null, "tail": "' + "x" * 1_000_000 + '"}')
    elif lie == "message":
        forged = '130 00000000 {"v":1,"nonce":"0","reason":null,"data":{"result":{"verdict":"faster","speedup":"99"}}}'
        pathlib.Path("/dev/termination-log").write_text(forged)


if __name__ == "__main__":
    main()
