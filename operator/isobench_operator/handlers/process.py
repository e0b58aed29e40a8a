"""The operator as a process: the rooms put together, waiting for a cluster, working, stopping in order."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass

from isobench_operator.cluster.kube import Api, KubeCluster, Login
from isobench_operator.cluster.ports import ClusterError, Key
from isobench_operator.control.attention import Attention
from isobench_operator.control.happened import stage_ends
from isobench_operator.control.loop import Loop
from isobench_operator.control.queue import WorkQueue
from isobench_operator.control.reconciler import Pass, Reconciler
from isobench_operator.control.roster import Roster
from isobench_operator.core.settings import RELEASE
from isobench_operator.metrics import Metrics
from isobench_operator.narration import narrate
from isobench_operator.serving import serving
from isobench_operator.settings import OperatorSettings

from .lifecycle import watch

EXIT_FAILED = 1
STOP_SECONDS = 20.0
"""For passes that were begun; the chart gives a pod 30 s."""
MOST_WAIT_SECONDS = 30.0
REST_AT_ONCE = 4
"""Passes that nothing of what has begun asks for: over new Commits, or to be sure. Each may create Jobs, which are what keeps a cluster busy."""
logger = logging.getLogger("isobench")


@dataclass(frozen=True, kw_only=True)
class Operator:
    """Everything that runs in this process."""

    cluster: KubeCluster
    attention: Attention
    loop: Loop
    metrics: Metrics


def build(settings: OperatorSettings, login: Login) -> Operator:
    """Put an operator together; nothing is sent yet."""
    queue: WorkQueue[Key] = WorkQueue(rest_at_once=REST_AT_ONCE)
    roster = Roster()
    metrics = Metrics(queue=queue, roster=roster)
    cluster = KubeCluster(Api(login, observer=metrics), instance=socket.gethostname())

    def observe(done: Pass) -> None:
        ends = stage_ends(done, secret=settings.decisions.secret)
        metrics.passed(done, ends)
        narrate(done, ends)

    loop = Loop(
        cluster,
        Reconciler(cluster, settings.decisions),
        queue=queue,
        namespaces=settings.namespaces,
        observer=observe,
        roster=roster,
        failed=metrics.failed,
    )
    return Operator(cluster=cluster, attention=Attention(loop, roster), loop=loop, metrics=metrics)


async def wait_for_cluster(cluster: KubeCluster, namespaces: tuple[str, ...] | None, stop: asyncio.Event) -> None:
    """Wait until our kinds can be read, saying what is missing."""
    delay = 1.0
    while not stop.is_set():
        try:
            await cluster.ready(namespaces)
        except ClusterError as error:
            logger.warning("waiting for the cluster, asking again in %.0f s: %s", delay, error)
        else:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)
        delay = min(MOST_WAIT_SECONDS, delay * 2)


async def run(settings: OperatorSettings, login: Login) -> int:
    """Run until a signal comes; returns the exit code.

    Raises:
        LoginError: no cluster can be found.
        PortError: a page cannot be served.
    """
    await login.configuration()  # what is wrong with it now is wrong with how this process was started
    operator = build(settings, login)
    stop, unwatch = asyncio.Event(), asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        running.add_signal_handler(number, stop.set)  # until Kopf puts its own in place
    working: asyncio.Task[None] | None = None

    def health() -> str | None:
        return "the workers have ended" if working is not None and working.done() and not stop.is_set() else None

    async def finish() -> None:
        stop.set()
        if working is not None:
            await asyncio.wait({working}, timeout=STOP_SECONDS)

    async with serving(
        operator.metrics.registry, health, metrics_port=settings.metrics_port, health_port=settings.health_port
    ):
        try:
            where = "everywhere" if settings.namespaces is None else ", ".join(settings.namespaces)
            logger.info("isobench operator %s, watching %s", RELEASE, where)
            await wait_for_cluster(operator.cluster, settings.namespaces, stop)
            if stop.is_set():
                return 0
            working = asyncio.create_task(operator.loop.run(stop), name="isobench")
            working.add_done_callback(lambda _: unwatch.set())
            await asyncio.sleep(0)
            try:
                await watch(
                    operator.attention, login=login, namespaces=settings.namespaces, stop=unwatch, cleanup=finish
                )
            except Exception:
                logger.exception("the watch has ended; a new process starts it again")
                return EXIT_FAILED
            if working.done() and not working.cancelled() and (error := working.exception()) is not None:
                logger.error("the workers have ended", exc_info=error)
                return EXIT_FAILED
            logger.info("stopped")
            return 0
        finally:
            await operator.cluster.close()
