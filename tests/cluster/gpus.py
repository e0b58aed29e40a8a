"""A real device plugin for devices that are not there: the kubelet's v1beta1 protocol over gRPC, `nvidia.com/gpu` by a control file.

    python -m cluster.gpus CONTROL.json     {"count": 2, "sick": 0}

The control file is read again when it changes: the first `sick` devices are unhealthy. Messages are encoded by hand, three fields at
most each, so that no generated code is needed. It registers again when the kubelet's socket is another one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc

FOLDER = Path("/var/lib/kubelet/device-plugins")
SOCKET = "isobench-gpu.sock"
RESOURCE = "nvidia.com/gpu"


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def field(number: int, content: bytes | str) -> bytes:
    """A length-delimited field of a protobuf message."""
    raw = content.encode() if isinstance(content, str) else content
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """The length-delimited fields of a message; none of those read here is of another kind."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            byte = message[at]
            value |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if not byte & 0x80:
                return value, at

    at = 0
    while at < len(message):
        tag, at = varint(at)
        size, at = varint(at)
        if tag & 7 == 2:
            yield tag >> 3, message[at : at + size]
            at += size


def devices(control: Path) -> list[tuple[str, str]]:
    """Identity and health of every device."""
    try:
        body = json.loads(control.read_text())
    except (OSError, ValueError):
        body = {"count": 2, "sick": 0}
    return [
        (f"GPU-fake-{number}", "Unhealthy" if number < body.get("sick", 0) else "Healthy")
        for number in range(body["count"])
    ]


def allocation(request: bytes) -> bytes:
    """AllocateResponse: for every container the variable by which it knows its devices."""
    answer = b""
    for _, container in fields(request):
        ids = ",".join(value.decode() for number, value in fields(container) if number == 1)
        answer += field(1, field(1, field(1, "NVIDIA_VISIBLE_DEVICES") + field(2, ids)))
    return answer


class Plugin(grpc.GenericRpcHandler):
    """v1beta1.DevicePlugin."""

    def __init__(self, control: Path) -> None:
        self._control = control

    def service(self, call: Any) -> Any:
        """The method of a call."""
        method = call.method.rpartition("/")[2]
        plain: dict[str, Any] = {"request_deserializer": bytes, "response_serializer": bytes}
        if method == "ListAndWatch":
            return grpc.unary_stream_rpc_method_handler(self._watch, **plain)
        if method == "Allocate":
            return grpc.unary_unary_rpc_method_handler(lambda request, _: allocation(request), **plain)
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: b"", **plain)

    def _watch(self, _request: bytes, context: Any) -> Iterator[bytes]:
        last: object = None
        while context.is_active():
            found = devices(self._control)
            if found != last:
                last = found
                yield b"".join(field(1, field(1, name) + field(2, health)) for name, health in found)
            time.sleep(0.1)


def register() -> None:
    """Tell the kubelet of us."""
    with grpc.insecure_channel(f"unix://{FOLDER}/kubelet.sock") as channel:
        call = channel.unary_unary(
            "/v1beta1.Registration/Register", request_serializer=bytes, response_deserializer=bytes
        )
        call(field(1, "v1beta1") + field(2, SOCKET) + field(3, RESOURCE), timeout=5)


def main() -> None:
    """Serve until it is told to stop."""
    control, seen = Path(sys.argv[1]), None
    # sys.exit would hang on gRPC's threads.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    while True:
        try:
            status = (FOLDER / "kubelet.sock").stat()
            kubelet = (status.st_ino, status.st_ctime_ns)
        except OSError:
            kubelet = None
        if kubelet is not None and kubelet != seen:
            (FOLDER / SOCKET).unlink(missing_ok=True)
            server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
            server.add_generic_rpc_handlers((Plugin(control),))
            server.add_insecure_port(f"unix://{FOLDER}/{SOCKET}")
            server.start()
            try:
                register()
                seen = kubelet
                print("registered with the kubelet", flush=True)
            except grpc.RpcError as error:
                server.stop(0)
                print(f"the kubelet does not listen yet: {error}", flush=True)
        threading.Event().wait(0.2)


if __name__ == "__main__":
    main()
