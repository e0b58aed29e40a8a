"""`decide`: what was observed of one custom resource goes in, what to do about it comes out. Pure, and the same on every runtime.

`now` comes in; nothing is remembered between two passes. Carrying a Plan out twice does no harm: children have deterministic names,
and the status that it ends with is a function of what was observed.
"""

from __future__ import annotations

from datetime import datetime

from isobench_operator.errors import SpecError

from .commits import decide_commit
from .datasets import decide_dataset
from .policies import expiry
from .settings import Settings
from .steps import Deletion, Notice, Observed, Plan, Suspension

__all__ = ["Deletion", "Notice", "Observed", "Plan", "Suspension", "decide"]


def decide(observed: Observed, now: datetime, settings: Settings) -> Plan:
    """The next step of a Commit or a Dataset.

    Args:
        observed: as read in this pass.
        now: an aware time.
        settings: the same in every pass, across restarts too.

    Raises:
        SpecError: the kind is not one of ours.
    """
    if observed.owner["metadata"].get("deletionTimestamp"):
        return Plan()
    match observed.owner.get("kind"):
        case "Commit":
            plan = decide_commit(observed, now, settings)
            # On a laptop the output folder is its user's to clear.
            return plan if settings.pods.runtime == "embedded" else expiry.after(plan, observed, now)
        case "Dataset":
            return decide_dataset(observed, now, settings)
        case other:
            raise SpecError(f"kind {other!r} is not decided here; Commit and Dataset are")
