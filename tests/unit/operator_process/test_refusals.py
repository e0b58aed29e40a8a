"""What an answer of the API server means: for good, for now, or merely not this time."""

from __future__ import annotations

from typing import Any

import pytest

from isobench_operator.cluster.kube.api import Conflict, Expired, NotFound, path_of, refusal, resource_of
from isobench_operator.cluster.ports import ClusterError, HeldBack, Rejected

TERMINATING = {"details": {"causes": [{"reason": "NamespaceTerminating"}]}}


@pytest.mark.parametrize(
    ("verb", "code", "status", "kind"),
    [
        ("GET", 404, {}, NotFound),
        ("POST", 404, {}, NotFound),
        ("POST", 409, {"reason": "AlreadyExists"}, Conflict),
        ("PATCH", 409, {"reason": "Conflict"}, Conflict),
        ("GET", 410, {"reason": "Expired"}, Expired),
        ("POST", 400, {}, Rejected),
        ("POST", 422, {"reason": "Invalid"}, Rejected),
        ("POST", 413, {}, Rejected),
        ("PATCH", 422, {}, ClusterError),
        ("POST", 403, {"message": 'admission webhook "w" denied the request: no'}, Rejected),
        ("POST", 403, {"message": "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no"}, Rejected),
        ("POST", 403, {"message": 'jobs.batch "j" is forbidden: exceeded quota: few'}, HeldBack),
        ("POST", 403, {"message": 'User "u" cannot create resource "jobs"'}, HeldBack),
        ("POST", 403, {"message": "because it is being terminated", **TERMINATING}, ClusterError),
        ("GET", 403, {"message": 'User "u" cannot list resource "pods"'}, ClusterError),
        ("GET", 401, {}, ClusterError),
        ("POST", 429, {}, ClusterError),
        ("POST", 500, {}, ClusterError),
        ("GET", 503, {}, ClusterError),
    ],
)
def test_each_answer_is_what_it_is(verb: str, code: int, status: dict[str, Any], kind: type[Exception]) -> None:
    found = refusal(verb, "/p", code, status)
    assert type(found) is kind
    assert status.get("message", "HTTP") in str(found)


@pytest.mark.parametrize(
    ("path", "resource"),
    [
        ("/apis/isobench.dev/v1alpha1/namespaces/n/commits/c/status", "commits/status"),
        ("/apis/isobench.dev/v1alpha1/commits", "commits"),
        ("/apis/batch/v1/namespaces/n/jobs", "jobs"),
        ("/apis/batch/v1/namespaces/n/jobs/j", "jobs"),
        ("/api/v1/namespaces/n/events", "events"),
        ("/api/v1/namespaces/n", "namespaces"),
    ],
)
def test_metrics_name_resources_by_few_words(path: str, resource: str) -> None:
    assert resource_of(path) == resource


def test_paths_are_quoted() -> None:
    assert path_of("/api/v1", "n", "pods", "a/b") == "/api/v1/namespaces/n/pods/a%2Fb"
    assert path_of("/api/v1", None, "pods") == "/api/v1/pods"
