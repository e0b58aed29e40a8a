"""The images' files agree with the pods that run them; that they build and run is the end-to-end tests' to see."""

from __future__ import annotations

import re

import pytest

from isobench_operator.core.settings import RELEASE, PodSettings
from support.helm import ROOT, pick, render

pytestmark = pytest.mark.chart

DOCKERFILES = {
    name: (ROOT / "images" / name / "Dockerfile").read_text(encoding="utf-8") for name in ("operator", "runner")
}


def final(name: str) -> str:
    """The last stage."""
    return DOCKERFILES[name].rsplit("\nFROM ", 1)[1]


def test_each_runs_as_the_user_that_its_pods_ask_for() -> None:
    pod = pick(render(), "Deployment", "isobench-operator")["spec"]["template"]["spec"]
    assert f"USER {pod['securityContext']['runAsUser']}:" in final("operator")
    assert f"USER {PodSettings().trusted_uid}:" in final("runner")


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_last_stage_gets_the_environment_alone(name: str) -> None:
    copied = re.findall(r"^COPY (.*)$", final(name), re.MULTILINE)
    assert copied == ["--from=build /opt/isobench /opt/isobench"]
    assert "pip" not in final(name)


@pytest.mark.parametrize("name", DOCKERFILES)
def test_dependencies_are_the_locked_ones_by_hash_and_never_compiled(name: str) -> None:
    assert "uv export --quiet --frozen --no-dev" in DOCKERFILES[name]
    assert "--require-hashes --only-binary :all:" in DOCKERFILES[name]


@pytest.mark.parametrize("name", DOCKERFILES)
def test_the_base_is_an_argument_and_the_release_is_the_products(name: str) -> None:
    assert DOCKERFILES[name].count("\nFROM ${BASE}") == 2
    assert f"ARG VERSION={RELEASE}" in final(name)


def test_the_context_holds_what_is_copied_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    allowed = {line.removeprefix("!") for line in ignored if line.startswith("!")}
    for text in DOCKERFILES.values():
        build = text.rsplit("\nFROM ", 1)[0]
        copied = {word for line in re.findall(r"^COPY (.*) \S+$", build, re.MULTILINE) for word in line.split()}
        assert copied == allowed
