"""The pod by which people look into the store of a namespace: trusted, of our image, without token, gone when it is no longer asked.

It exists for as long as a command of the command line, with the rights of whoever typed it; the operator knows nothing of it. Pure.
"""

from __future__ import annotations

from typing import Any

from . import containers, naming
from .pods import Deadlines, Placement, job
from .settings import PodSettings
from .volumes import mounts, volumes

CONTAINER = "store"
COMPONENT = "store-reader"


def visit(settings: PodSettings, *, namespace: str, name: str, seconds: int, write: bool = False) -> dict[str, Any]:
    """A pod that waits to be asked.

    Args:
        seconds: after which it ends by itself, whatever became of the command.
        write: whether it may change the store.
    """
    store = {"write": ("scratch", "store")} if write else {"write": ("scratch",), "read": ("store",)}
    container = containers.trusted(
        settings, CONTAINER, source="", target="scratch", request="", mounts=mounts(settings, **store)
    )
    container["command"] = ["sleep", str(seconds)]
    nobody = {"kind": "Pod", "metadata": {"name": name, "namespace": namespace, "uid": ""}}
    template = job(
        nobody, name=name, role="measure", attempt=1, settings=settings, containers=[container],
        volumes=volumes(settings, [container], []), deadlines=Deadlines(pod=seconds, job=seconds), placement=Placement(),
    )["spec"]["template"]  # fmt: skip
    labels = {
        "app.kubernetes.io/name": "isobench",
        "app.kubernetes.io/component": COMPONENT,
        "app.kubernetes.io/managed-by": naming.MANAGED_BY,
        naming.NETWORK_LABEL: "measure",
    }
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    # Killed at once when it is deleted: it holds nothing.
    spec = {**template["spec"], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
