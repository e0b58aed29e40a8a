"""What the operator asks of a Job: one request per kind, carried as the environment variable ISOBENCH_REQUEST of trusted containers.

Requests are small (scripts, patches and extractions go by digest or as mounted files), versioned, and the same on a cluster and on a
laptop. A digest is always `sha256:<64 hex>` and names something in the artifact store.
"""

from __future__ import annotations

import json
import types
import typing
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

REQUEST_VERSION = 1
REQUEST_VARIABLE = "ISOBENCH_REQUEST"
Role = Literal["base", "head", "main"]


class RequestError(ValueError):
    """A request that this version cannot read."""


def _read(kind: Any, value: Any, where: str) -> Any:
    """Build a value of the annotated type `kind` from JSON, strictly: an unknown or missing field is an error."""
    origin = get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in get_args(kind):
            return None
        return _read(next(arg for arg in get_args(kind) if arg is not type(None)), value, where)
    if origin is tuple:
        if not isinstance(value, list):
            msg = f"{where}: a list is wanted, not {value!r}"
            raise RequestError(msg)
        return tuple(_read(get_args(kind)[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if is_dataclass(kind) and isinstance(kind, type):
        if not isinstance(value, dict):
            msg = f"{where}: an object is wanted, not {value!r}"
            raise RequestError(msg)
        hints = get_type_hints(kind)
        unknown = sorted(set(value) - {f.name for f in fields(kind)})
        if unknown:
            msg = f"{where}: unknown field {unknown[0]}; is the image of another release?"
            raise RequestError(msg)
        try:
            return kind(**{name: _read(hints[name], item, f"{where}.{name}") for name, item in value.items()})
        except TypeError as error:
            msg = f"{where}: {error}"
            raise RequestError(msg) from error
    return value


@dataclass(frozen=True, kw_only=True)
class Model:
    """One language model to ask, in the order of fallback.

    Attributes:
        provider: `openai` (any server of that protocol) or `anthropic`.
        key_file: where the key is mounted; None for a server that wants none.
        key_origin: what is mounted there, in words, for whoever has to create it.
        temperature: as written in the spec ("0.2"), or None for the server's default.
        max_tokens: the most tokens of one answer.
    """

    provider: Literal["openai", "anthropic"]
    model: str
    base_url: str | None = None
    key_file: str | None = None
    key_origin: str | None = None
    temperature: str | None = None
    max_tokens: int = 10000
    reasoning_effort: str | None = None


@dataclass(frozen=True, kw_only=True)
class Environment:
    """How a revision becomes an environment: `spec.environment` with its defaults filled in."""

    image: str | None = None
    inherit: Literal["image", "interpreter", "none"] = "none"
    python: str | None = None
    setup: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    test_requirements: tuple[str, ...] = ()
    packages_as_of: str = "head"
    path: tuple[str, ...] = ()
    package: str | None = None
    timeout_seconds: int = 7200


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What the model is shown of a test that fell on base: by digest, never a measured effect."""

    test: str
    evidence: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One prepared revision that a measuring Job carries.

    Attributes:
        name: base, base2 (the A/A slot), head or main.
        environment: digest of the prepared environment.
        key: where it lies, below ISOBENCH_ENVS.
    """

    name: str
    sha: str
    environment: str
    key: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """What every request has.

    Attributes:
        commit: the custom resource's name, for people.
        nonce: proves that a message belongs to this Job.
        attempt: 1 for the first Job of its role.
        repository_url: what git clones: a URL or an absolute path.
        repository: the name used in the record and in every key, `owner/name`.
    """

    commit: str
    nonce: str
    attempt: int = 1
    repository_url: str
    repository: str

    def to_json(self) -> str:
        """The text of ISOBENCH_REQUEST."""
        body = {"v": REQUEST_VERSION, "kind": _KIND_OF[type(self)], **vars(self)}
        return json.dumps(body, sort_keys=True, ensure_ascii=False, default=vars)

    @classmethod
    def from_dict(cls, body: dict[str, Any]) -> Self:
        """Read a request, strictly.

        Raises:
            RequestError: a field is missing or unknown.
        """
        request: Self = _read(cls, body, cls.__name__)
        return request


@dataclass(frozen=True, kw_only=True)
class PrepareRequest(Request):
    """Build one revision's environment; head's prepare also collects the inputs of everything after it.

    Attributes:
        role: the revision; base is resolved from head's first parent where `base` is None, main from `main` (a ref, a sha, or
            None for the default branch) by its own prepare alone.
        script: path of the mounted test script, on head's prepare.
        extraction: path of the mounted extraction JSON, on head's prepare.
        credentials: folder of the mounted git Secret.
    """

    role: Role
    head: str
    base: str | None = None
    main: str | None = None
    environment: Environment = field(default_factory=Environment)
    script: str | None = None
    extraction: str | None = None
    credentials: str | None = None


@dataclass(frozen=True, kw_only=True)
class GenerateRequest(Request):
    """Ask the models for a test.

    Attributes:
        prompt: path of a mounted prompt; None for the release's default.
        seeds: folder of pre-generated scripts that win over any request.
        regenerate, repair: how many further answers may be asked for, over the Commit's whole life.
        reuse: whether an accepted script of the same (repository, head, prompt, model) may be used again.
        fallen: the test that fell on base, when this is an execution repair.
        packages: digest of the list of distributions that prepare found installed, if it is known by now.
    """

    head: str
    base: str | None = None
    package: str | None = None
    models: tuple[Model, ...]
    prompt: str | None = None
    extraction: str | None = None
    seeds: str | None = None
    regenerate: int = 2
    repair: int = 2
    reuse: bool = True
    fallen: Repair | None = None
    packages: str | None = None
    credentials: str | None = None
    budget_seconds: int = 300


@dataclass(frozen=True, kw_only=True)
class MeasureRequest(Request):
    """Validate (base alone) and time one revision beside base.

    Attributes:
        role: base measures base against itself (A/A) after validating the test; head and main measure base against themselves.
        revisions: base first, then the other.
        test: digest of the script.
        origin: `given` tests are flagged where generated ones are refused.
        inputs: digest of what head's prepare collected.
        precision_percent: the half-width of the interval that is measured for; None: that of any verdict.
        ask_better: a generated test with a low share ends the base Job once, before base/base.
        floor_percent: what base came out apart from itself, on head and main.
        floor_node: the node that it was measured on.
        seed: of the plan: orders, hash seeds, paddings.
    """

    role: Role
    revisions: tuple[Revision, ...]
    test: str
    origin: Literal["given", "generated"]
    inputs: str
    package: str | None = None
    path: tuple[str, ...] = ()
    budget_seconds: int = 300
    minimum_effect_percent: str = "2"
    precision_percent: str | None = None
    timeout_seconds: int = 3600
    ask_better: bool = False
    floor_percent: str | None = None
    floor_node: str | None = None
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file of a Dataset that the store holds."""

    name: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class Publish:
    """Where the records are pushed.

    Attributes:
        repository: as the spec has it: `owner/name`, a URL, or an owner alone.
        token_file: where the Hub token is mounted.
        keep: which of two rows of one commit stays.
        dry_run: say what would be done.
    """

    repository: str
    token_file: str
    private: bool = True
    keep: Literal["latest", "published"] = "latest"
    dry_run: bool = False


@dataclass(frozen=True, kw_only=True)
class CollectRequest(Request):
    """Assemble a Dataset from finished Commits.

    Attributes:
        dataset: its name, used for the files.
        views: canonical, swe-perf, gso: further files beside the full record's.
        match_labels: (label, value) pairs that a Commit must carry to be collected; none takes every Commit.
        files: that the last collection left in the store; None where the Dataset's folder itself outlives the Job.
        folder: where beside the artifacts a readable copy of the files goes; None for nowhere.
        finished, through: how many Commits had ended when this was asked, and when the last of them did; reported as they are.
    """

    dataset: str
    formats: tuple[str, ...] = ("jsonl", "parquet")
    views: tuple[str, ...] = ()
    match_labels: tuple[tuple[str, str], ...] = ()
    files: tuple[StoredFile, ...] | None = None
    folder: str | None = None
    finished: int = 0
    through: str | None = None
    publish: Publish | None = None


_KINDS: dict[str, type[Request]] = {
    "prepare": PrepareRequest,
    "generate": GenerateRequest,
    "measure": MeasureRequest,
    "collect": CollectRequest,
}
_KIND_OF = {kind: name for name, kind in _KINDS.items()}


def parse_request(text: str) -> Request:
    """Read ISOBENCH_REQUEST.

    Raises:
        RequestError: not JSON, of another version, of an unknown kind, or with fields that this version does not know.
    """
    try:
        body = json.loads(text)
    except ValueError as error:
        msg = f"{REQUEST_VARIABLE} is not JSON: {error}"
        raise RequestError(msg) from error
    if not isinstance(body, dict) or body.pop("v", None) != REQUEST_VERSION:
        msg = f"{REQUEST_VARIABLE} is not of version {REQUEST_VERSION}; operator and runner have to be of the same release"
        raise RequestError(msg)
    kind = _KINDS.get(str(body.pop("kind", None)))
    if kind is None:
        msg = f"{REQUEST_VARIABLE} is of an unknown kind; the known ones are {', '.join(_KINDS)}"
        raise RequestError(msg)
    return kind.from_dict(body)
