"""What the measuring parent shares over a run: the plan, its folders and CPUs, the deadline, every random draw, and what was found so far.

Nothing that a worker says is read here, and what to measure is not decided here.
"""

import os
import random
import tempfile
import time
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence

from . import choices, conduct, private
from .card import Card
from .logs import Logs
from .parent import Worker
from .said import Said


@dataclass
class Revision:
    """One prepared revision: where it lies and what starts it."""

    name: str
    sha: str
    env_dir: str
    python: str
    tree: str


@dataclass
class Session:
    """What a run shares: the plan, its folders, the deadline, and what has been found so far."""

    plan: Dict[str, Any]
    test: bytes
    root: str
    harness: Sequence[str]
    deadline: float
    cpus: List[int]
    flags: List[str] = field(default_factory=list)
    checks: Dict[str, Dict[str, Any]] = field(default_factory=dict)
    logs: Logs = field(default_factory=Logs)
    code_caches: Dict[str, str] = field(default_factory=dict)
    modules: Dict[str, int] = field(default_factory=dict)
    data_bytes: Optional[int] = None
    card: Optional[Card] = None
    said: Said = field(default_factory=Said)

    def __post_init__(self) -> None:
        self.revisions = {
            one["name"]: Revision(one["name"], one["sha"], one["env_dir"], one["python"], one["tree"])
            for one in self.plan["revisions"]
        }
        self.names = list(self.revisions)
        self.results = os.path.join(self.root, "results")
        os.mkdir(self.results, 0o700)
        self.trash = private.Trash(self.root)
        self.hidden = conduct.Hidden()

    @property
    def other(self) -> str:
        """The revision beside base."""
        return str(self.names[1])

    def draw(self, *names: Any) -> random.Random:
        """A random source of its own for a named purpose: the plan's seed makes it repeatable."""
        return random.Random("{}:{}".format(self.plan.get("seed", 0), ":".join(str(name) for name in names)))

    def flag(self, name: str) -> None:
        """Raise a flag, once."""
        if name not in self.flags:
            self.flags.append(name)

    def check(self, name: str, ok: Optional[bool], words: str, **more: Any) -> None:  # noqa: FBT001 - a check reads as name, verdict, words
        """Record what a check saw; `ok` None where it could not say."""
        self.checks[name] = {"ok": ok, "words": words[:4000], **more}

    def left(self) -> float:
        """Seconds until the wall limit."""
        return self.deadline - time.monotonic()

    def place(self, round_index: int, *, single: bool) -> List[int]:
        """The CPUs of a round's workers; the parent moves out of their way."""
        os.sched_setaffinity(0, choices.parent_cpus(self.cpus, round_index, single=single))
        return choices.worker_cpus(self.cpus, round_index, single=single)

    @property
    def threads(self) -> int:
        """How many threads numeric libraries are told to use: as many as a worker has CPUs where it has all that it may have."""
        return len(choices.worker_cpus(self.cpus, 0, single=False))

    def folders(self, name: str) -> Dict[str, str]:
        """Private folders of one process of a revision, with the revision's compiled kernels in them."""
        made = private.folders(self.root, self.revisions[name].tree, self.test)
        if name in self.code_caches:
            private.copy_code_caches(self.code_caches[name], made["cache"])
        return made

    def environment(self, name: str, folders: Dict[str, str], *, hashseed: int, pad: int) -> Dict[str, str]:
        """The environment variables of one process of a revision."""
        return private.environment(
            folders, python=self.revisions[name].python, hashseed=hashseed, pad=pad, threads=self.threads
        )

    def worker(self, name: str, *, hashseed: int = 0, pad: int = 0, cpus: Optional[List[int]] = None) -> Worker:
        """Start a fresh process of a revision; it has imported nothing yet."""
        wanted = cpus or choices.worker_cpus(self.cpus, 0, single=False)
        return Worker(self, self.revisions[name], hashseed=hashseed, pad=pad, cpus=wanted)

    def result_path(self, label: str) -> str:
        """A new path for a stored result that no worker knows beforehand."""
        return os.path.join(tempfile.mkdtemp(prefix="r", dir=self.results), label)
