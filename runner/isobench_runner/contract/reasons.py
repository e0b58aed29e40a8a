"""The closed list of reasons why something ended as it did, each with its meaning and remedy.

A reason is the CamelCase word in a condition, in an outcome file, in the report and in `isobench explain`. Nothing may end for a
reason that is not listed here: a new way to fail is a new row, and `docs/reference/reasons.md` is generated from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Retry(StrEnum):
    """What happens to the Job that ended for this reason."""

    NEVER = "never"
    """Trying again cannot help: the Job fails at once (exit code 42)."""
    BACKOFF = "backoff"
    """The world may be better in a moment: the Job's backoff limit counts the attempt (exit code 75)."""
    REPAIR = "repair"
    """Not tried again as it is: a generated test is repaired by the model, a given one fails (exit code 42)."""


class Reason(StrEnum):
    """Every reason, in the order of a Commit's life."""

    # Before anything runs
    SPEC_INVALID = "SpecInvalid"
    NAMESPACE_NOT_PREPARED = "NamespaceNotPrepared"
    MISSING_INPUT = "MissingInput"
    INPUT_INVALID = "InputInvalid"
    # Repository
    REPOSITORY_UNREACHABLE = "RepositoryUnreachable"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    COMMIT_NOT_FOUND = "CommitNotFound"
    NO_PARENT = "NoParent"
    EMPTY_DIFF = "EmptyDiff"
    DIFF_TOO_LARGE = "DiffTooLarge"
    SUBMODULE_UNAVAILABLE = "SubmoduleUnavailable"
    STORE_UNAVAILABLE = "StoreUnavailable"
    INDEX_UNREACHABLE = "IndexUnreachable"
    # Generation
    MODEL_UNAVAILABLE = "ModelUnavailable"
    MODEL_KEY_REJECTED = "ModelKeyRejected"
    MODEL_REFUSED = "ModelRefused"
    ANSWER_CUT = "AnswerCut"
    NO_CODE = "NoCode"
    TEST_SYNTAX = "TestSyntax"
    CONTRACT_UNMET = "ContractUnmet"
    TEST_TRIVIAL = "TestTrivial"
    PATCH_LEAKED = "PatchLeaked"
    TARGET_MOCKED = "TargetMocked"
    # Environments
    INTERPRETER_NOT_FOUND = "InterpreterNotFound"
    INHERIT_CONFLICT = "InheritConflict"
    SETUP_FAILED = "SetupFailed"
    INSTALL_FAILED = "InstallFailed"
    BUILD_TIMEOUT = "BuildTimeout"
    PACKAGE_NOT_FOUND = "PackageNotFound"
    PACKAGE_NOT_FROM_REVISION = "PackageNotFromRevision"
    BUILDS_AT_IMPORT = "BuildsAtImport"
    # Validation, on base
    TEST_FAILED = "TestFailed"
    TEST_SKIPPED = "TestSkipped"
    NOT_DETERMINISTIC = "NotDeterministic"
    VACUOUS_EQUIVALENCE = "VacuousEquivalence"
    SAMPLE_TOO_LONG = "SampleTooLong"
    LOW_SHARE = "LowShare"
    # Measuring
    BEHAVIOUR_CHANGED = "BehaviourChanged"
    NOT_EQUIVALENT = "NotEquivalent"
    INCOMPARABLE = "Incomparable"
    DEVICE_SHARED = "DeviceShared"
    DEFERRED_WORK = "DeferredWork"
    LAZY_RESULT = "LazyResult"
    PATCHED_TIMER = "PatchedTimer"
    WORKER_CRASHED = "WorkerCrashed"
    MEASURE_TIMEOUT = "MeasureTimeout"
    RESULT_INVALID = "ResultInvalid"
    # Collecting and publishing
    API_SERVER_UNAVAILABLE = "ApiServerUnavailable"
    HUB_UNAVAILABLE = "HubUnavailable"
    HUB_TOKEN_REJECTED = "HubTokenRejected"  # noqa: S105 - a word for people
    PUBLISH_REFUSED = "PublishRefused"
    # Platform
    IMAGE_UNAVAILABLE = "ImageUnavailable"
    POD_REFUSED = "PodRefused"
    POD_NOT_STARTED = "PodNotStarted"
    NODE_REFUSED = "NodeRefused"
    OUT_OF_MEMORY = "OutOfMemory"
    EVICTED = "Evicted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    CONTAINER_FAILED = "ContainerFailed"
    REPORT_MISSING = "ReportMissing"
    DISK_FULL = "DiskFull"
    INTERNAL_ERROR = "InternalError"
    # Not failures: why a revision has no Job of its own, or was left out
    SAME_AS_HEAD = "SameAsHead"
    SAME_AS_BASE = "SameAsBase"


@dataclass(frozen=True)
class Explanation:
    """What a reason means to the user.

    Attributes:
        stage: who finds it: accept, fetch, generate, prepare, validate, measure, collect, platform.
        retry: what happens to the Job.
        meaning: one or two sentences on what was seen.
        remedy: what the user can do about it.
    """

    stage: str
    retry: Retry
    meaning: str
    remedy: str


def _never(stage: str, meaning: str, remedy: str) -> Explanation:
    return Explanation(stage, Retry.NEVER, meaning, remedy)


def _backoff(stage: str, meaning: str, remedy: str) -> Explanation:
    return Explanation(stage, Retry.BACKOFF, meaning, remedy)


def _repair(meaning: str, remedy: str) -> Explanation:
    return Explanation("validate", Retry.REPAIR, meaning, remedy)


EXPLANATIONS: dict[Reason, Explanation] = {
    Reason.SPEC_INVALID: _never(
        "accept",
        "The spec names something that cannot be run as written.",
        "Correct the field that the message names and apply it again.",
    ),
    Reason.NAMESPACE_NOT_PREPARED: _never(
        "accept",
        "The Commit lives in a namespace without the service accounts and policies that its Jobs need.",
        "Add the namespace to the chart's workNamespaces, or move the Commit.",
    ),
    Reason.MISSING_INPUT: _never(
        "fetch",
        "A ConfigMap, Secret or file that the spec refers to is not there.",
        "Create it under the name in the message, then retry.",
    ),
    Reason.INPUT_INVALID: _never(
        "fetch",
        "An input could be read but not understood: an extraction that is no JSON, a script that is no Python.",
        "Open the file at the place in the message; a file cut in the middle has to be written again.",
    ),
    Reason.REPOSITORY_UNREACHABLE: _backoff(
        "fetch",
        "The repository did not answer.",
        "Check the URL and the network policy for git; the Job tries again by itself.",
    ),
    Reason.AUTHENTICATION_FAILED: _never(
        "fetch",
        "The repository asks for credentials, or refused those given.",
        "Set repository.credentialsSecretRef, or fix the Secret that it names.",
    ),
    Reason.COMMIT_NOT_FOUND: _never(
        "fetch",
        "The repository has no such commit, not even when asked for it by name.",
        "Check the sha and the repository; a commit that was force-pushed away may be gone for good.",
    ),
    Reason.NO_PARENT: _never(
        "fetch", "head is a root commit, so there is nothing before it to compare with.", "Name base in the spec."
    ),
    Reason.EMPTY_DIFF: _never(
        "fetch", "base and head hold the same files.", "Check base and head: there is no change to measure."
    ),
    Reason.DIFF_TOO_LARGE: _never(
        "fetch",
        "The change between base and head is larger than a record can hold.",
        "Name a base closer to head; vendored or generated files are the usual cause.",
    ),
    Reason.SUBMODULE_UNAVAILABLE: _never(
        "fetch",
        "A submodule of the revision could not be fetched.",
        "Check that its URL in .gitmodules still answers, and the credentials for it.",
    ),
    Reason.STORE_UNAVAILABLE: _backoff(
        "fetch",
        "The artifact store did not answer or does not hold what status names.",
        "Check artifacts.url and its credentials; what was deleted is made again by a retry.",
    ),
    Reason.INDEX_UNREACHABLE: _backoff(
        "fetch",
        "The package index did not answer, or did not give the wheel of pip that every environment is seeded with.",
        "Check the index that pip is configured for; without one, put the wheel into a folder named by PIP_FIND_LINKS.",
    ),
    Reason.MODEL_UNAVAILABLE: _backoff(
        "generate",
        "None of the models answered within its attempts.",
        "The message has the last answer of each; add a fallback under generate.models or wait.",
    ),
    Reason.MODEL_KEY_REJECTED: _never(
        "generate", "Every model refused its key.", "Fix the Secret or variable named in the message."
    ),
    Reason.MODEL_REFUSED: _never(
        "generate",
        "The model declined to answer.",
        "Try another model or another prompt; the answer is kept with the attempts.",
    ),
    Reason.ANSWER_CUT: _never(
        "generate",
        "Every answer ran into the limit of tokens.",
        "Raise generate.maxTokens, or lower the reasoning effort.",
    ),
    Reason.NO_CODE: _never(
        "generate",
        "No answer held Python code.",
        "Read the answers among the attempts; a prompt of your own may ask for something else.",
    ),
    Reason.TEST_SYNTAX: _never(
        "generate", "The code of every answer, repairs included, fails to compile.", "Try a stronger model."
    ),
    Reason.CONTRACT_UNMET: _never(
        "generate",
        "The test lacks one of the functions of the contract, or has one with a wrong signature.",
        "The message names it; `isobench explain contract` shows the six functions.",
    ),
    Reason.TEST_TRIVIAL: _never(
        "generate",
        "The test does nothing that could be timed, or returns a constant.",
        "Try a stronger model, or give the test as a script.",
    ),
    Reason.PATCH_LEAKED: _never(
        "generate",
        "The test holds lines of the change that it is to judge.",
        "Generate again: such a test would measure its own copy of the code.",
    ),
    Reason.TARGET_MOCKED: _never(
        "generate",
        "The test replaces the code under test by a mock.",
        "Generate again, or give a test that calls the package.",
    ),
    Reason.INTERPRETER_NOT_FOUND: _never(
        "prepare",
        "No interpreter of the version that environment.python asks for was found.",
        "Install it (the message lists those found), or choose another version.",
    ),
    Reason.INHERIT_CONFLICT: _never(
        "prepare",
        "The interpreter whose packages are inherited holds the package under test itself, and could be measured in its place.",
        "Uninstall it there, or use inherit: none.",
    ),
    Reason.SETUP_FAILED: _never(
        "prepare", "A line of environment.setup ended with an error.", "The message has its last lines."
    ),
    Reason.INSTALL_FAILED: _never(
        "prepare",
        "A line of environment.install, or environment.testRequirements, ended with an error.",
        "The message has its last lines; often a build needs a package or compiler more.",
    ),
    Reason.BUILD_TIMEOUT: _never(
        "prepare",
        "Building the revision took longer than environment.timeoutSeconds.",
        "Raise it, or install a wheel built for the commit.",
    ),
    Reason.PACKAGE_NOT_FOUND: _never(
        "prepare",
        "environment.package cannot be found after the install lines ran.",
        "Check the name, the install lines and environment.path.",
    ),
    Reason.PACKAGE_NOT_FROM_REVISION: _never(
        "prepare",
        "environment.package would be imported from somewhere else than the revision.",
        "The message has the file; install the tree itself, and nothing that brings the package along.",
    ),
    Reason.BUILDS_AT_IMPORT: _never(
        "prepare",
        "The package is a meson-python editable install, which compiles when imported.",
        "Install it plainly: pip install . instead of pip install -e .",
    ),
    Reason.TEST_FAILED: _repair(
        "The test raised on base.",
        "The message has the traceback; a package that is missing belongs in environment.testRequirements.",
    ),
    Reason.TEST_SKIPPED: _repair(
        "The test skipped itself or left without doing anything.", "Give it what it asks for: a package, a GPU, a file."
    ),
    Reason.NOT_DETERMINISTIC: _repair(
        "Two runs of the same test on base gave results that its own check calls different.",
        "Seed what is random, and sort what has no order.",
    ),
    Reason.VACUOUS_EQUIVALENCE: _repair(
        "check_equivalence accepts a result that was changed on purpose.", "Compare values, not only types and lengths."
    ),
    Reason.SAMPLE_TOO_LONG: _repair(
        "One call of experiment takes so long that the budget holds too few of them.",
        "Make the workload smaller, or raise measurement.budgetSeconds.",
    ),
    Reason.LOW_SHARE: _repair(
        "Little of the test's time is spent in the functions that the commit changed.",
        "Call the changed functions more, and prepare their input in setup.",
    ),
    Reason.BEHAVIOUR_CHANGED: _never(
        "measure",
        "The test runs on base and raises on head: the commit changed what the code does.",
        "A finding rather than a fault: there is no speedup of something that no longer works.",
    ),
    Reason.NOT_EQUIVALENT: _never(
        "measure",
        "head's results differ from base's by the test's own check.",
        "Read the check's message; the commit may have changed results on purpose.",
    ),
    Reason.INCOMPARABLE: _never(
        "measure",
        "The two sides did not run under the same conditions, or equal sides came out the minimum effect apart, or more.",
        "The message says which condition; a quieter node usually helps, then retry.",
    ),
    Reason.DEVICE_SHARED: _never(
        "measure",
        "The GPU is shared with others: by MPS, by time slicing, or by a process that was using it already.",
        "Measure on a whole device or a MIG instance that one pod at a time is given.",
    ),
    Reason.DEFERRED_WORK: _never(
        "measure",
        "Work went on in threads or children after experiment had returned.",
        "Wait for all of it inside experiment.",
    ),
    Reason.LAZY_RESULT: _never(
        "measure",
        "experiment returned something that does its work only when it is looked at.",
        "Materialise the result inside experiment.",
    ),
    Reason.PATCHED_TIMER: _never(
        "measure",
        "A clock or timer was replaced while the test ran.",
        "Remove the patch: times are read outside of the test's process anyway.",
    ),
    Reason.WORKER_CRASHED: _never(
        "measure", "The process that ran the test died.", "The message has the signal and the last lines."
    ),
    Reason.MEASURE_TIMEOUT: _never(
        "measure", "Measuring did not end within measurement.timeoutSeconds.", "Raise it, or make the test shorter."
    ),
    Reason.RESULT_INVALID: _backoff(
        "measure",
        "What the untrusted container left behind does not pass validation.",
        "The message names the field; if it repeats, read `isobench logs NAME STAGE`.",
    ),
    Reason.API_SERVER_UNAVAILABLE: _backoff(
        "collect",
        "The collector could not list the Commits of its namespace.",
        "The message has the API server's answer; a 403 means that the chart's Role of isobench-collect is missing there.",
    ),
    Reason.HUB_UNAVAILABLE: _backoff(
        "collect",
        "The Hugging Face Hub did not answer, or asked for less haste. The records are collected; they are not published.",
        "Wait, or check proxies and the network policy of collecting pods, then retry; what was uploaded is not sent again.",
    ),
    Reason.HUB_TOKEN_REJECTED: _never(
        "collect",
        "The Hub does not let the token of publish.secretKeyRef write to the repository.",
        "Use a token with the right to write to that owner's datasets, then retry.",
    ),
    Reason.PUBLISH_REFUSED: _never(
        "collect",
        "The repository holds something that these records cannot be merged with, or the Hub does not take it.",
        "The message says what is there; publish to another repository, or move what is in the way.",
    ),
    Reason.IMAGE_UNAVAILABLE: _never(
        "platform",
        "An image could not be pulled, and went on so for longer than is waited.",
        "Check the image's name, its registry and pod.imagePullSecrets, then retry.",
    ),
    Reason.POD_REFUSED: _never(
        "platform",
        "The cluster refuses to make the Job or its pod: an admission policy, Pod Security, a limit range or a missing service account.",
        "The message has its words; change what is asked for, or have the policy or the chart's objects corrected, then retry.",
    ),
    Reason.POD_NOT_STARTED: _never(
        "platform",
        "A pod was placed but its containers could not be started, and went on so for longer than is waited.",
        "The message has the node's words: a volume, a runtime class or a device that it does not have. Then retry.",
    ),
    Reason.NODE_REFUSED: _backoff(
        "platform",
        "A node refused the pod that was placed on it, or lost it.",
        "The Job is tried again by itself; if it repeats, the node's device plugin or its GPU is the usual cause.",
    ),
    Reason.OUT_OF_MEMORY: _never(
        "platform",
        "A container went over its memory limit and was killed.",
        "Raise the memory in pod.resources or environment.resources, or make the workload smaller.",
    ),
    Reason.EVICTED: _backoff(
        "platform", "The node took the pod away.", "The Job is tried again by itself and the attempt does not count."
    ),
    Reason.DEADLINE_EXCEEDED: _never("platform", "The pod ran into its deadline.", "Raise the timeout of the stage."),
    Reason.CONTAINER_FAILED: _backoff(
        "platform",
        "A container ended in a way that left no outcome.",
        "The message has its exit code; `isobench logs NAME STAGE` has more.",
    ),
    Reason.REPORT_MISSING: _backoff(
        "platform",
        "The reporting container left no message that can be believed.",
        "Look at `isobench logs NAME STAGE`.",
    ),
    Reason.DISK_FULL: _backoff(
        "platform", "There was no space left to write to.", "Free space, or raise the size of the volume, then retry."
    ),
    Reason.INTERNAL_ERROR: _backoff(
        "platform", "isobench itself failed.", "This is a bug: please report it with the last lines in the message."
    ),
    Reason.SAME_AS_HEAD: _never(
        "measure", "main is the same commit as head.", "Nothing to do: head's result is main's."
    ),
    Reason.SAME_AS_BASE: _never(
        "measure", "main is the same commit as base.", "Nothing to do: main was not measured again."
    ),
}
