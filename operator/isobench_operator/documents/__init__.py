"""Manifests on disk: read through the same models as the API server's objects, every error found at once with its place.

It alone turns what only a disk can say (`file:`, `folder:`, `env:`, a relative repository path) into what an API server would hold.
Nothing is started here, and no value of a Secret reaches a message, a repr or a file.
"""

from __future__ import annotations

from .bundling import BundleError, bundle
from .errors import DocumentError, DocumentErrors
from .loading import load
from .resources import Bundle, Location
from .templates import new_commit

__all__ = ["Bundle", "BundleError", "DocumentError", "DocumentErrors", "Location", "bundle", "load", "new_commit"]
