"""Numbers from raw samples: what an untrusted worker left is validated here, and every statistic is computed anew.

Pure functions; no files, no clock. The interval itself lives in `harness.ranks`, because the measuring parent stops by it.
"""
