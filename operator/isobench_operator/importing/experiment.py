"""experiments.yaml as ISO-Bench has it, read leniently into one value; a folder of extractions is an experiment without settings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from isobench_operator.errors import IsobenchError

_KNOWN = {
    "repo_path", "extractions_dir", "use_docker", "docker_image", "dataset_name", "hf_repo", "push_to_hf", "setup_commands",
    "install_commands", "api", "notes", "llm_provider", "llm_model", "llm_temperature", "llm_max_tokens",
}  # fmt: skip


class ImportFailure(IsobenchError):  # noqa: N818 - it ends an import, and is named after that
    """Nothing can be imported; the text names file, field, value and remedy."""


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """What one experiments.yaml asks for.

    Attributes:
        repository: a URL or an absolute path, None where only the extractions can tell.
        image: None where no container is used.
        ignored: keys that mean nothing here.
    """

    name: str
    extractions: Path
    repository: str | None = None
    image: str | None = None
    setup: tuple[str, ...] = ()
    install: tuple[str, ...] = ()
    api: str | None = None
    notes: str | None = None
    provider: str | None = None
    model: str | None = None
    temperature: str | None = None
    max_tokens: int | None = None
    publish: str | None = None
    ignored: tuple[str, ...] = ()


def _text(body: dict[str, Any], key: str, source: Path) -> str | None:
    value = body.get(key)
    if value is None or value == "":
        return None
    if isinstance(value, dict | list):
        raise ImportFailure(f"{source}: {key}: a string is wanted, not {value!r:.80}")
    return str(value).strip() or None


def _lines(body: dict[str, Any], key: str, source: Path) -> tuple[str, ...]:
    value = body.get(key)
    if value is None:
        return ()
    if isinstance(value, str):
        value = value.splitlines()
    if not isinstance(value, list) or not all(isinstance(line, str) for line in value):
        raise ImportFailure(f"{source}: {key}: a list of shell lines is wanted, not {value!r:.80}")
    return tuple(line.strip() for line in value if line.strip())


def _flag(body: dict[str, Any], key: str, source: Path) -> bool:
    value = body.get(key, False)
    if isinstance(value, bool) or value is None:
        return bool(value)
    raise ImportFailure(f"{source}: {key}: true or false is wanted, not {value!r:.80}")


def _place(text: str, source: Path) -> Path:
    """A path of the file: beside it, above it (the file often lies in `configs/`), or in the working directory."""
    path = Path(text).expanduser()
    if path.is_absolute():
        return path
    known = [root / path for root in (source.parent, source.parent.parent, Path.cwd())]
    return next((place for place in known if place.exists()), known[0]).resolve()


def is_remote(text: str) -> bool:
    """Whether a repository is named by a URL or an scp-like address."""
    return "://" in text or (":" in text.partition("/")[0] and not text.startswith((".", "/", "~")))


def _read_yaml(path: Path) -> dict[str, Any]:
    try:
        body = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise ImportFailure(f"{path}: {error.strerror}; name an experiments.yaml or a folder of extractions") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        raise ImportFailure(f"{path}:{where} {getattr(error, 'problem', None) or error}") from error
    if not isinstance(body, dict):
        raise ImportFailure(f"{path}: an experiments.yaml is a mapping, this is {type(body).__name__}")
    return body


def read_experiment(path: Path, *, repository: str | None = None) -> Experiment:
    """Read an experiments.yaml, or take a folder of extractions.

    Args:
        repository: overrides what the file says.

    Raises:
        ImportFailure: no such file, no YAML, a field of the wrong kind, no folder of extractions.
    """
    if repository is not None and not is_remote(repository):
        repository = str(Path(repository).expanduser().resolve())
    if path.is_dir():
        return Experiment(name=path.resolve().name, extractions=path.resolve(), repository=repository)
    body = _read_yaml(path)
    folder = _text(body, "extractions_dir", path)
    if folder is None:
        raise ImportFailure(f"{path}: extractions_dir is missing: name the folder of extraction JSONs")
    extractions = _place(folder, path)
    if not extractions.is_dir():
        raise ImportFailure(f"{path}: extractions_dir: {folder!r} is no folder (looked at {extractions})")
    repo = _text(body, "repo_path", path)
    use_docker = _flag(body, "use_docker", path)
    image = _text(body, "docker_image", path) if use_docker else None
    if use_docker and image is None:
        raise ImportFailure(
            f"{path}: use_docker is true, but docker_image is empty; name the image or set use_docker: false"
        )
    tokens = body.get("llm_max_tokens")
    experiment = Experiment(
        name=_text(body, "dataset_name", path) or path.stem,
        extractions=extractions,
        repository=repository or (None if repo is None else repo if is_remote(repo) else str(_place(repo, path))),
        image=image,
        setup=_lines(body, "setup_commands", path),
        install=_lines(body, "install_commands", path),
        api=_text(body, "api", path),
        notes=_text(body, "notes", path),
        provider=_text(body, "llm_provider", path),
        model=_text(body, "llm_model", path),
        temperature=_text(body, "llm_temperature", path),
        max_tokens=tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None,
        ignored=tuple(sorted(set(map(str, body)) - _KNOWN)),
    )
    target = _text(body, "hf_repo", path)
    return replace(experiment, publish=target) if _flag(body, "push_to_hf", path) else experiment
