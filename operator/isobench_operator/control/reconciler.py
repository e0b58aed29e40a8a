"""One pass over one custom resource: read, decide, act, one status write, then the events.

Effects happen in an order in which a crash between any two of them does no harm: the next pass observes what there is and decides
the same. Events come last and only after the status that they are about was written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from isobench_operator.cluster.ports import Cluster, Event, HeldBack, Json, Key, Rejected
from isobench_operator.core.plan import Observed, Plan, decide
from isobench_operator.core.policies.expiry import seconds_to_live
from isobench_operator.core.settings import Settings
from isobench_operator.core.statuses import condition_status

from .waiting import PATIENCE_SECONDS, waiting

logger = logging.getLogger(__name__)
Clock = Callable[[], datetime]
HELD_SECONDS = 15.0
"""Until what was held back is asked for again: nothing tells when a quota has room."""


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one pass did.

    Attributes:
        key: the custom resource.
        owner: as it was read, its status as it was written; None where it is gone.
        plan: as it was carried out.
        observed: what the plan was made from; None where the custom resource is gone.
        ended_at: when everything was done.
        seconds: how long it took.
    """

    key: Key
    owner: Json | None
    plan: Plan
    observed: Observed | None = None
    ended_at: datetime
    seconds: float


class Reconciler:
    """Carries decisions out."""

    def __init__(self, cluster: Cluster, settings: Settings, *, clock: Clock = utc_now) -> None:
        self._cluster = cluster
        self._settings = settings
        self._clock = clock

    async def reconcile(self, key: Key) -> Pass:
        """One pass.

        Raises:
            ClusterError: an effect failed; the whole pass is to be tried again.
        """
        started = self._clock()
        observed, again = await self._observe(key)
        if observed is None:
            return self._pass(key, started, owner=None, plan=Plan())
        plan = decide(observed, self._clock(), self._settings)
        rejected, held = await self._create(plan)
        if rejected or held:
            observed = replace(observed, rejected=rejected, held=held)
            plan = decide(observed, self._clock(), self._settings)
        for job, suspend in plan.suspend:
            await self._cluster.suspend(job, suspend=suspend)
        for namespace, name in plan.stop:
            await self._cluster.stop(namespace, name)
        for namespace, name in plan.delete:
            await self._cluster.delete("Job", namespace, name)
        owner = observed.owner
        if plan.status is not None:
            await self._cluster.apply_status(owner, plan.status)
            owner = {**owner, "status": plan.status}
        for notice in plan.events:
            await self._cluster.emit(owner, Event(notice.type, notice.reason, notice.message))
        if plan.expired:
            await self._cluster.remove(owner)
        looks = [plan.requeue_after]
        if not plan.finished:
            begun = plan.create or any(not one.suspend for one in plan.suspend)
            looks += [again, PATIENCE_SECONDS if begun else None, HELD_SECONDS if held else None]
        soonest = min((seconds for seconds in looks if seconds is not None), default=None)
        return self._pass(key, started, owner=owner, plan=replace(plan, requeue_after=soonest), observed=observed)

    def _pass(
        self, key: Key, started: datetime, *, owner: Json | None, plan: Plan, observed: Observed | None = None
    ) -> Pass:
        now = self._clock()
        seconds = (now - started).total_seconds()
        return Pass(key=key, owner=owner, plan=plan, observed=observed, ended_at=now, seconds=seconds)

    async def _observe(self, key: Key) -> tuple[Observed | None, float | None]:
        """What there is, and seconds until it should be looked at again although nothing told of a change."""
        owner = await self._cluster.get(key)
        if owner is None:
            return None, None
        children = await self._cluster.children(owner)
        commits = await self._all("Commit", key.namespace) if key.kind == "Dataset" else ()
        goes = key.kind == "Commit" and seconds_to_live(owner) is not None
        ended = condition_status(owner.get("status") or {}, "Finished") == "True"
        datasets = await self._all("Dataset", key.namespace) if goes and ended else ()
        still = waiting(children.jobs, children.pods, self._clock())
        events = await self._cluster.events_about(still.objects) if still.objects else ()
        observed = Observed(
            owner=owner,
            jobs=children.jobs,
            pods=children.pods,
            commits=commits,
            datasets=datasets,
            events=tuple(events),
        )
        return observed, still.again

    async def _all(self, kind: str, namespace: str) -> tuple[Json, ...]:
        return tuple([one async for page in self._cluster.pages(kind, namespace) for one in page])

    async def _create(self, plan: Plan) -> tuple[dict[str, str], dict[str, str]]:
        """Create what the plan asks for, all at once; returns what was refused for good and what for now, by name, with the words."""
        rejected: dict[str, str] = {}
        held: dict[str, str] = {}
        answers = await asyncio.gather(*map(self._cluster.create, plan.create), return_exceptions=True)
        for manifest, error in zip(plan.create, answers, strict=True):
            name = manifest["metadata"]["name"]
            if isinstance(error, Rejected):
                logger.warning("%s was refused: %s", name, error)
                rejected[name] = str(error)
            elif isinstance(error, HeldBack):
                logger.info("%s is held back: %s", name, error)
                held[name] = str(error)
            elif error is not None:
                raise error
        return rejected, held
