"""What a run can come to besides numbers: a revision that falls, a reason to stop, and what a worker says of its calls. Pure."""

from dataclasses import dataclass
from typing import List, Optional, Sequence


@dataclass(frozen=True)
class Calls:
    """What a worker says of calls outside of the protocol: nanoseconds per call, modules that the first one imported.

    Attributes:
        gpu: whether the process or one below it uses a device. gpu_below: only one below it does, which nobody can wait for from here.
        cpu_ns: of the whole process. own_ns: of the thread that called. wait_ns: how long it waited for a CPU.
    """

    wall_ns: List[int]
    cpu_ns: List[int]
    new_modules: List[str]
    lazy: Optional[str]
    gpu: bool
    gpu_below: bool = False
    own_ns: Sequence[int] = ()
    wait_ns: Sequence[int] = ()


class Fall(Exception):  # noqa: N818 - a verdict on a revision, not a fault of ours
    """A revision's process did something that ends the run.

    Attributes:
        kind: raised, exit, skipped, crashed, stopped, late or foreign.
        revision: whose process it was.
        words: the evidence: a traceback, the last lines.
    """

    def __init__(self, kind: str, revision: str, words: str) -> None:
        super().__init__(words)
        self.kind, self.revision, self.words = kind, revision, words

    @property
    def reason(self) -> str:
        """The typed reason: what the test does on base is its own fault, what it does on another revision alone is the commit's."""
        fixed = {
            "crashed": "WorkerCrashed",
            "stopped": "WorkerCrashed",
            "late": "MeasureTimeout",
            "foreign": "PackageNotFromRevision",
        }
        if self.kind in fixed:
            return fixed[self.kind]
        if self.revision not in ("base", "base2"):
            return "BehaviourChanged"
        return "TestSkipped" if self.kind == "skipped" else "TestFailed"


class Stop(Exception):  # noqa: N818 - as above
    """The run ends here for a typed reason that no single process gave."""

    def __init__(self, reason: str, words: str) -> None:
        super().__init__(words)
        self.reason, self.words = reason, words
