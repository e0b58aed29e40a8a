"""The Jobs as a cluster gets them, in tests/data/pods/: read them as an attacker would. `make golden` writes them anew.

Two releases: `plain`, the chart's defaults with a Commit whose test is written by a model; `full`, every setting and every override.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from isobench_operator.core.settings import CaBundle, PodSettings, Settings

from .builders import SETTINGS, commit, generated
from .jobs import RICH, jobs_of

FOLDER = Path(__file__).resolve().parents[1] / "data" / "pods"
FULL = replace(
    SETTINGS,
    pods=PodSettings(
        pull_policy="Always",
        pull_secrets=("mirror",),
        store_url="s3://bench/isobench",
        store_credentials="s3",
        ca_bundle=CaBundle(config_map="ca", key="ca.crt"),
        trusted_env={"HTTPS_PROXY": "http://proxy.example:3128", "PIP_INDEX_URL": "https://pypi.example/simple"},
        ttl_seconds=86400,
        host_users=False,
        priority_class="isobench-jobs",
    ),
)
ONE_HOST = replace(SETTINGS, pods=PodSettings(one_host=True))


class _Dumper(yaml.SafeDumper):
    """Without anchors: equal parts are written out each time."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _jobs(owner: dict[str, Any], settings: Settings, *only: str) -> dict[str, dict[str, Any]]:
    return {role: job for role, job in jobs_of(owner, settings).items() if not only or role in only}


def files() -> dict[str, str]:
    """The text of every file, by its path below FOLDER."""
    rich = generated(spec={**RICH, "environment": {"requires": {"gpuComputeCapability": "8.6", "gpuMemoryGiB": 40}}})
    rich["spec"]["pod"]["queueName"] = "gpus"
    found = {
        "plain": _jobs(generated(), SETTINGS),
        "full": _jobs(rich, FULL),
        "one-host": _jobs(commit(), ONE_HOST, "prepare-head", "head"),
    }
    return {
        f"{case}/{role}.yaml": yaml.dump(job, Dumper=_Dumper, sort_keys=False, width=160, allow_unicode=True)
        for case, jobs in found.items()
        for role, job in jobs.items()
    }


def main() -> None:
    """Write every file, and remove those that are no longer among them."""
    wanted = {FOLDER / name: text for name, text in files().items()}
    for path in FOLDER.glob("*/*.yaml"):
        if path not in wanted:
            path.unlink()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(wanted)} files in {FOLDER}\n")


if __name__ == "__main__":
    main()
