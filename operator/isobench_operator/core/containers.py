"""Single containers by trust: what a trusted one is told, and that an untrusted one is told next to nothing.

Variables come in an order that Kubernetes' `$(VAR)` rule needs: ISOBENCH_ROOT first, what refers to it after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from isobench_runner.contract import REQUEST_VARIABLE, Request

from .observed import REPORTER
from .settings import ROOT, PodSettings
from .volumes import CERTIFICATES, CREDENTIALS, expand, shared_mounts

Json = dict[str, Any]

UNTRUSTED_TMP = f"{ROOT}/tmp"  # noqa: S108 - a volume of the pod's own
HARNESS = f"{ROOT}/in/harness.pyz"
TERMINATION_LOG = "/dev/termination-log"


INDEX_VARIABLES = frozenset({
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
})  # fmt: skip
"""What of the trusted containers' variables a build gets: where packages come from, and how they are reached."""


def store_place(settings: PodSettings) -> str:
    """Where trusted containers find the artifacts: on a laptop the folder itself, in a claim or behind an URL a part of it."""
    if settings.runtime == "embedded":
        return settings.store.path
    return f"{settings.store_url.rstrip('/') if settings.store_url else settings.store.path}/artifacts"


def certificates(settings: PodSettings) -> dict[str, str]:
    """The variables by which Python, pip and git trust the configured certificates."""
    if settings.ca_bundle is None:
        return {}
    path = f"{ROOT}/{CERTIFICATES}/{settings.ca_bundle.key}"
    return dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT", "GIT_SSL_CAINFO"), path)


def _pull(settings: PodSettings) -> Json:
    return {"imagePullPolicy": settings.pull_policy} if settings.runtime == "kubernetes" else {}


def _security(uid: int) -> Json:
    return {
        "runAsUser": uid,
        "runAsGroup": uid,
        "runAsNonRoot": True,
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def variables(values: Mapping[str, str]) -> list[Json]:
    """Variables in the order given."""
    return [{"name": name, "value": value} for name, value in values.items()]


def request_text(request: Request) -> str:
    """A request as a variable's value: `$` doubled, so that Kubernetes expands none of the user's words, only paths of inputs."""
    own = f"{ROOT}/inputs/"
    return request.to_json().replace("$", "$$").replace(own.replace("$", "$$"), own)


def merge_resources(base: Mapping[str, Mapping[str, str]], over: Mapping[str, Mapping[str, Any]]) -> Json:
    """Resources with the user's on top; a limit named alone is the request too, as Kubernetes has it, and zero takes a device away."""
    limits = {**base.get("limits", {}), **{key: str(value) for key, value in over.get("limits", {}).items()}}
    requests = {**base.get("requests", {}), **{key: str(value) for key, value in over.get("limits", {}).items()}}
    requests |= {key: str(value) for key, value in over.get("requests", {}).items()}
    limits |= {key: value for key, value in requests.items() if "/" in key}

    def kept(amounts: Mapping[str, str]) -> dict[str, str]:
        return {key: value for key, value in sorted(amounts.items()) if not ("/" in key and value == "0")}

    return {"requests": kept(requests), "limits": kept(limits)}


def trusted(
    settings: PodSettings, stage: str, *, source: str, target: str, request: str, mounts: Sequence[Json]
) -> Json:
    """A stage of ours in our image.

    Args:
        stage: the word after `python -m isobench_runner`, and the container's name.
        request: as `request_text` writes it.
        source, target: folders below the root for `--in` and `--out`; an empty one is the root itself.
    """
    values = {
        "ISOBENCH_ROOT": settings.root,
        REQUEST_VARIABLE: request,
        "ISOBENCH_RUNTIME": settings.runtime,
        "ISOBENCH_ENVS": settings.environments.path,
        "ISOBENCH_STORE": store_place(settings),
        "TMPDIR": f"{ROOT}/scratch",
        "LANG": "C.UTF-8",
        **settings.trusted_env,
    }
    if settings.runtime == "kubernetes":
        values |= {"HOME": f"{ROOT}/scratch/home", "USER": "isobench", **certificates(settings)}
    if settings.store_credentials is not None:
        values["ISOBENCH_STORE_CREDENTIALS"] = f"{ROOT}/{CREDENTIALS}"
    mounted = {mount["name"] for mount in mounts}
    for name, variable in (("mirrors", "ISOBENCH_MIRRORS"), ("pip", "ISOBENCH_PIP"), ("dataset", "ISOBENCH_DATASET")):
        if name in mounted:
            values[variable] = getattr(settings, name).path
    folders = [f"{ROOT}/{folder}" if folder else ROOT for folder in (source, target)]
    # -P: what lies in the folder that a container starts in is never imported by trusted code.
    return {
        "name": stage,
        "image": settings.runner_image,
        "command": ["python", "-P", "-m", "isobench_runner", stage, "--in", folders[0], "--out", folders[1]],
        "env": variables(values),
        "resources": merge_resources(settings.resources["trusted"], {}),
        "securityContext": _security(settings.trusted_uid),
        "volumeMounts": [*mounts, *shared_mounts(settings, "ca", "credentials")],
        **_pull(settings),
    }


def reporter(settings: PodSettings, job: str, request: str, mounts: Sequence[Json]) -> Json:
    """The main container: the only one whose termination message is read.

    Args:
        job: the Job's name, under which the store has its log.
    """
    container = trusted(settings, REPORTER, source="", target="report", request=request, mounts=mounts)
    path = TERMINATION_LOG if settings.runtime == "kubernetes" else f"{ROOT}/report/termination"
    container["env"] += variables({"ISOBENCH_ISOLATION": settings.isolation, "ISOBENCH_TERMINATION": path})
    if settings.node is None:
        node: Json = {"name": "ISOBENCH_NODE", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}
    else:
        node = {"name": "ISOBENCH_NODE", "value": settings.node}
    pod = {"name": "ISOBENCH_POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}
    container["env"] += [node, {"name": "ISOBENCH_JOB", "value": job}, pod]
    container["terminationMessagePath"] = expand(path, settings)
    container["terminationMessagePolicy"] = "File"
    return container


def untrusted(
    settings: PodSettings,
    name: str,
    *,
    image: str,
    interpreter: str = "python3",
    arguments: Sequence[str],
    mounts: Sequence[Json],
    resources: Json,
    env: Sequence[Json] = (),
    online: bool = False,
) -> Json:
    """What users or models wrote, under the harness in the user's image: no request, no store, no key, no token.

    Args:
        interpreter: what runs the harness: a name on the image's PATH, or a path inside it.
        arguments: the harness's, after its own path.
        env: the user's own variables.
        online: whether it reaches the index, and so gets its variables and certificates.
    """
    values: dict[str, str] = {
        "ISOBENCH_ROOT": settings.root,
        "ISOBENCH_ENVS": settings.environments.path,
        "HOME": f"{UNTRUSTED_TMP}/home",
        "TMPDIR": UNTRUSTED_TMP,
        "LANG": "C.UTF-8",
        "USER": "isobench",
    }
    if online and settings.runtime == "kubernetes":
        values |= {name: value for name, value in settings.trusted_env.items() if name in INDEX_VARIABLES}
        values |= certificates(settings)
    if settings.untrusted_path is not None:
        values["PATH"] = settings.untrusted_path
    if any(mount["name"] == "pip" for mount in mounts):
        values["ISOBENCH_PIP"] = settings.pip.path
    own = {one["name"] for one in env}
    return {
        "name": name,
        "image": image,
        "command": [interpreter, "-I", "-S", HARNESS, *arguments],
        "env": [*variables({name: value for name, value in values.items() if name not in own}), *env],
        "resources": resources,
        "securityContext": _security(settings.untrusted_uid),
        "volumeMounts": [*mounts, *(shared_mounts(settings, "ca") if online else [])],
    }
