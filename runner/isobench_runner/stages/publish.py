"""publish: the Dataset's records go to the Hugging Face Hub, as split `test`. The only stage that has the Hub's token.

What is there is read at one revision, merged, told, and replaced in one commit on top of that revision: a push by somebody else in
between is merged too, never lost. Nothing is pushed that is there already.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isobench_runner.contract import CollectRequest, Publish, Reason, Request, StageError
from isobench_runner.dumpable import not_dumpable
from isobench_runner.llm.keys import redact
from isobench_runner.outcome import read_outcome
from isobench_runner.records.card import card
from isobench_runner.records.dedup import HELD, NEW, Entry, entry, instance_ids
from isobench_runner.records.parquet import SCHEMA, ParquetFile
from isobench_runner.records.publishing import Change, merge, repository
from isobench_runner.store import Store, write_atomic

from .collect import SUMMARY

PUBLISHED = "published.json"
TABLE = "data/test-00000-of-00001.parquet"
CARD = "README.md"
TAG = "isobench"
CONFLICTS = 5
SHOWN = 500
_INDEX = (
    "repo",
    "head_commit",
    "gt_commit_message",
    "created_at",
    "test_digest",
    "gpu",
    "cpu",
    "image_digest",
    "finished_at",
)
_SETTINGS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
}


class _ConflictError(Exception):
    """Somebody else pushed meanwhile."""


@dataclass(frozen=True, kw_only=True)
class _There:
    """The repository as it is.

    Attributes:
        revision: of its main branch; None where it has to be made.
        table: the split `test`, as Arrow; None where there is none.
        files: that hold the split.
        card: its README, None without one.
    """

    revision: str | None = None
    table: Any = None
    files: tuple[str, ...] = ()
    card: str | None = None


def _token(publish: Publish) -> str:
    try:
        token = Path(publish.token_file).read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        words = f"publish.secretKeyRef: there is no token: create the Secret and its key, or set its variable ({publish.token_file} cannot be read)"
        raise StageError(Reason.MISSING_INPUT, words) from error
    if not token:
        raise StageError(Reason.MISSING_INPUT, "publish.secretKeyRef: the Secret's key is empty")
    return token


class _Hub:
    """One repository of the Hub; whatever goes wrong there is a typed failure."""

    def __init__(self, name: str, token: str, *, endpoint: str | None) -> None:
        for variable, value in _SETTINGS.items():
            os.environ.setdefault(variable, value)
        if endpoint is not None:
            os.environ["HF_ENDPOINT"] = endpoint
        import huggingface_hub  # noqa: PLC0415 - reads its settings from the environment when it is imported

        self.name = name
        self._token = token
        self._api = huggingface_hub.HfApi(token=token, library_name=TAG)

    def read(self) -> _There:
        """What is there, at one revision."""
        from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415

        try:
            info = self._api.dataset_info(self.name)
        except RepositoryNotFoundError as error:
            if error.response.status_code == 401:
                raise
            return _There()
        names = [sibling.rfilename for sibling in info.siblings or ()]
        found = _There(revision=info.sha, card=self._text(CARD, info.sha) if CARD in names else None)
        return self._with_split(found)

    def _text(self, name: str, revision: str | None) -> str:
        path = self._api.hf_hub_download(self.name, name, repo_type="dataset", revision=revision)
        return Path(path).read_text(encoding="utf-8")

    def _with_split(self, found: _There) -> _There:
        from datasets.data_files import EmptyDatasetError  # noqa: PLC0415
        from datasets.exceptions import DataFilesNotFoundError, DatasetsError  # noqa: PLC0415
        from datasets.load import load_dataset, load_dataset_builder  # noqa: PLC0415

        named: dict[str, Any] = {"revision": found.revision, "token": self._token}
        try:
            builder = load_dataset_builder(self.name, **named)
            data_files: Any = builder.config.data_files or {}
            files = data_files.get("test")
            if not files:
                return found
            table = load_dataset(self.name, split="test", verification_mode="no_checks", **named)
        except (EmptyDatasetError, DataFilesNotFoundError):
            return found
        except (DatasetsError, ValueError) as error:
            words = f"{self.name}: the split test that is there cannot be read: {error}"
            raise StageError(Reason.PUBLISH_REFUSED, words) from error
        at = f"datasets/{self.name}@{found.revision}/"
        paths = tuple(str(file).rpartition(at)[2] for file in files)
        return _There(revision=found.revision, table=_arrow(self.name, table), files=paths, card=found.card)

    def push(self, there: _There, table: Path, text: str, *, private: bool, message: str) -> str:
        """Replace the split in one commit on top of what was read; returns its revision.

        Raises:
            _ConflictError: that is no longer the latest.
        """
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete  # noqa: PLC0415
        from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

        if there.revision is None:
            self._api.create_repo(self.name, repo_type="dataset", private=private, exist_ok=True)
        operations: list[Any] = [CommitOperationAdd(TABLE, table)]
        if there.card is None or _ours(there.card):
            operations.append(CommitOperationAdd(CARD, text.encode()))
        operations += [CommitOperationDelete(name) for name in there.files if name != TABLE]
        try:
            done = self._api.create_commit(
                self.name, operations, repo_type="dataset", commit_message=message, parent_commit=there.revision
            )
        except HfHubHTTPError as error:
            if error.response.status_code in (409, 412):
                raise _ConflictError from error
            raise
        return str(done.oid)


def _ours(text: str) -> bool:
    """Whether a card is one that a push wrote: words that somebody else wrote stay."""
    from huggingface_hub import DatasetCard  # noqa: PLC0415

    try:
        return TAG in (DatasetCard(text, ignore_metadata_errors=True).data.get("tags") or [])
    except ValueError:
        return False


def _arrow(name: str, dataset: Any) -> Any:
    """A published split with the columns of a record, of which an older release may lack some.

    Raises:
        StageError: PublishRefused, where it holds something else.
    """
    unknown = [column for column in dataset.column_names if column not in SCHEMA.names]
    missing = [column for column in _INDEX if column not in dataset.column_names]
    if unknown or missing:
        words = f"has a column {unknown[0]!r}" if unknown else f"has no column {missing[0]!r}"
        raise StageError(
            Reason.PUBLISH_REFUSED, f"{name}: the split test that is there {words}: it holds no records of isobench"
        )
    return dataset.with_format("arrow")


def _row(table: Any, index: int) -> dict[str, Any]:
    """One published row, every column there."""
    found = table[index : index + 1].to_pylist()[0]
    return {column: found.get(column) for column in SCHEMA.names}


def _published(table: Any) -> Iterator[Entry]:
    if table is None:
        return
    for start in range(0, len(table), 1000):
        for offset, row in enumerate(table.select_columns(list(_INDEX))[start : start + 1000].to_pylist()):
            yield entry(row, source=HELD, offset=start + offset, digest="")


def _ours_in(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        offset = 0
        for line in file:
            yield entry(json.loads(line), source=NEW, offset=offset, digest="")
            offset += len(line)


def _write(there: _There, records: Path, target: Path, publish: Publish) -> tuple[Change, int]:
    """The split as it will be, what that changes, and of how many repositories it is."""
    chosen, published = merge(_ours_in(records), _published(there.table), keep=publish.keep)
    ids, change = instance_ids(chosen), Change()
    with ExitStack() as stack:
        file = stack.enter_context(records.open("rb"))
        writer = stack.enter_context(ParquetFile(target))
        for item in chosen:
            if item.source == NEW:
                file.seek(item.offset)
                row = json.loads(file.readline())
            else:
                row = _row(there.table, item.offset)
            row["instance_id"] = ids[item.repo, item.head]
            held = published.get((item.repo, item.head))
            change.see(item, row, None if held is None else _row(there.table, held.offset))
            writer.add(row, len(row["patch"] or "") + len(row["efficiency_test"][0]) + 4096)
    return change, len({item.repo for item in chosen})


def _tell(name: str, change: Change, *, dry_run: bool) -> None:
    sys.stdout.write(f"{'would push' if dry_run else 'push'} to {name}, split test: {change.words()}\n")
    for line in itertools.islice(change.lines, SHOWN):
        sys.stdout.write(f"  {line}\n")
    if len(change.lines) > SHOWN:
        sys.stdout.write(f"  and {len(change.lines) - SHOWN} more\n")
    sys.stdout.flush()


def _publish(
    hub: _Hub, collection: CollectRequest, publish: Publish, folder: Path, funnel: Mapping[str, Any]
) -> dict[str, Any]:
    for _ in range(CONFLICTS):
        there = hub.read()
        with tempfile.TemporaryDirectory(prefix="publish.") as scratch:
            table = Path(scratch) / "test.parquet"
            change, repositories = _write(there, folder / f"{collection.dataset}.jsonl", table, publish)
            _tell(hub.name, change, dry_run=publish.dry_run)
            revision = there.revision
            if not (change.nothing or publish.dry_run):
                text = card(
                    hub.name.partition("/")[2], funnel,
                    records=change.records, kept=change.counts["kept"], repositories=repositories, files=[TABLE],
                )  # fmt: skip
                try:
                    message = f"isobench: {change.words()}"
                    revision = hub.push(there, table, text, private=publish.private, message=message)
                except _ConflictError:
                    sys.stdout.write(f"{hub.name} was pushed to meanwhile; reading it again\n")
                    continue
        counts = {word: change.counts[word] for word in ("added", "replaced", "kept")}
        return {"repository": hub.name, "revision": revision, "records": change.records, **counts}
    raise StageError(Reason.HUB_UNAVAILABLE, f"{hub.name}: {CONFLICTS} times somebody else pushed meanwhile")


def _failure(error: BaseException, name: str) -> StageError | None:
    """The typed failure that an error of the client means; None where it is none of the Hub's."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, HfHubHTTPError):
            code, words = seen.response.status_code, f"{name}: {seen.server_message or seen}"
            if code in (401, 403):
                return StageError(Reason.HUB_TOKEN_REJECTED, words)
            if code in (400, 404, 409, 410, 413, 422):
                return StageError(Reason.PUBLISH_REFUSED, words)
            return StageError(Reason.HUB_UNAVAILABLE, words)
        if isinstance(seen, HFValidationError):
            return StageError(Reason.PUBLISH_REFUSED, f"{name}: {seen}")
        if isinstance(seen, OSError) and seen.errno != 28:
            return StageError(Reason.HUB_UNAVAILABLE, f"{name}: {type(seen).__name__}: {seen}")
        seen = seen.__cause__ or seen.__context__
    return None


def run(request: Request, input: Path, output: Path, store: Store) -> None:  # noqa: A002, ARG001 - every stage is called alike
    """Push the records of the Dataset's folder `input`; writes `published.json` into `output`.

    Raises:
        StageError: MissingInput without a token; HubUnavailable, HubTokenRejected, PublishRefused.
    """
    if not isinstance(request, CollectRequest) or request.publish is None:
        raise StageError(
            Reason.INTERNAL_ERROR, f"publish serves collections to publish, not a {type(request).__name__}"
        )
    folder = Path(os.environ.get("ISOBENCH_DATASET") or input)
    if any(one is not None and one.reason is not None for one in map(read_outcome, (output.parent / "in", output))):
        return
    funnel = json.loads((output / SUMMARY).read_bytes())["funnel"]
    try:
        endpoint, name = repository(request.publish.repository, request.dataset)
    except ValueError as error:
        raise StageError(Reason.PUBLISH_REFUSED, f"publish.repository: {error}") from error
    with not_dumpable():
        token = _token(request.publish)
        try:
            done = _publish(_Hub(name, token, endpoint=endpoint), request, request.publish, folder, funnel)
        except StageError:
            raise
        except Exception as error:
            typed = _failure(error, name)
            if typed is None:
                raise
            raise StageError(typed.reason, redact(str(typed), token)) from error
    write_atomic(output / PUBLISHED, json.dumps(done).encode())
