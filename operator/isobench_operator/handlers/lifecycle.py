"""How Kopf is set up and run: one process alone, quiet, patient with the API server, and stopped only after our own work is."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast

import kopf
from kopf._core.reactor import inventory  # the type of a public parameter

from isobench_operator.cluster.kube import Credentials, Login
from isobench_operator.control.attention import Attention
from isobench_operator.core import naming

from . import wake

REQUEST_SECONDS = 30.0
PAGE = 500
IDLE_SECONDS = 0.5
"""How long Kopf keeps a task for an object that nothing is told of: a listing makes one for each."""


class Patience:
    """Delays between requests of a watch that fail, without an end: an API server that is away comes back, and a right that is missing is given."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1.0, 2.0, 4.0), itertools.repeat(8.0))


class Forgetful(inventory.ResourceMemories):
    """Keeps nothing of an object once its event was handed on: Kopf remembers each for handlers with a state, and ours have none.

    Of ten thousand Commits with their Jobs that would be most of this process's memory.
    """

    async def recall(self, *arguments: Any, **options: Any) -> inventory.ResourceMemory:
        """A memory for this one event."""
        return await super().recall(*arguments, **{**options, "ephemeral": True})


class NoDifferences(kopf.DiffBaseStorage):
    """Sees no difference between two states of an object: our handlers take events, and Kopf would copy every object twice to compare."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """What of an object is compared."""
        return cast("kopf.BodyEssence", {})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """What was stored of it."""
        return None

    def store(self, **_: Any) -> None:
        """Store nothing."""


def settings() -> kopf.OperatorSettings:
    """Kopf's settings."""
    found = kopf.OperatorSettings()
    found.posting.enabled = False
    found.scanning.disabled = True  # or it would need to list namespaces and CRDs
    found.watching.chunk_size = PAGE
    found.queueing.idle_timeout = IDLE_SECONDS
    found.networking.request_timeout = REQUEST_SECONDS
    found.networking.connect_timeout = REQUEST_SECONDS / 3
    found.networking.error_backoffs = Patience()
    found.persistence.diffbase_storage = NoDifferences()
    # Never written by these handlers; named all the same, so that a mistake here could not touch another operator's.
    found.persistence.finalizer = f"{naming.GROUP}/finalizer"
    found.persistence.progress_storage = kopf.AnnotationsProgressStorage(prefix=f"kopf.{naming.GROUP}")
    return found


def connection(credentials: Credentials) -> kopf.ConnectionInfo:
    """Our login as Kopf takes it."""
    scheme, _, token = (credentials.authorization or "").partition(" ")
    return kopf.ConnectionInfo(
        server=credentials.server,
        ca_path=credentials.ca_path,
        insecure=credentials.insecure,
        scheme=scheme.capitalize() or None,
        token=token or None,
        certificate_path=credentials.certificate_path,
        private_key_path=credentials.key_path,
        proxy_url=credentials.proxy,
    )


async def watch(
    attention: Attention,
    *,
    login: Login,
    namespaces: Sequence[str] | None,
    stop: asyncio.Event,
    cleanup: Callable[[], Awaitable[None]],
) -> None:
    """Watch until `stop` is set or a signal comes.

    Args:
        attention: gets every event.
        login: asked again whenever the API server does not know us any more.
        namespaces: where to watch; None for everywhere.
        stop: ends the watching.
        cleanup: awaited after the watches have ended and before Kopf cancels what still runs in this event loop.
    """
    registry, configured = kopf.OperatorRegistry(), settings()
    wake.register(registry, configured, attention)

    @kopf.on.login(id="login", registry=registry)
    async def log_in(**_: Any) -> kopf.ConnectionInfo:
        return connection(await login.credentials())

    @kopf.on.cleanup(id="cleanup", registry=registry)
    async def clean_up(**_: Any) -> None:
        await cleanup()

    await kopf.operator(
        registry=registry,
        settings=configured,
        standalone=True,
        clusterwide=namespaces is None,
        namespaces=list(namespaces or ()),
        stop_flag=stop,
        memories=Forgetful(),
    )
