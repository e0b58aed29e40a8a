"""What operator and runner say to each other, and nothing else: requests, reports, messages, reasons and the keys both compute.

The only part of the runner that the operator may import. Standard library alone: no IO, no clock, no stage's logic may enter.
"""

from .keys import environment_key, repository_name
from .message import (
    EXIT_AGAIN,
    EXIT_NEVER,
    EXIT_OK,
    MAX_MESSAGE_BYTES,
    MessageError,
    cut_bytes,
    decode,
    encode,
    exit_code,
)
from .reasons import EXPLANATIONS, Explanation, Reason, Retry
from .report import Report, StageError
from .requests import (
    REQUEST_VARIABLE,
    CollectRequest,
    Environment,
    GenerateRequest,
    MeasureRequest,
    Model,
    PrepareRequest,
    Publish,
    Repair,
    Request,
    RequestError,
    Revision,
    Role,
    StoredFile,
    parse_request,
)

__all__ = [
    "EXIT_AGAIN", "EXIT_NEVER", "EXIT_OK", "EXPLANATIONS", "MAX_MESSAGE_BYTES", "REQUEST_VARIABLE", "CollectRequest",
    "Environment", "Explanation", "GenerateRequest", "MeasureRequest", "MessageError", "Model", "PrepareRequest", "Publish", "Reason",
    "Repair", "Report", "Request", "RequestError", "Retry", "Revision", "Role", "StageError", "StoredFile", "cut_bytes", "decode", "encode",
    "environment_key", "exit_code", "parse_request", "repository_name",
]  # fmt: skip
