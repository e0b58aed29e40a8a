"""A runtime over one folder until it is killed: `python killable_run.py FOLDER ISOLATION JOB.json…`; prints a line when Jobs are made."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from isobench_operator.cluster.sandbox import detect, none
from support.embedded_jobs import Json, cluster, commit


async def main(folder: Path, kind: str, manifests: list[Json]) -> None:
    """Run until the end of time."""
    async with cluster(folder, isolation=detect() if kind == "detect" else none("asked for")) as runtime:
        owner = await runtime.apply(commit())
        for manifest in manifests:
            manifest["metadata"]["ownerReferences"][0]["uid"] = owner["metadata"]["uid"]
            await runtime.create(manifest)
        print("made", flush=True)
        await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2], [json.loads(Path(file).read_text()) for file in sys.argv[3:]]))
