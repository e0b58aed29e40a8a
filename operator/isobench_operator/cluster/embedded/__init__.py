"""The embedded runtime: the cluster's Job manifests as processes of this machine. `runtime.EmbeddedCluster` is its face; no decision
about Commits or Datasets may enter.
"""

from .runtime import EmbeddedCluster

__all__ = ["EmbeddedCluster"]
