"""fetch: the first container of every Job, the only one that sees git credentials. It lays out what the next container reads.

Each kind of request has a module of its own below `fetching/`; nothing that is fetched is ever run or imported here.
"""

from __future__ import annotations

import os
from pathlib import Path

from isobench_runner.contract import GenerateRequest, MeasureRequest, PrepareRequest, Reason, Request, StageError
from isobench_runner.harness_archive import build_archive
from isobench_runner.store import Store

from .fetching import generate, measure, prepare


def run(request: Request, input: Path, output: Path, store: Store) -> None:  # noqa: A002, ARG001 - every stage's signature
    """Fetch what the request names into `output`; the request names mounted files by their paths.

    Raises:
        StageError: MissingInput, InputInvalid, RepositoryUnreachable, AuthenticationFailed, CommitNotFound, NoParent, EmptyDiff,
            DiffTooLarge, SubmoduleUnavailable, InterpreterNotFound, IndexUnreachable, StoreUnavailable.
    """
    if "TMPDIR" in os.environ:
        Path(os.environ["TMPDIR"]).mkdir(parents=True, exist_ok=True)
    if isinstance(request, PrepareRequest | MeasureRequest):
        # Before anything that can fail: the next container is the harness, which has to be there to see the failure and exit 0.
        build_archive(output / "harness.pyz")
    match request:
        case PrepareRequest():
            prepare.run(request, output, store)
        case GenerateRequest():
            generate.run(request, output, store)
        case MeasureRequest():
            measure.run(request, output, store)
        case _:
            raise StageError(Reason.INTERNAL_ERROR, f"fetch has nothing to do for {type(request).__name__}")
