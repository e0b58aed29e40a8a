"""The extraction of a commit: what a model is told about it, in the one form that everything here speaks.

Extractions come from elsewhere in two forms (one with old file contents, one with a page dump and a whole diff) and in every mixture of
them; `read_extraction` takes them all, `complete` fills what is missing from the repository, and `for_prompt` alone decides what of it a
model may see. Nothing here touches a repository or a model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from isobench_runner.contract import Reason, StageError

from .scrubbing import scrub

SUMMARY_NAME = "extraction_summary.json"
"""Lies among extractions and is none."""
MAX_EXTRACTION_BYTES = 64_000_000
_SHA = re.compile(r"[0-9a-f]{7,64}")
_MESSAGE_KEYS = ("message", "commit_message", "commit_subject", "subject")
_API_KEYS = ("affected_apis", "apis")
_CHANGE_TYPES = {
    "a": "added", "add": "added", "added": "added", "new": "added", "created": "added",
    "d": "deleted", "delete": "deleted", "deleted": "deleted", "removed": "deleted",
    "r": "renamed", "rename": "renamed", "renamed": "renamed", "moved": "renamed",
    "m": "modified", "modify": "modified", "modified": "modified", "changed": "modified",
}  # fmt: skip
_PATH_KEYS = ("file_path", "path", "filename", "file", "new_path", "name")


@dataclass(frozen=True)
class FileChange:
    """One file of an extraction.

    Attributes:
        old_content: the file on base, None where unknown or not text.
        extra: keys that are not ours, as they came.
    """

    file_path: str
    old_content: str | None = None
    diff: str | None = None
    change_type: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The A8 form."""
        ours = {
            "file_path": self.file_path,
            "old_content": self.old_content,
            "diff": self.diff or "",
            "change_type": self.change_type or "modified",
        }
        return {**self.extra, **ours}


@dataclass(frozen=True)
class Extraction:
    """A commit's extraction.

    Attributes:
        commit_hash: a sha, perhaps abbreviated.
        parent_hash: None where it is to be head's first parent.
        apis: dotted names of what the change affects, as whoever made the extraction saw it.
        category: of the change, "" where unknown.
        has_tests: None where unknown.
        extra: keys that are not ours, as they came.
    """

    commit_hash: str
    parent_hash: str | None = None
    message: str = ""
    files: tuple[FileChange, ...] = ()
    apis: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def category(self) -> str:
        """The category of the change, "" where unknown."""
        return str(self.metadata.get("category") or "")

    @property
    def subject(self) -> str:
        """The first line of the message."""
        return self.message.partition("\n")[0]

    def to_json(self) -> dict[str, Any]:
        """The one form that is kept: A8, with `affected_apis` and whatever else came along."""
        ours = {
            "commit_hash": self.commit_hash,
            "parent_hash": self.parent_hash,
            "message": self.message,
            "files_changed": [file.to_json() for file in self.files],
            "affected_apis": list(self.apis),
            "csv_metadata": {"category": "", "json_has_tests": None, **self.metadata},
        }
        return {**self.extra, **ours}


def _invalid(source: str, words: str) -> StageError:
    return StageError(Reason.INPUT_INVALID, f"extraction {source}: {words}")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def parse_json(content: bytes, source: str) -> dict[str, Any]:
    """An extraction's bytes as a JSON object.

    Raises:
        StageError: InputInvalid, naming line and column of what is no JSON, or saying that the file is cut.
    """
    if len(content) > MAX_EXTRACTION_BYTES:
        raise _invalid(source, f"{len(content):,} bytes are more than the {MAX_EXTRACTION_BYTES:,} that one may have")
    if not content.strip():
        raise _invalid(source, "the file is empty")
    try:
        body = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _invalid(source, f"not UTF-8: byte 0x{content[error.start]:02x} at offset {error.start}") from error
    except RecursionError as error:
        raise _invalid(source, "nested too deeply") from error
    except json.JSONDecodeError as error:
        at_end = not error.doc[error.pos :].strip() or error.msg.startswith("Unterminated string")
        cut = "; the file seems cut there: write it again" if at_end else ""
        raise _invalid(source, f"line {error.lineno}, column {error.colno}: {error.msg}{cut}") from error
    if not isinstance(body, dict):
        raise _invalid(source, f"a JSON object is wanted, this is {type(body).__name__}")
    return body


def _relative(path: str, root: str | None) -> str | None:
    """A path within the repository, or None where it is not one."""
    path = path.strip().replace("\\", "/")
    if root and path.startswith(root.rstrip("/") + "/"):
        path = path[len(root.rstrip("/")) + 1 :]
    path = path.removeprefix("./")
    return (
        None if not path or path.startswith("/") or re.match(r"^[A-Za-z]:/", path) or ".." in path.split("/") else path
    )


def _file(item: Any, root: str | None, source: str) -> FileChange | None:
    if isinstance(item, str):
        path = _relative(item, root)
        return FileChange(path) if path else None
    if not isinstance(item, dict):
        raise _invalid(source, f"files_changed holds {item!r:.60}, which is neither a path nor an object")
    key = next((key for key in _PATH_KEYS if isinstance(item.get(key), str)), None)
    path = _relative(item[key], root) if key else None
    if key is None or path is None:
        raise _invalid(source, f"a file has no file_path within the repository: {sorted(item)[:8]}")
    kind = _text(item.get("change_type")) or _text(item.get("status")) or ""
    known = {key, "old_content", "diff", "patch", "change_type", "status"}
    return FileChange(
        path,
        _text(item.get("old_content")) if item.get("old_content") != "" else "",
        _text(item.get("diff")) or _text(item.get("patch")),
        _CHANGE_TYPES.get(kind.strip().lower()),
        {name: value for name, value in item.items() if name not in known},
    )


def split_diff(text: str) -> dict[str, str]:
    """A whole diff cut into files, by their path on head (on base where it is deleted)."""
    result: dict[str, str] = {}
    for section in re.split(r"(?m)^(?=diff --git )", text):
        header = section.partition("\n@@")[0]
        match = (
            re.search(r"(?m)^\+\+\+ b/(.+?)\t?$", header)
            or re.search(r"(?m)^rename to (.+)$", header)
            or re.search(r"(?m)^--- a/(.+?)\t?$", header)
            or re.match(r"diff --git a/(.+?) b/\1$", header.partition("\n")[0])
        )
        if section.startswith("diff --git ") and match:
            result[match[1]] = section
    return result


def read_extraction(body: Mapping[str, Any], source: str) -> Extraction:
    """Bring an extraction of any known form into the one form.

    Args:
        body: the JSON object.
        source: its file's name, for errors.

    Raises:
        StageError: InputInvalid where it has no commit hash, or files that are neither paths nor objects.
    """
    commit = next((body[key] for key in ("commit_hash", "commit", "sha", "head_commit") if body.get(key)), None)
    if not isinstance(commit, str) or not _SHA.fullmatch(commit.strip().lower()):
        raise _invalid(source, f"commit_hash is {commit!r:.60}; a sha of at least 7 hex digits is wanted")
    parent = next((body[key] for key in ("parent_hash", "parent", "base_commit") if body.get(key)), None)
    if parent is not None and (not isinstance(parent, str) or not _SHA.fullmatch(parent.strip().lower())):
        raise _invalid(source, f"parent_hash is {parent!r:.60}; a sha is wanted, or nothing for the first parent")
    root = _text(body.get("repo_path"))
    items: Any = next((body[key] for key in ("files_changed", "files", "changed_files") if body.get(key)), [])
    if not isinstance(items, list):
        raise _invalid(source, f"files_changed is {type(items).__name__}; a list is wanted")
    files = [file for item in items if (file := _file(item, root, source)) is not None]
    diffs = split_diff(_text(body.get("diff_text")) or _text(body.get("diff")) or "")
    files += [FileChange(path) for path in diffs if path not in {file.file_path for file in files}] if diffs else []
    files = [replace(file, diff=file.diff or diffs.get(file.file_path)) for file in files]
    apis: list[Any] = next((body[key] for key in _API_KEYS if isinstance(body.get(key), list)), [])
    metadata = body.get("csv_metadata")
    ours = {
        "commit_hash",
        "commit",
        "sha",
        "head_commit",
        "parent_hash",
        "parent",
        "base_commit",
        "files_changed",
        "files",
    }
    ours |= {"changed_files", "message", "csv_metadata", "affected_apis", "apis"}
    return Extraction(
        commit.strip().lower(),
        parent.strip().lower() if parent else None,
        next((text for key in _MESSAGE_KEYS if (text := _text(body.get(key)))), ""),
        tuple(files),
        tuple(str(api) for api in apis if isinstance(api, str) and api),
        dict(metadata) if isinstance(metadata, dict) else {},
        {key: value for key, value in body.items() if key not in ours},
    )


def complete(extraction: Extraction, computed: Extraction) -> Extraction:
    """Fill what a given extraction lacks with what the repository says; where both speak, the given words stand.

    The commits are the repository's: a given parent that is another commit never changes what is compared.
    """
    known = {file.file_path: file for file in extraction.files}
    files: list[FileChange] = []
    for own in computed.files:
        given = known.pop(own.file_path, None)
        if given is None:
            files.append(own)
            continue
        files.append(
            FileChange(
                own.file_path,
                own.old_content if given.old_content is None else given.old_content,
                given.diff or own.diff,
                given.change_type or own.change_type,
                given.extra,
            )
        )
    return replace(
        extraction,
        commit_hash=computed.commit_hash,
        parent_hash=computed.parent_hash,
        message=extraction.message or computed.message,
        files=(*files, *known.values()),
        apis=extraction.apis or computed.apis,
        metadata={
            **computed.metadata,
            **{key: value for key, value in extraction.metadata.items() if value not in ("", None)},
        },
    )


_SEEN_IN_PROMPT = ("perf_command", "llm_reason", "llm_api_reason", "models", "lm_eval_commands", "stats", "summary")


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _scrubbed(item) for key, item in value.items()}
    return value


def for_prompt(extraction: Extraction) -> dict[str, Any]:
    """What of an extraction a model may see, most telling first.

    Left out: authors, dates, absolute paths, page dumps and every key that is not known to be harmless. Diffs and old contents are the
    repository's own and stand as they are.
    """
    told: dict[str, Any] = {
        "commit_hash": extraction.commit_hash,
        "message": scrub(extraction.message),
        "category": extraction.category,
        "affected_apis": [api for api in extraction.apis if not api.startswith("/")],
    }
    told |= {key: _scrubbed(extraction.extra[key]) for key in _SEEN_IN_PROMPT if extraction.extra.get(key)}
    told["files_changed"] = [
        {
            "file_path": file.file_path,
            "change_type": file.change_type or "modified",
            "diff": file.diff or "",
            "old_content": file.old_content,
        }
        for file in extraction.files
    ]
    return {key: value for key, value in told.items() if value not in ("", [], None)}


def is_extraction_name(name: str) -> bool:
    """Whether a file of a folder of extractions is to be read as one."""
    return name.endswith(".json") and name not in {SUMMARY_NAME, "index.json"} and not name.startswith(".")


def matches(extraction: Extraction, sha: str) -> bool:
    """Whether an extraction is of a commit; abbreviated hashes match by their beginning."""
    return sha.startswith(extraction.commit_hash) or extraction.commit_hash.startswith(sha)


def api_names(changed: Iterable[str]) -> tuple[str, ...]:
    """Touched functions as a computed extraction's `affected_apis`: importable names alone."""
    return tuple(name for name in changed if "::" not in name and "<locals>" not in name)
