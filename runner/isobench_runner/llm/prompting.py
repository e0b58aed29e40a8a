"""Makes the messages that a model is sent: a prompt of the release or the user's own, and the commit in a fenced block, within a budget.

Pure: templates and material in, text out. The exact text is what the attempts keep.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from isobench_runner.contract import EXPLANATIONS, Reason, StageError
from isobench_runner.prompts_folder import Prompt, release_prompt

from .answers import Message
from .cutting import cut, tokens
from .material import Material

PROMPT_TOKENS = 48_000
"""The budget of a first prompt: it leaves room for an answer and two repairs in a context of 128,000 tokens, the smallest that current
models of both makers have. A naive prompt of one commit was seen to take 330 kB, twice this."""
EVIDENCE_TOKENS = 4_000
_MAX_PACKAGES = 200
_MAX_TARGETS = 12


@dataclass(frozen=True, kw_only=True)
class Opening:
    """The first message of a conversation.

    Attributes:
        left_out: what of the commit did not fit.
    """

    text: str
    left_out: tuple[str, ...]


def fenced(text: str, language: str = "") -> str:
    """A fenced block whose fence is longer than any inside of it."""
    longest = max((len(run) for run in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def _installed(material: Material) -> str:
    if material.packages is None:
        return (
            "Not known yet: assume the standard library, the package under test, and what it requires to be installed."
        )
    listed = ", ".join(material.packages[:_MAX_PACKAGES])
    more = len(material.packages) - _MAX_PACKAGES
    return listed + (f", and {more} more" if more > 0 else "")


def targets(material: Material) -> str:
    """The changed functions as a list, most changed first; in words where none is known."""
    if not material.functions:
        return "- not determined: take it from the diff"
    rows = [f"- `{name}`" for name in material.functions[:_MAX_TARGETS]]
    more = len(material.functions) - _MAX_TARGETS
    return "\n".join(rows + ([f"- and {more} more"] if more > 0 else []))


def opening(prompt: Prompt, material: Material, *, budget_tokens: int = PROMPT_TOKENS) -> Opening:
    """The first message, within the budget by `cutting.tokens`.

    A template without `{{extraction}}` gets the commit at its end, as prompts of ISO-Bench do.

    Raises:
        StageError: InputInvalid, where the template leaves no room for the commit.
    """
    values = {
        "package": f"`{material.package}`" if material.package else "not stated; see the paths of the files",
        "target": targets(material),
        "installed": _installed(material),
    }
    text = prompt.fill(values)
    if "extraction" not in prompt.places():
        text = f"{text.rstrip()}\n\n{{{{extraction}}}}\n"
    frame = tokens(text) + tokens(fenced("", "json")) + 8
    if frame >= budget_tokens:
        words = f"the prompt {prompt.id} alone takes {frame} of {budget_tokens} tokens; shorten it"
        raise StageError(Reason.INPUT_INVALID, words)
    fitted = cut(material, budget_tokens - frame)
    block = fenced(fitted.text, "json")
    return Opening(text=re.sub(r"\{\{ *extraction *\}\}", lambda _: block, text, count=1), left_out=fitted.left_out)


def _tail(text: str, limit_tokens: int) -> str:
    """The end of some evidence, whole lines: the last lines of a traceback say what happened."""
    lines, kept, size = text.rstrip().splitlines(), list[str](), 0
    for line in reversed(lines):
        size += tokens(line[:2000] + "\n")
        if size > limit_tokens:
            kept.append("…")
            break
        kept.append(line[:2000])
    return "\n".join(reversed(kept)).replace("```", "'''")


def anew(first: str, words: str) -> list[Message]:
    """The same question again, with why the last answer was not used."""
    return [{"role": "user", "content": f"{first.rstrip()}\n\n{release_prompt('again').fill({'words': words})}"}]


def _after(first: str, source: str, repair: str) -> list[Message]:
    return [
        {"role": "user", "content": first},
        {"role": "assistant", "content": fenced(source.rstrip(), "python")},
        {"role": "user", "content": repair},
    ]


def repair_written(first: str, source: str, *, reason: Reason, words: str) -> list[Message]:
    """Ask for a correction of what does not compile or does not meet the contract."""
    prompt = release_prompt("repair-syntax" if reason is Reason.TEST_SYNTAX else "repair-contract")
    return _after(first, source, prompt.fill({"words": _tail(words, EVIDENCE_TOKENS)}))


def repair_fallen(first: str, source: str, *, reason: Reason, evidence: str, material: Material) -> list[Message]:
    """Ask for a correction of a test that fell on base, or for one with a larger share; evidence from base alone."""
    shown = _tail(evidence, EVIDENCE_TOKENS)
    if reason is Reason.LOW_SHARE:
        return _after(
            first, source, release_prompt("better-share").fill({"evidence": shown, "target": targets(material)})
        )
    explained = EXPLANATIONS[reason]
    values = {"evidence": shown, "meaning": explained.meaning, "remedy": explained.remedy}
    return _after(first, source, release_prompt("repair-execution").fill(values))
