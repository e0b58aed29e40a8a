"""`unpack`: one environment out of its archive, to the place where it was built; it runs as untrusted code, for the archive is.

What goes wrong is left beside the environment, where `measure` finds it and tells it.
"""

import os

from . import build_tree, wire
from .build_errors import BuildError


def main(in_dir: str, env_dir: str) -> None:
    """Unpack `<key>.tar` of `in_dir`, the key being the name of `env_dir`."""
    archive = os.path.join(in_dir, os.path.basename(env_dir) + ".tar")
    try:
        build_tree.extract(archive, env_dir)
        print("unpacked {}".format(os.path.basename(env_dir)), flush=True)
    except BuildError as error:
        wire.write_outcome(env_dir, "unpack", error.reason, str(error))
    except Exception as error:
        full = isinstance(error, OSError) and error.errno == 28
        words = "{} cannot be unpacked: {}".format(os.path.basename(archive), error)
        wire.write_outcome(env_dir, "unpack", "DiskFull" if full else "StoreUnavailable", words)
