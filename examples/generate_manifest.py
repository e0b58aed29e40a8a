"""Rewrites the demo's manifests so that a language model writes the tests: python examples/generate_manifest.py IN OUT.

Takes the endpoint from the environment: OPENAI_BASE_URL and OPENAI_MODEL with OPENAI_API_KEY, or ANTHROPIC_API_KEY with
ANTHROPIC_MODEL.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import yaml

DEFAULT_MODELS = {"openai": "gpt-4.1", "anthropic": "claude-sonnet-4-5"}


def model() -> dict[str, Any]:
    """The endpoint that the environment names; exits with what to set where it names none."""
    if os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_KEY"):
        chosen: dict[str, Any] = {
            "provider": "openai",
            "model": os.environ.get("OPENAI_MODEL", DEFAULT_MODELS["openai"]),
        }
        if os.environ.get("OPENAI_BASE_URL"):
            chosen["baseURL"] = os.environ["OPENAI_BASE_URL"]
        if os.environ.get("OPENAI_API_KEY"):
            chosen["env"] = "OPENAI_API_KEY"
        return chosen
    if os.environ.get("ANTHROPIC_API_KEY"):
        name = os.environ.get("ANTHROPIC_MODEL", DEFAULT_MODELS["anthropic"])
        return {"provider": "anthropic", "model": name, "env": "ANTHROPIC_API_KEY"}
    sys.exit("GENERATE=1 needs a model: set OPENAI_BASE_URL or OPENAI_API_KEY (and OPENAI_MODEL), or ANTHROPIC_API_KEY")


def main() -> None:
    """Write the second file from the first."""
    source, target = Path(sys.argv[1]), Path(sys.argv[2])
    documents = list(yaml.safe_load_all(source.read_text()))
    for document in documents:
        document["spec"]["test"] = {"generate": {"models": [model()]}}
        url = document["spec"]["repository"]["url"]
        document["spec"]["repository"]["url"] = str((source.parent / url).resolve())
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump_all(documents, sort_keys=False))


if __name__ == "__main__":
    main()
