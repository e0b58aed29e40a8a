"""One small file per rule: pure functions from progress and an outcome to progress. They know neither manifests nor each other's files
beyond what they import; none of them creates anything."""
