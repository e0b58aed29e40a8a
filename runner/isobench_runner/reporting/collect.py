"""What a collection came to: the files that are really there, and their counts."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from isobench_runner.contract import CollectRequest, Reason, Report, StageError
from isobench_runner.outcome import read_outcome
from isobench_runner.stages.collect import SUMMARY, dataset_folder
from isobench_runner.stages.publish import PUBLISHED
from isobench_runner.store import Store


def _some(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def conclude(request: CollectRequest, root: Path, store: Store) -> Report:
    """The digest of the Dataset's JSONL, its records, and the Commits that were looked at.

    Raises:
        StageError: ResultInvalid, where a file is missing or is not what was written.
    """
    outcome = read_outcome(root / "out")
    unpublished = outcome if outcome is not None and outcome.stage == "publish" else None
    if outcome is not None and outcome.reason is not None and unpublished is None:
        return Report(reason=outcome.reason, tail=outcome.tail)
    try:
        summary = json.loads((root / "out" / SUMMARY).read_bytes())
    except (OSError, ValueError) as error:
        raise StageError(Reason.RESULT_INVALID, f"{SUMMARY}: {error}") from error
    folder = dataset_folder(root)
    for name, written in summary["files"].items():
        try:
            with (folder / name).open("rb") as file:
                digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        except OSError as error:
            raise StageError(Reason.RESULT_INVALID, f"{name}: {error.strerror}") from error
        if digest != written["digest"]:
            raise StageError(
                Reason.RESULT_INVALID, f"{name} is not what was written: {digest}, not {written['digest']}"
            )
        if request.files is not None and not store.has(digest):
            raise StageError(Reason.STORE_UNAVAILABLE, f"{name} did not reach the store")
    lost = summary["funnel"]["failures"]
    words = f"{_some(summary['records'], 'record')} of {_some(summary['commits'], 'Commit')} in {request.dataset}"
    if lost:
        words += f"; {len(lost)} gave none"
    # Their endings alone: a message has no room for a long name, and whoever asked knows it.
    files = [
        {"name": name.removeprefix(request.dataset), "digest": file["digest"], "size": file["bytes"]}
        for name, file in summary["files"].items()
    ]
    data = {name: summary[name] for name in ("dataset", "records", "commits")}
    data |= {"files": files, "finished": request.finished, "through": request.through}
    if unpublished is not None and request.publish is not None and request.publish.dry_run:
        return Report(
            data={**data, "trouble": f"what a push would do is not known: {unpublished.tail[:200]}"}, tail=words
        )
    if unpublished is not None:
        return Report(reason=unpublished.reason, data={**data, "words": words}, tail=unpublished.tail)
    if request.publish is not None:
        data["published"] = _published(root / "out" / PUBLISHED)
    return Report(data=data, tail=words)


def _published(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StageError(Reason.RESULT_INVALID, f"{PUBLISHED}: {error}") from error
