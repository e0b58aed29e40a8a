"""The two pages that a cluster reads: /metrics for Prometheus, /healthz for the kubelet. They answer while the API server is away too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from .errors import IsobenchError


class PortError(IsobenchError):
    """A port cannot be listened on."""


Health = Callable[[], str | None]


@asynccontextmanager
async def serving(
    registry: CollectorRegistry, health: Health, *, metrics_port: int, health_port: int, host: str | None = None
) -> AsyncIterator[None]:
    """Serve both pages.

    Args:
        registry: what /metrics tells.
        health: what is wrong, in words, or None; answering at all says that the event loop runs.
        metrics_port, health_port: 0 takes any free one.
        host: None is every address.
    """

    async def metrics(request: web.Request) -> web.Response:  # noqa: ARG001
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def healthz(request: web.Request) -> web.Response:  # noqa: ARG001
        trouble = health()
        return web.Response(text=f"{trouble or 'ok'}\n", status=200 if trouble is None else 503)

    runners = []
    try:
        pages = (("metrics", metrics_port, "/metrics", metrics), ("health", health_port, "/healthz", healthz))
        for name, port, path, answer in pages:
            app = web.Application()
            app.add_routes([web.get(path, answer)])
            runner = web.AppRunner(app, access_log=None, handle_signals=False)
            runners.append(runner)
            await runner.setup()
            try:
                await web.TCPSite(runner, host, port, shutdown_timeout=1).start()
            except OSError as error:
                raise PortError(f"{name}.port: {port}: {error.strerror or error}; choose another") from error
        yield
    finally:
        for runner in runners:
            await runner.cleanup()
