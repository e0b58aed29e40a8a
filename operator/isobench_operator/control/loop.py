"""The loop: workers on the queue, and a slow sweep that finds what no event told of. Used by the command line and by the operator.

Whoever watches a cluster only calls `enqueue`, `look` and `follow`; nothing depends on how often, or on in which order.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from isobench_operator.cluster.ports import Cluster, ClusterError, Key, Outdated, key_of

from .queue import WorkQueue
from .reconciler import Pass, Reconciler
from .roster import Roster, wants_a_pass

logger = logging.getLogger(__name__)
KINDS = ("Commit", "Dataset")
SWEEP_SECONDS = 300.0
WORKERS = 32
"""A pass waits for answers nearly all of its time, the longer the busier the API server is; with few of them, news stands in line for no reason."""
LOOKS_PER_SECOND = 200.0
"""Of keys that are only looked at to be sure: news, which is due at once, never waits behind ten thousand of them."""
FOLLOW_SHARE, MOST_FOLLOW_SECONDS = 0.05, 60.0
"""A Dataset's pass reads every Commit of its namespace: it may take this share of the time, so it waits the longer the more there are."""
Observer = Callable[[Pass], None]


class Loop:
    """Reconciles every Commit and Dataset until it is told to stop.

    Args:
        cluster: effects.
        reconciler: one pass.
        queue: of keys; one of its own by default.
        workers: passes at once; never two over one key.
        sweep_seconds: between two looks at everything; the first comes at the start.
        namespaces: where to sweep; None for everywhere.
        observer: told of every pass, for instance to show progress; it must not block.
        roster: what a watch has told of; every sweep puts it right.
        failed: told of every pass that failed, with the error.
        troubled: told instead of the log when the cluster fails; the pass comes again all the same, unless the loop is stopped.
    """

    def __init__(
        self,
        cluster: Cluster,
        reconciler: Reconciler,
        *,
        queue: WorkQueue[Key] | None = None,
        workers: int = WORKERS,
        sweep_seconds: float = SWEEP_SECONDS,
        namespaces: Sequence[str] | None = None,
        observer: Observer | None = None,
        roster: Roster | None = None,
        failed: Callable[[Key, Exception], None] | None = None,
        troubled: Callable[[ClusterError], None] | None = None,
    ) -> None:
        self.queue: WorkQueue[Key] = WorkQueue() if queue is None else queue
        self._cluster = cluster
        self._reconciler = reconciler
        self._workers = workers
        self._sweep_seconds = sweep_seconds
        self._namespaces = namespaces
        self._observer = observer
        self._roster = roster
        self._failed = failed
        self._troubled = troubled
        self._next_look = 0.0
        self._seconds: dict[Key, float] = {}

    def enqueue(self, key: Key, *, delay: float = 0.0, first: bool = False) -> None:
        """Ask for a pass over a custom resource, `first` before those whose news can wait; call it from the loop's own thread."""
        self.queue.add(key, delay=delay, first=first)

    def look(self, key: Key) -> None:
        """Ask for a pass that nothing has called for: soon, but after everything that something has."""
        now = asyncio.get_running_loop().time()
        self._next_look = max(now, self._next_look + 1 / LOOKS_PER_SECOND)
        self.queue.add(key, delay=self._next_look - now)

    def follow(self, dataset: Key) -> None:
        """Ask for a pass over a Dataset because a Commit of its namespace came, went, ended or was opened again."""
        delay = min(MOST_FOLLOW_SECONDS, self._seconds.get(dataset, 0.0) / FOLLOW_SHARE)
        self.queue.add(dataset, delay=delay)

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set; passes that are under way are finished first."""
        workers = [asyncio.create_task(self._work(), name=f"worker-{number}") for number in range(self._workers)]
        sweep = asyncio.create_task(self._sweep_forever(), name="sweep")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            ended, _ = await asyncio.wait([stopped, sweep, *workers], return_when=asyncio.FIRST_COMPLETED)
            for task in ended - {stopped}:
                task.result()
        finally:
            for task in (sweep, stopped, *workers):
                task.cancel()
            await asyncio.gather(sweep, stopped, *workers, return_exceptions=True)

    async def sweep(self) -> None:
        """Look at every custom resource that has not come to rest.

        Raises:
            ClusterError: they cannot be listed.
        """
        mark = self._roster.mark() if self._roster is not None else 0
        existing: set[str] = set()
        for kind in KINDS:
            for namespace in self._namespaces or (None,):
                async for page in self._cluster.pages(kind, namespace):
                    existing.update(str(owner["metadata"].get("uid")) for owner in page)
                    for owner in filter(wants_a_pass, page):
                        self.look(key_of(owner))
        if self._roster is not None:
            for key in self._roster.compare(existing, before=mark):
                self.look(key)
                for dataset in self._roster.datasets(key.namespace) if key.kind == "Commit" else ():
                    self.follow(dataset)

    async def _sweep_forever(self) -> None:
        while True:
            try:
                await self.sweep()
            except ClusterError as error:
                logger.warning("the sweep failed and comes again: %s", error)
            await asyncio.sleep(self._sweep_seconds)

    async def _work(self) -> None:
        while True:
            key = await self.queue.get()
            # Shielded: a pass that was begun is carried through, so that stopping never leaves half of one.
            one = asyncio.ensure_future(self._pass(key))
            try:
                await asyncio.shield(one)
            except asyncio.CancelledError:
                await one
                raise

    async def _pass(self, key: Key) -> None:
        started = asyncio.get_running_loop().time()
        try:
            done = await self._reconciler.reconcile(key)
            await self._follow(done)
        except Outdated as error:
            logger.debug("%s %s/%s: %s; read again", *key, error, extra={"about": key})
            self.queue.failed(key)
        except ClusterError as error:
            delay = self._fail(key, error)
            if self._troubled is not None:
                self._troubled(error)
            else:
                logger.warning("%s %s/%s: %s; again in %.1f s", *key, error, delay, extra={"about": key})
        except Exception as error:
            delay = self._fail(key, error)
            logger.exception("%s %s/%s: a bug; again in %.1f s", *key, delay, extra={"about": key})
        else:
            self.queue.succeeded(key)
            if key.kind == "Dataset":
                self._seconds[key] = asyncio.get_running_loop().time() - started
            if done.plan.requeue_after is not None:
                self.queue.add(key, delay=done.plan.requeue_after)
            if self._observer is not None:
                self._observer(done)
        finally:
            self.queue.done(key)

    def _fail(self, key: Key, error: Exception) -> float:
        if self._failed is not None:
            self._failed(key, error)
        return self.queue.failed(key)

    async def _follow(self, done: Pass) -> None:
        """A Commit's end may be what a Dataset of its namespace waits for, and one that is opened again makes it wait."""
        if done.key.kind != "Commit" or not done.plan.turned:
            return
        if self._roster is not None:
            # Known by heart, so that no error on the way can lose what this pass alone knows: that the Commit turned.
            for dataset in self._roster.datasets(done.key.namespace):
                self.follow(dataset)
            return
        async for page in self._cluster.pages("Dataset", done.key.namespace):
            for owner in page:
                self.follow(key_of(owner))
