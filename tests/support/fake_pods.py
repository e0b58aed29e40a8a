"""A fake of the API server's pods: they run as soon as they are made, exec starts real processes here, logs are told.

What it speaks is the protocol of kubectl: objects over HTTP, exec over a WebSocket whose messages begin with their channel's number.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web

Json = dict[str, Any]


@dataclass
class FakePods:
    """The server's state.

    Attributes:
        objects: custom resources and ConfigMaps by the end of their path.
        env: of every process that exec starts.
        logs: what a container has said, by "pod/container".
        phase: of pods that are made.
        kubeconfig: to get here.
    """

    kubeconfig: Path
    objects: dict[str, Json] = field(default_factory=dict)
    pods: dict[str, Json] = field(default_factory=dict)
    made: list[Json] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    status: Json = field(default_factory=lambda: {"phase": "Running"})
    commands: list[list[str]] = field(default_factory=list)

    def _missing(self, path: str) -> web.Response:
        return web.json_response({"kind": "Status", "reason": "NotFound", "message": f"{path} not found"}, status=404)

    async def create(self, request: web.Request) -> web.Response:
        pod = {**await request.json(), "status": self.status}
        self.pods[pod["metadata"]["name"]] = pod
        self.made.append(pod)
        return web.json_response(pod, status=201)

    async def list(self, request: web.Request) -> web.Response:
        wanted = dict(part.split("=") for part in request.query.get("labelSelector", "").split(",") if part)
        found = [pod for pod in self.pods.values() if wanted.items() <= (pod["metadata"].get("labels") or {}).items()]
        return web.json_response({"items": found})

    async def get(self, request: web.Request) -> web.Response:
        found = self.pods.get(request.match_info["name"])
        return self._missing(request.path) if found is None else web.json_response(found)

    async def delete(self, request: web.Request) -> web.Response:
        self.deleted.append(request.match_info["name"])
        return web.json_response(self.pods.pop(request.match_info["name"], {}))

    async def log(self, request: web.Request) -> web.Response:
        return web.Response(text=self.logs.get(f"{request.match_info['name']}/{request.query['container']}", ""))

    async def other(self, request: web.Request) -> web.Response:
        for end, body in self.objects.items():
            if request.path.endswith(end):
                return web.json_response(body)
        return self._missing(request.path)

    async def exec(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
        await socket.prepare(request)
        words = request.query.getall("command")
        self.commands.append(words)
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words[1:], env={**os.environ, **self.env},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stderr

        async def pump(stream: asyncio.StreamReader, channel: int) -> None:
            while data := await stream.read(32 * 1024):
                await socket.send_bytes(bytes([channel]) + data)

        async def feed() -> None:
            async for message in socket:
                if message.type is WSMsgType.BINARY and message.data[0] == 0:
                    process.stdin.write(message.data[1:])

        feeding = asyncio.create_task(feed())
        await asyncio.gather(pump(process.stdout, 1), pump(process.stderr, 2))
        code = await process.wait()
        feeding.cancel()
        ended: Json = {"status": "Success"}
        if code:
            causes = [{"reason": "ExitCode", "message": str(code)}]
            message = f"command terminated with non-zero exit code: {code}"
            ended = {"status": "Failure", "message": message, "details": {"causes": causes}}
        await socket.send_bytes(b"\x03" + json.dumps(ended).encode())
        await socket.close()
        return socket


@contextmanager
def fake_pods(folder: Path) -> Iterator[FakePods]:
    """Serve until the block ends."""
    fake = FakePods(kubeconfig=folder / "kubeconfig")
    app = web.Application()
    pods = "/api/v1/namespaces/{namespace}/pods"
    app.add_routes(
        [
            web.post(pods, fake.create),
            web.get(pods, fake.list),
            web.get(f"{pods}/{{name}}", fake.get),
            web.delete(f"{pods}/{{name}}", fake.delete),
            web.get(f"{pods}/{{name}}/log", fake.log),
            web.get(f"{pods}/{{name}}/exec", fake.exec),
            web.get("/{path:.*}", fake.other),
        ]
    )
    loop, started = asyncio.new_event_loop(), threading.Event()
    ports: list[int] = []
    stopping = asyncio.Event()

    async def serve() -> None:
        runner = web.AppRunner(app, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[0][1])
        started.set()
        await stopping.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert started.wait(30)
    cluster = {"name": "fake", "cluster": {"server": f"http://127.0.0.1:{ports[0]}"}}
    context = {"name": "fake", "context": {"cluster": "fake", "user": "me", "namespace": "bench"}}
    body = {"clusters": [cluster], "contexts": [context], "users": [{"name": "me", "user": {"token": "t"}}]}
    fake.kubeconfig.write_text(
        yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "fake", **body})
    )
    try:
        yield fake
    finally:
        loop.call_soon_threadsafe(stopping.set)
        thread.join()
        loop.close()
