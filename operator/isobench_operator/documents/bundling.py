"""A Bundle as text for `kubectl apply`: what a disk may say is already written out, and Secrets are named, never written."""

from __future__ import annotations

import json
import re
from typing import Any

import yaml

from isobench_operator.api import KINDS

from .references import Reference, references
from .resources import MAX_CONFIG_MAP, Bundle, Json


class BundleError(ValueError):
    """A bundle that no cluster could hold; the text names the resource and the remedy."""


class _Dumper(yaml.SafeDumper):
    """Block style for texts of several lines, and no anchors."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - as PyYAML calls it
        return True


_ODD_BREAKS = re.compile("[\r\x85\u2028\u2029]")
"""Line breaks to YAML beside the newline: outside double quotes, where they are escaped, a reader may fold them into another."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if _ODD_BREAKS.search(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dump(resource: Json) -> str:
    """One resource as YAML, its fields in their order."""
    return yaml.dump(resource, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def bundle(bundle: Bundle) -> str:
    """Every ConfigMap, Commit and Dataset, with a header that names the Secrets that have to exist.

    Raises:
        BundleError: a repository is a path on this machine, or a ConfigMap holds over 1 MiB even without old_content.
    """
    resources = [*bundle.commits, *bundle.datasets]
    for commit in bundle.commits:
        url = commit["spec"]["repository"]["url"]
        if url.startswith(("/", "file://")):
            name = commit["metadata"]["name"]
            msg = (
                f"Commit {name}: spec.repository.url: {url}: a cluster cannot see this path; push it, and name its URL"
            )
            raise BundleError(msg)
    extractions = {(one.name, one.key) for commit in bundle.commits for one in _extractions(commit)}
    config_maps = [_config_map(name, texts, extractions) for name, texts in bundle.config_maps.items()]
    return "---\n".join([_header(bundle), *map(dump, [*config_maps, *resources])])


def _extractions(commit: Json) -> list[Reference]:
    wanted = ("spec", "extraction")
    return [one for one in references(KINDS["Commit"], commit) if one.path[:2] == wanted]


def _config_map(name: str, texts: Any, extractions: set[tuple[str, str | None]]) -> Json:
    data = {key: _without_old_content(text) if (name, key) in extractions else text for key, text in texts.items()}
    size = sum(len(key) + len(text.encode()) for key, text in data.items())
    if size > MAX_CONFIG_MAP:
        msg = f"ConfigMap {name}: {size:,} bytes, and a cluster holds {MAX_CONFIG_MAP:,}; name fewer or smaller files"
        raise BundleError(msg)
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def _without_old_content(text: str) -> str:
    """An extraction without the files as they were, which the repository gives back; what is no JSON stays as it is."""
    try:
        return json.dumps(_pruned(json.loads(text)), ensure_ascii=False, indent=1)
    except (ValueError, RecursionError):
        return text


def _pruned(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _pruned(item) for key, item in value.items() if key != "old_content"}
    return [_pruned(item) for item in value] if isinstance(value, list) else value


def _header(bundle: Bundle) -> str:
    wanted: dict[str, set[str]] = {}
    for kind, resources in (("Commit", bundle.commits), ("Dataset", bundle.datasets)):
        for resource in resources:
            for one in references(KINDS[kind], resource):
                if one.kind == "Secret":
                    wanted.setdefault(one.name, set()).update([one.key] if one.key else [])
            for name in _pull_secrets(resource):
                wanted.setdefault(name, set())
    lines = ["# Written by `isobench bundle`."]
    lines += ["# These Secrets have to exist in the namespace:"] if wanted else ["# No Secret is needed."]
    for name, keys in sorted(wanted.items()):
        variable = bundle.variables.get(name)
        if variable:
            lines.append(f'#   kubectl create secret generic {name} --from-literal={variable}="${variable}"')
        else:
            lines.append(f"#   {name} with {', '.join(sorted(keys))}" if keys else f"#   {name}")
    return "\n".join(lines) + "\n"


def _pull_secrets(resource: Json) -> list[str]:
    return [one["name"] for one in resource["spec"].get("pod", {}).get("imagePullSecrets", [])]
