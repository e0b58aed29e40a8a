"""Where the release's prompts are, and how one is read: front matter in YAML between `---` lines, then Markdown.

Prompts are data, one file each, so that a user replaces one without touching code; this module knows files, not their meaning.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from .contract import Reason, StageError

_FRONT = re.compile(r"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_PLACE = re.compile(r"\{\{ *(\w+) *\}\}")


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """A prompt template.

    Attributes:
        id, version: from the front matter; the file's name and "1" where it says nothing.
        contract: what the answer has to meet; `six` is the one there is.
        digest: `sha256:` of the file's bytes.
    """

    id: str
    version: str
    contract: str
    body: str
    digest: str

    def places(self) -> set[str]:
        """The names between double braces."""
        return set(_PLACE.findall(self.body))

    def fill(self, values: dict[str, str]) -> str:
        """The text with `{{name}}` replaced; what is filled in is not searched again, and unknown names stay as they are."""
        return _PLACE.sub(lambda match: values.get(match[1], match[0]), self.body)


def folder() -> Path:
    """The folder of the release's prompts: inside of an installed package, else at the root of the repository.

    Raises:
        StageError: InternalError, where neither is there.
    """
    here = Path(__file__).resolve().parent
    for candidate in (here / "prompts", here.parents[1] / "prompts"):
        if (candidate / "generate.md").is_file():
            return candidate
    raise StageError(Reason.INTERNAL_ERROR, f"this installation has no prompts beside {here}; install it again")


def read_prompt(path: Path) -> Prompt:
    """Read a prompt file.

    Raises:
        StageError: MissingInput (no such file) or InputInvalid (no text, or a front matter that cannot be understood).
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8")
    except OSError as error:
        raise StageError(Reason.MISSING_INPUT, f"the prompt {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StageError(Reason.INPUT_INVALID, f"the prompt {path} is no UTF-8 text: {error.reason}") from error
    front = _FRONT.match(text)
    try:
        fields = yaml.safe_load(front[1]) if front else {}
    except yaml.YAMLError as error:
        raise StageError(Reason.INPUT_INVALID, f"the front matter of {path} is no YAML: {error}") from error
    fields = {} if fields is None else fields
    if not isinstance(fields, dict):
        raise StageError(Reason.INPUT_INVALID, f"the front matter of {path} is no mapping; write `contract: six`")
    contract = str(fields.get("contract", "six"))
    if contract != "six":
        message = (
            f"the front matter of {path} has contract: {contract}; `six` is the contract that tests are checked against"
        )
        raise StageError(Reason.INPUT_INVALID, message)
    return Prompt(
        id=str(fields.get("id", path.stem)),
        version=str(fields.get("version", "1")),
        contract=contract,
        body=(text[front.end() :] if front else text).replace("\r\n", "\n").strip() + "\n",
        digest=f"sha256:{hashlib.sha256(content).hexdigest()}",
    )


def release_prompt(name: str) -> Prompt:
    """A prompt of the release by name: `generate`, `repair-syntax`, ….

    Raises:
        StageError: InternalError or MissingInput, where the release lacks it.
    """
    return read_prompt(folder() / f"{name}.md")
