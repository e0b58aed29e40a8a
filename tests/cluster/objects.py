"""What the cluster holds before anybody uses it: a prepared node, and volumes that a claim finds at once. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .layout import Layout

GPU_LABELS = {
    "nvidia.com/gpu.product": "NVIDIA-Fake-100",
    "nvidia.com/gpu.memory": "81559",
    "nvidia.com/gpu.count": "2",
    "nvidia.com/gpu.family": "fake",
    "nvidia.com/gpu.compute.major": "9",
    "nvidia.com/gpu.compute.minor": "0",
    "nvidia.com/gpu.sharing-strategy": "none",
    "nvidia.com/mig.capable": "false",
}
"""As GPU-feature-discovery writes them."""


def storage_class() -> dict[str, Any]:
    """Volumes are there already and bind as soon as they are claimed."""
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "standard", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "Immediate",
    }


def volume(number: int, folder: Path) -> dict[str, Any]:
    """A folder of the node, writable by many pods: it is the only node."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": f"pv{number}"},
        "spec": {
            "capacity": {"storage": "50Gi"},
            "accessModes": ["ReadWriteMany", "ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": "standard",
            "hostPath": {"path": str(folder), "type": "Directory"},
        },
    }


def everything(layout: Layout) -> list[dict[str, Any]]:
    """All of it."""
    return [storage_class(), *(volume(number, folder) for number, folder in enumerate(layout.volumes()))]
