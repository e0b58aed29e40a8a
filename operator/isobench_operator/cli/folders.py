"""Where things are on this machine."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path


def cache_folder() -> Path:
    """The user's cache of environments, mirrors and pip's files: ISOBENCH_CACHE, else the platform's place."""
    named = os.environ.get("ISOBENCH_CACHE")
    return Path(named).expanduser().resolve() if named else user_cache_path("isobench")
