"""The manifest that `isobench new commit` writes: commented, and one that `load` takes once its blanks are filled."""

from __future__ import annotations

import json
import re

from .references import slug

_SCRIPT = """\
    script: {{file: {script}}}
    # Or have a model write it:
    # generate:
    #   models: @@ in the order of fallback
    #     - {{provider: anthropic, model: MODEL, env: ANTHROPIC_API_KEY}}
"""
_GENERATE = """\
    generate:
      models: @@ in the order of fallback
        - {{provider: {provider}, model: {model}, env: {variable}}}
    # Or bring your own:
    # script: {{file: {script}}}
"""
_TEMPLATE = """\
apiVersion: isobench.dev/v1alpha1
kind: Commit
metadata:
  name: {name}
spec:
  repository:
    url: {url} @@ a URL, or a path relative to this file
  head: {head} @@ the commit that is to be faster: all 40 digits, from `git rev-parse`
  # base: SHA @@ what it is compared with; default: head's first parent
  # main: BRANCH @@ measured too; default: the repository's default branch
  test: @@ exactly one of script and generate
{test}
  environment:
    install: {install} @@ shell lines, run in the tree of each revision
    # python: "3.11" @@ a version or a path; default: the one that isobench runs on
    # testRequirements: [numpy] @@ what the test itself needs
{package}
  measurement:
    budgetSeconds: 300 @@ measuring time of one Job
    minimumEffectPercent: "2" @@ less than this is `negligible`
    # precisionPercent: "1" @@ measure on until the interval reaches no further to either side; default: until there is a verdict
"""


def new_commit(
    *,
    url: str | None = None,
    head: str | None = None,
    name: str | None = None,
    package: str | None = None,
    script: str = "test_case_generator.py",
    provider: str | None = None,
    model: str | None = None,
    variable: str | None = None,
) -> str:
    """A commented Commit to start from; what is not given stands there in capitals and has to be filled in.

    Args:
        url: of the repository, or a path.
        head: the full sha.
        name: default: made of the repository and the sha.
        package: what has to be imported from the revision.
        script: path of the test.
        provider, model, variable: with a model, the test is generated; `variable` holds its key.
    """
    folder = re.split(r"[/:]", (url or "").removesuffix("/").removesuffix(".git"))[-1]
    given = slug(f"{folder or 'commit'}-{(head or 'head')[:8]}")
    chosen = provider or "anthropic"
    test = (_GENERATE if model else _SCRIPT).format(
        script=_scalar(script),
        provider=chosen,
        model=_scalar(model or ""),
        variable=variable or f"{chosen.upper()}_API_KEY",
    )
    named = f"    package: {_scalar(package or 'PACKAGE')}"
    words = "what must be imported from the revision, and is proved to be"
    text = _TEMPLATE.format(
        name=name or given,
        url=_scalar(url or "REPOSITORY"),
        head=_scalar(head or "SHA"),
        test=test.rstrip("\n"),
        install='["pip install ."]',
        package=f"{named if package else f'    # {named.strip()}'} @@ {words}",
    )
    return "\n".join(_aligned(line) for line in text.split("\n"))


def _aligned(line: str) -> str:
    code, mark, comment = line.partition(" @@ ")
    return f"{code:<38} # {comment}" if mark else line


def _scalar(text: str) -> str:
    """A text as YAML takes it in any place: bare where it cannot be read as anything else, else quoted."""
    bare = re.fullmatch(r"[A-Za-z./~][A-Za-z0-9._/~+-]*", text) and text.lower() not in (
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "null",
    )
    return text if bare and text != "~" else json.dumps(text, ensure_ascii=True)
