"""A server that speaks both wire protocols of language models, scripted: OpenAI's chat completions and Anthropic's messages, with SSE.

It is a real HTTP server on loopback, so that the real SDKs talk to it. Steps are taken in order, one per request, and the last one
repeats; every request is kept for assertions. `python -m support.fake_llm --answers DIR` serves the scripts of a folder instead: it
answers with the one whose name is found in the prompt.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Say:
    """Answer with a text.

    Attributes:
        finish: stop, length or refusal; each protocol has its own word for it.
        delay: seconds before the first byte; `pause`: between chunks.
        cut_after: break the connection after so many chunks, without an end.
        quiet: leave the usage out, as some servers do.
        plain: one JSON body, even where a stream was asked for.
    """

    text: str
    finish: str = "stop"
    delay: float = 0.0
    pause: float = 0.0
    cut_after: int | None = None
    quiet: bool = False
    plain: bool = False


@dataclass(frozen=True, kw_only=True)
class Fail:
    """Answer with an HTTP error in the protocol's own form."""

    status: int
    message: str = "no"
    kind: str = "api_error"
    headers: dict[str, str] = field(default_factory=dict)
    param: str | None = None
    code: str | None = None


@dataclass(frozen=True, kw_only=True)
class FailInStream:
    """Begin a stream with 200 and then send an error event."""

    message: str = "Overloaded"
    kind: str = "overloaded_error"


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Take the request and say nothing for so long, then close."""

    seconds: float


Step = Say | Fail | FailInStream | Hang
Responder = Callable[[dict[str, Any]], Step]


@dataclass(frozen=True, kw_only=True)
class Received:
    """A request: its path, headers (lower case) and JSON body."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def prompt(self) -> str:
        """All that was said, in order."""
        return "\n".join(str(message["content"]) for message in self.body["messages"])


_FINISH = {
    "openai": {"stop": "stop", "length": "length", "refusal": "content_filter"},
    "anthropic": {"stop": "end_turn", "length": "max_tokens", "refusal": "refusal"},
}
PROMPT_TOKENS, COMPLETION_TOKENS = 1000, 200


def _chunks(text: str) -> list[str]:
    size = max(1, len(text) // 4)
    return [text[index : index + size] for index in range(0, len(text), size)] or [""]


def _openai_events(say: Say, body: dict[str, Any]) -> Iterator[str]:
    base = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

    def event(delta: dict[str, Any], finish: str | None = None) -> str:
        return json.dumps({**base, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]})

    yield event({"role": "assistant", "content": ""})
    for chunk in _chunks(say.text):
        yield event({"content": chunk})
    yield event({}, _FINISH["openai"][say.finish])
    if body.get("stream_options", {}).get("include_usage") and not say.quiet:
        yield json.dumps({**base, "choices": [], "usage": _openai_usage()})
    yield "[DONE]"


def _openai_usage() -> dict[str, int]:
    return {
        "prompt_tokens": PROMPT_TOKENS,
        "completion_tokens": COMPLETION_TOKENS,
        "total_tokens": PROMPT_TOKENS + COMPLETION_TOKENS,
    }


def _openai_body(say: Say, body: dict[str, Any]) -> dict[str, Any]:
    message = {"role": "assistant", "content": say.text}
    choice = {"index": 0, "message": message, "finish_reason": _FINISH["openai"][say.finish]}
    usage = {} if say.quiet else {"usage": _openai_usage()}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": body["model"], "choices": [choice], **usage}


def _anthropic_events(say: Say, body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    start = _anthropic_body(Say(text=""), body) | {"content": [], "stop_reason": None}
    start["usage"] = {"input_tokens": PROMPT_TOKENS, "output_tokens": 1}
    yield "message_start", {"message": start}
    yield "content_block_start", {"index": 0, "content_block": {"type": "text", "text": ""}}
    yield "ping", {}
    for chunk in _chunks(say.text):
        yield "content_block_delta", {"index": 0, "delta": {"type": "text_delta", "text": chunk}}
    yield "content_block_stop", {"index": 0}
    delta = {"stop_reason": _FINISH["anthropic"][say.finish], "stop_sequence": None}
    yield "message_delta", {"delta": delta, "usage": {"output_tokens": COMPLETION_TOKENS}}
    yield "message_stop", {}


def _anthropic_body(say: Say, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": [{"type": "text", "text": say.text}],
        "stop_reason": _FINISH["anthropic"][say.finish],
        "stop_sequence": None,
        "usage": {"input_tokens": PROMPT_TOKENS, "output_tokens": COMPLETION_TOKENS},
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
        """Keep the console for whoever runs the server."""

    def do_GET(self) -> None:
        """The list of models, which clients use to see whether a server is ready."""
        self._json(
            200, {"object": "list", "data": [{"id": "fake", "object": "model", "created": 1, "owned_by": "fake"}]}
        )

    def do_POST(self) -> None:
        """One request, one step."""
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        protocol = "anthropic" if self.path.endswith("/messages") else "openai"
        headers = {name.lower(): value for name, value in self.headers.items()}
        step = self.server.owner.take(Received(path=self.path, headers=headers, body=body))
        match step:
            case Fail():
                self._fail(protocol, step)
            case Hang(seconds=seconds):
                self.server.owner.closing.wait(seconds)
                self._break()
            case FailInStream():
                self._stream_failure(protocol, step)
            case Say():
                self.server.owner.closing.wait(step.delay)
                if body.get("stream") and not step.plain:
                    self._stream(protocol, step, body)
                else:
                    make = _anthropic_body if protocol == "anthropic" else _openai_body
                    self._json(200, make(step, body))

    def _json(self, status: int, value: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            **(headers or {}),
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def _fail(self, protocol: str, step: Fail) -> None:
        if protocol == "anthropic":
            value: dict[str, Any] = {"type": "error", "error": {"type": step.kind, "message": step.message}}
        else:
            error = {"message": step.message, "type": step.kind, "param": step.param, "code": step.code}
            value = {"error": error}
        self._json(step.status, value, step.headers)

    def _begin_stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def _event(self, text: str) -> None:
        data = text.encode()
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _stream(self, protocol: str, step: Say, body: dict[str, Any]) -> None:
        self._begin_stream()
        if protocol == "anthropic":
            texts = [
                f"event: {name}\ndata: {json.dumps({'type': name, **value})}\n\n"
                for name, value in _anthropic_events(step, body)
            ]
        else:
            texts = [f"data: {value}\n\n" for value in _openai_events(step, body)]
        for number, text in enumerate(texts):
            if number == step.cut_after:
                self._break()
                return
            self._event(text)
            self.server.owner.closing.wait(step.pause)
        self.wfile.write(b"0\r\n\r\n")

    def _stream_failure(self, protocol: str, step: FailInStream) -> None:
        self._begin_stream()
        error = {"type": step.kind, "message": step.message}
        if protocol == "anthropic":
            self._event(f"event: error\ndata: {json.dumps({'type': 'error', 'error': error})}\n\n")
        else:
            self._event(f"data: {json.dumps({'error': error})}\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def _break(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    owner: FakeLLM


class FakeLLM:
    """The server, as a context manager.

    Attributes:
        received: every request so far.
        url: what `base_url` of an OpenAI client is; `anthropic_url` that of an Anthropic one.
    """

    def __init__(self, script: Sequence[Step] | Responder, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._script = script
        self.received: list[Received] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = _Server((host, port), _Handler)
        self._server.owner = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.anthropic_url = f"http://{host}:{self._server.server_address[1]}"
        self.url = f"{self.anthropic_url}/v1"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, request: Received) -> Step:
        """The step for a request."""
        with self._lock:
            number = len(self.received)
            self.received.append(request)
        if callable(self._script):
            return self._script(request.body)
        return self._script[min(number, len(self._script) - 1)]


def answers_from(folder: Path) -> Responder:
    """Answer with the script of a folder whose name begins with a commit hash found in the prompt (its first eight digits count)."""
    scripts = {path.name[:8]: path for path in sorted(folder.glob("*.py")) if re.match(r"[0-9a-f]{8}", path.name)}

    def respond(body: dict[str, Any]) -> Step:
        said = "\n".join(str(message["content"]) for message in body["messages"])
        for found in re.findall(r"\b[0-9a-f]{8}(?=[0-9a-f]*\b)", said):
            if found in scripts:
                return Say(text=f"Here is the test.\n\n```python\n{scripts[found].read_text()}\n```\n")
        return Fail(status=404, message="no script for the commits in this prompt", kind="not_found_error")

    return respond


def main() -> None:
    """Serve a folder of scripts until interrupted; prints the address first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--answers", type=Path, required=True, help="folder of <hash8>*.py")
    arguments = parser.parse_args()
    with FakeLLM(answers_from(arguments.answers), host=arguments.host, port=arguments.port) as server:
        print(server.url, flush=True)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return


if __name__ == "__main__":
    main()
