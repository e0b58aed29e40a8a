"""One request at a time over HTTP: pauses that a server asks for, logins that have run out, answers that are none."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from aiohttp import web

from isobench_operator.cluster.kube import Api, KubeCluster, Login, LoginError
from isobench_operator.cluster.kube import cluster as module
from isobench_operator.cluster.ports import ClusterError, Key

Answer = Callable[[web.Request], Awaitable[web.StreamResponse] | web.StreamResponse]
KEY = Key("Commit", "n", "c")


class Server:
    """A server whose answers a test tells."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.answers: list[Answer] = []
        self.seen: list[tuple[str, str]] = []
        self.tokens: list[str] = []
        self.counted: list[tuple[str, str, int]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The next answer."""
        self.seen.append((request.method, request.path_qs))
        self.tokens.append(request.headers.get("Authorization", ""))
        found = self.answers.pop(0)(request)
        return found if isinstance(found, web.StreamResponse) else await found

    def request(self, *, verb: str, resource: str, code: int) -> None:
        """Count, as metrics do."""
        self.counted.append((verb, resource, code))

    def login(self, token: str = "one") -> Login:
        """A kubeconfig for it."""
        path = self.folder / "kubeconfig"
        body = {
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "current-context": "c",
        }
        path.write_text(yaml.safe_dump(body))
        return Login(path)

    port = 0


def said(code: int, body: object = None, **headers: str) -> Answer:
    return lambda _: web.json_response(body or {}, status=code, headers={k.replace("_", "-"): v for k, v in headers.items()})  # fmt: skip


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    found = Server(tmp_path)
    app = web.Application()
    app.router.add_route("*", "/{rest:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    found.port = runner.addresses[0][1]
    yield found
    await runner.cleanup()


@pytest.fixture
async def cluster(server: Server) -> AsyncIterator[KubeCluster]:
    found = KubeCluster(Api(server.login(), observer=server, seconds=1))
    yield found
    await found.close()


COMMIT = {"metadata": {"name": "c", "namespace": "n", "uid": "u", "managedFields": []}}


async def test_a_server_that_asks_for_time_gets_it_from_every_request(server: Server, cluster: KubeCluster) -> None:
    server.answers = [said(429, Retry_After="0.3"), said(200, COMMIT)]
    with pytest.raises(ClusterError):
        await cluster.get(KEY)
    before = asyncio.get_running_loop().time()
    assert await cluster.get(KEY) is not None
    assert asyncio.get_running_loop().time() - before >= 0.25
    assert server.counted == [("GET", "commits", 429), ("GET", "commits", 200)]


async def test_a_token_that_has_run_out_is_read_again(server: Server, cluster: KubeCluster) -> None:
    server.answers = [said(401), said(200, COMMIT)]
    with pytest.raises(ClusterError):
        await cluster.get(KEY)
    server.login("two")
    assert await cluster.get(KEY) is not None
    assert [token.split()[-1] for token in server.tokens] == ["one", "two"]


async def test_an_answer_that_is_no_json_and_one_that_does_not_come_are_errors_in_words(
    server: Server, cluster: KubeCluster
) -> None:
    async def late(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(3)
        return web.Response()

    server.answers = [lambda _: web.Response(status=502, text="<html>bad gateway</html>"), late]
    with pytest.raises(ClusterError, match="bad gateway"):
        await cluster.get(KEY)
    with pytest.raises(ClusterError, match=r"did not answer GET .*commits/c"):
        await cluster.get(KEY)
    assert server.counted[-1] == ("GET", "commits", 0)


async def test_a_list_whose_position_is_too_old_starts_again(
    server: Server, cluster: KubeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PAGE", 1)
    page = {"items": [COMMIT], "metadata": {"continue": "next"}}
    last = {"items": [COMMIT], "metadata": {}}
    server.answers = [said(200, page), said(410, {"reason": "Expired"}), said(200, page), said(200, last)]
    assert len([one async for one in cluster.pages("Commit", "n")]) == 3
    assert [("continue=next" in query) for _, query in server.seen] == [False, True, False, True]


async def test_a_status_that_is_not_taken_is_an_error_and_no_verdict(server: Server, cluster: KubeCluster) -> None:
    owner = {"apiVersion": "a/b", "kind": "Commit", "metadata": {**COMMIT["metadata"], "resourceVersion": "1"}}
    server.answers = [said(422, {"message": "status.x: unknown"})]
    with pytest.raises(ClusterError, match=r"status\.x") as caught:
        await cluster.apply_status(owner, {})
    assert type(caught.value) is ClusterError
    assert server.seen == [("PATCH", "/apis/isobench.dev/v1alpha1/namespaces/n/commits/c/status?fieldManager=isobench-operator&force=true")]  # fmt: skip


async def test_a_login_that_is_lost_on_the_way_is_waited_for(server: Server, cluster: KubeCluster) -> None:
    (server.folder / "kubeconfig").unlink()
    with pytest.raises(ClusterError, match="no such kubeconfig"):
        await cluster.get(KEY)


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "no such kubeconfig"), ("{", "kubectl --kubeconfig"), ("{}", "kubectl --kubeconfig"), ("a: b", "kubectl")],
)
async def test_a_kubeconfig_that_cannot_be_used_says_what_to_do(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "kubeconfig"
    if text is not None:
        path.write_text(text)
    with pytest.raises(LoginError, match=words):
        await Login(path).configuration()


def job(name: str, *conditions: str) -> dict[str, object]:
    told = [{"type": one.strip("!"), "status": "False" if one.startswith("!") else "True"} for one in conditions]
    return {"metadata": {"name": name, "uid": f"uid-of-{name}"}, "status": {"conditions": told}}


def pod(of: str, phase: str) -> dict[str, object]:
    return {"metadata": {"ownerReferences": [{"kind": "Job", "uid": f"uid-of-{of}"}]}, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("case", "jobs", "pods", "enough"),
    [
        ("nothing", [], [], True),
        ("a Job that runs, without a pod", [job("a")], [], True),
        ("a Job that runs, with one", [job("a", "Suspended", "!Failed")], [pod("a", "Running")], True),
        ("ended, and so has its pod", [job("a", "Complete")], [pod("a", "Succeeded")], True),
        ("failed, and so have its pods", [job("a", "Failed")], [pod("a", "Failed"), pod("a", "Failed")], True),
        ("ended, its pod as it was before", [job("a", "Complete")], [pod("a", "Running")], False),
        ("failed, its last pod as it was before", [job("a", "Failed")], [pod("a", "Failed"), pod("a", "Pending")], False),
        ("ended, its pod not made yet or gone", [job("a", "Complete")], [], False),
        ("ended beside one that runs", [job("a", "Complete"), job("b")], [pod("a", "Succeeded"), pod("b", "Running")], True),
        ("ended, with another's pod", [job("a", "Complete")], [pod("b", "Succeeded")], False),
    ],
)  # fmt: skip
async def test_pods_that_are_older_than_the_end_of_their_job_are_read_again(
    server: Server, cluster: KubeCluster, case: str, jobs: list[object], pods: list[object], enough: bool
) -> None:
    def answer(request: web.Request) -> web.StreamResponse:
        return web.json_response({"items": jobs if request.path.endswith("/jobs") else pods})

    server.answers = [answer] * 3
    children = await cluster.children({"metadata": {"namespace": "n", "uid": "u"}})
    assert (list(children.jobs), list(children.pods)) == (jobs, pods), case
    assert Counter(path.split("?")[0].split("/")[-1] for _, path in server.seen) == {"jobs": 1, "pods": 1 if enough else 2}  # fmt: skip
