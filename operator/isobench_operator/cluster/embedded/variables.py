"""Environment variables of containers: Kubernetes' `$(VAR)` rule, and what of the user's own environment a container may see.

Pure. The lists below are the only way by which a variable of the user's shell reaches a container.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

INDEX_VARIABLES = (
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS", "PIP_TRUSTED_HOST", "PIP_CERT", "PIP_DEFAULT_TIMEOUT", "PIP_CONFIG_FILE",
    "UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX",
)  # fmt: skip
NETWORK_VARIABLES = (
    "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "no_proxy", "all_proxy",
)  # fmt: skip
USER_VARIABLES = (
    "USER", "LOGNAME", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH", "GIT_SSH_COMMAND", "GIT_CONFIG_GLOBAL",
    "XDG_CONFIG_HOME", "XDG_DATA_HOME", "PYENV_ROOT", "UV_PYTHON_INSTALL_DIR",
)  # fmt: skip
DEVICE_VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "NVIDIA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES",
)  # fmt: skip
HUB_VARIABLES = ("HF_ENDPOINT", "HF_HUB_DISABLE_XET")
UNTRUSTED_PATH = "/usr/local/bin:/usr/bin:/bin"


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """Replace `$(NAME)` as Kubernetes does: `$$` is one `$`, and what is not known stays as it stands."""
    out: list[str] = []
    at = 0
    while at < len(text):
        following = text[at + 1 : at + 2]
        if text[at] != "$" or not following:
            out.append(text[at])
            at += 1
        elif following == "$":
            out.append("$")
            at += 2
        elif following == "(" and (end := text.find(")", at + 2)) >= 0:
            value = lookup(text[at + 2 : end])
            out.append(text[at : end + 1] if value is None else value)
            at = end + 1
        else:
            out.append(text[at : at + 2])
            at += 2
    return "".join(out)


def container_variables(
    declared: Iterable[Mapping[str, Any]],
    *,
    forced: Mapping[str, str],
    value_from: Callable[[Mapping[str, Any]], str | None],
) -> dict[str, str]:
    """The variables that a container's manifest gives it: each may name the ones before it.

    Args:
        declared: the container's `env`.
        forced: what the runtime says, whatever the manifest does.
        value_from: resolves a `valueFrom`; None where it is optional and missing.
    """
    values = dict(forced)
    for entry in declared:
        name = entry["name"]
        if name in forced:
            continue
        if "valueFrom" in entry:
            found = value_from(entry["valueFrom"])
            if found is not None:
                values[name] = found
        else:
            values[name] = expand(str(entry.get("value") or ""), values.get)
    return values


def _some(user: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    return {name: user[name] for name in names if name in user}


def trusted_base(user: Mapping[str, str], *, container: str, root: Path) -> dict[str, str]:
    """What a trusted container gets beneath its manifest's variables. `fetch` alone sees the user's home: git's configuration is there."""
    base = {
        "PATH": user.get("PATH", UNTRUSTED_PATH),
        "LANG": "C.UTF-8",
        "HOME": str(root / "scratch" / "home"),
        "TMPDIR": str(root / "scratch"),
        # No home may hold a trusted container's packages, whoever could write to it.
        "PYTHONNOUSERSITE": "1",
        "PYTHONUNBUFFERED": "1",
        **_some(user, NETWORK_VARIABLES),
    }
    if container == "publish":
        base |= _some(user, HUB_VARIABLES)
    if container == "fetch":
        base |= _some(user, (*INDEX_VARIABLES, *USER_VARIABLES))
    return base


def untrusted_base(user: Mapping[str, str], *, root: Path, offline: bool) -> dict[str, str]:
    """What an untrusted container gets: nothing of the user's environment but where packages come from, and which GPU to use."""
    base = {
        "PATH": UNTRUSTED_PATH,
        "LANG": "C.UTF-8",
        "HOME": str(root / "tmp" / "home"),
        "TMPDIR": str(root / "tmp"),
        **_some(user, DEVICE_VARIABLES),
    }
    return base if offline else base | _some(user, (*INDEX_VARIABLES, *NETWORK_VARIABLES))
