"""`isobench import`: ISO-Bench's experiments.yaml or a folder of extractions becomes Commits and a Dataset on disk.

Reads files and writes files: no repository is opened, no command is run and nothing is started. What cannot be carried over is said,
item by item; one bad item never stops the others.
"""

from .commands import Command, look_at
from .experiment import Experiment, ImportFailure
from .manifests import ImportReport, Item, import_experiments

__all__ = ["Command", "Experiment", "ImportFailure", "ImportReport", "Item", "import_experiments", "look_at"]
