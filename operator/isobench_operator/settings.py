"""The operator's configuration: one YAML file, read once, everything that is wrong with it said at once.

The chart renders it from its values; `core.settings` is what decisions get of it. Nothing else reads the environment or the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import Field, StrictBool, StrictInt, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from .api.fields import ApiModel, DnsLabel, DnsName, Quantities
from .core.policies.deadlines import patience
from .core.settings import CaBundle, PodSettings, Settings, claimed
from .documents.errors import DocumentError, DocumentErrors
from .documents.nodes import Document, Place, read
from .documents.words import explain
from .errors import IsobenchError

DEFAULT_PATH = Path("/etc/isobench/config.yaml")
MIN_KEY = 16
CONTAINERS = ("trusted", "build", "unpack", "measure")

Image = Annotated[str, Field(min_length=1, max_length=512)]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
EnvName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=256)]
Namespaces = tuple[DnsLabel, ...]


class Watch(ApiModel):
    """Where Commits are looked at; null is everywhere."""

    namespaces: Namespaces | None = None


class Images(ApiModel):
    """The image of trusted containers."""

    runner: Image = PodSettings.runner_image
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    pull_secrets: tuple[DnsName, ...] = ()


class Environment(ApiModel):
    """The image of untrusted containers of a Commit that names none."""

    default_image: Image = PodSettings.default_image


class Artifacts(ApiModel):
    """The artifact store: a claim in every work namespace, or an URL."""

    url: Annotated[str, Field(pattern=r"^(s3|gs|az|abfs)://.+$", max_length=1024)] | None = None
    claim: DnsName | None = None
    access_mode: Literal["ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"] = "ReadWriteMany"
    credentials_secret: DnsName | None = None

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if self.url and self.claim:
            raise PydanticCustomError(
                "two_stores", "url and claim are two stores", {"remedy": "set one of them to null"}
            )
        if self.credentials_secret and not self.url:
            raise PydanticCustomError(
                "no_url", "credentialsSecret is of a store behind an url", {"remedy": "set it to null, or url"}
            )
        if self.access_mode == "ReadWriteOncePod":
            raise PydanticCustomError(
                "one_pod", "ReadWriteOncePod is for one pod, and a Commit has several", {"remedy": "use ReadWriteMany"}
            )
        return self


class Amounts(ApiModel):
    """Requests and limits of a container."""

    requests: Quantities = Field(default_factory=dict)
    limits: Quantities = Field(default_factory=dict)


class Resources(ApiModel):
    """By container; one that is left out has its default."""

    trusted: Amounts | None = None
    build: Amounts | None = None
    unpack: Amounts | None = None
    measure: Amounts | None = None


class CaBundleFile(ApiModel):
    """Certificates, in a ConfigMap of every work namespace."""

    config_map: DnsName
    key: Annotated[str, Field(min_length=1, max_length=253)] = "ca.crt"


class Builds(ApiModel):
    """Whether builds keep off hosts that are measuring."""

    affinity: Literal["preferred", "required"] = "preferred"


class ServiceAccounts(ApiModel):
    """Of pods in work namespaces."""

    run: DnsName = "isobench-run"
    collect: DnsName = "isobench-collect"


class Jobs(ApiModel):
    """Of every Job; waiting_seconds is how long one that cannot run is waited for, where somebody has to act."""

    backoff_limit: Annotated[StrictInt, Field(ge=0, le=20)] = 2
    ttl_seconds: Annotated[StrictInt, Field(ge=0, le=2**31 - 1)] | None = None
    waiting_seconds: Annotated[StrictInt, Field(ge=60, le=30 * 86400)] = int(Settings.waiting_seconds)


class Logging(ApiModel):
    """Of the operator itself."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class Metrics(ApiModel):
    """Where /metrics is served."""

    port: Port = 9090


class Health(ApiModel):
    """Where /healthz is served."""

    port: Port = 8080


class ConfigFile(ApiModel):
    """The file as it is written."""

    watch: Watch = Watch()
    work_namespaces: Namespaces | None = None
    nonce_key_file: Annotated[str, Field(min_length=1, max_length=4096)] = "/etc/isobench/nonce/key"
    images: Images = Images()
    environment: Environment = Environment()
    artifacts: Artifacts = Artifacts()
    resources: Resources = Resources()
    gpus: Annotated[StrictInt, Field(ge=0, le=64)] = 1
    trusted_env: Annotated[dict[EnvName, Annotated[str, Field(max_length=32768)]], Field(max_length=100)] = Field(
        default_factory=dict
    )
    ca_bundle: CaBundleFile | None = None
    builds: Builds = Builds()
    host_users: StrictBool | None = None
    priority_class_name: DnsName | None = None
    service_accounts: ServiceAccounts = ServiceAccounts()
    jobs: Jobs = Jobs()
    logging: Logging = Logging()
    metrics: Metrics = Metrics()
    health: Health = Health()


class SettingsError(IsobenchError):
    """A configuration that cannot be used; the lines say field, value and remedy."""


@dataclass(frozen=True, kw_only=True)
class OperatorSettings:
    """The configuration in use.

    Attributes:
        decisions: what `core` gets.
        namespaces: where Commits are watched; None for everywhere.
    """

    decisions: Settings
    namespaces: tuple[str, ...] | None
    log_level: str
    log_format: Literal["json", "text"]
    metrics_port: int
    health_port: int


def load(path: Path) -> OperatorSettings:
    """Read the configuration.

    Raises:
        SettingsError: the file, a field of it or the key cannot be used; everything that is wrong is said.
    """
    documents, errors = read(path)
    if not errors and len(documents) > 1:
        errors = [DocumentError(file=path, message="holds several documents", remedy="keep one")]
    if errors:
        raise SettingsError(str(DocumentErrors(errors)))
    document = documents[0] if documents else Document(file=path, data={}, place=Place(1, 1))
    try:
        found = ConfigFile.model_validate(document.data)
    except ValidationError as error:
        raise SettingsError(str(DocumentErrors(explain(error, document, ConfigFile)))) from error
    if found.watch.namespaces is not None and found.work_namespaces is not None:
        unseen = sorted(set(found.work_namespaces) - set(found.watch.namespaces))
        if unseen:
            wrong = document.error(
                ("workNamespaces",), "has namespaces that are not watched", "add them to watch.namespaces", value=unseen
            )
            raise SettingsError(str(wrong))
    return OperatorSettings(
        decisions=Settings(
            secret=_key(Path(found.nonce_key_file)),
            pods=_pods(found),
            namespaces=None if found.work_namespaces is None else frozenset(found.work_namespaces),
            waiting_seconds=float(found.jobs.waiting_seconds),
        ),
        namespaces=found.watch.namespaces,
        log_level=found.logging.level,
        log_format=found.logging.format,
        metrics_port=found.metrics.port,
        health_port=found.health.port,
    )


def client_settings(text: str) -> PodSettings:
    """How Jobs become pods, out of the copy of the configuration that the chart leaves in each work namespace.

    Raises:
        SettingsError: it is of another release.
    """
    try:
        return _pods(ConfigFile.model_validate(yaml.safe_load(text) or {}))
    except (ValidationError, yaml.YAMLError) as error:
        raise SettingsError(f"ConfigMap isobench: {error}; is `isobench` of the chart's release?") from error


def _key(path: Path) -> str:
    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"nonceKeyFile: {path} cannot be read: {error}; mount the chart's Secret there") from error
    if len(key) < MIN_KEY:
        raise SettingsError(
            f"nonceKeyFile: {path} holds {len(key)} characters; at least {MIN_KEY} are wanted, as `openssl rand -hex 32` makes them"
        )
    return key


def _pods(found: ConfigFile) -> PodSettings:
    pods = PodSettings(
        runner_image=found.images.runner,
        pull_policy=found.images.pull_policy,
        pull_secrets=found.images.pull_secrets,
        default_image=found.environment.default_image,
        store_url=found.artifacts.url,
        store_credentials=found.artifacts.credentials_secret,
        one_host=found.artifacts.url is None and found.artifacts.access_mode == "ReadWriteOnce",
        ca_bundle=CaBundle(config_map=found.ca_bundle.config_map, key=found.ca_bundle.key) if found.ca_bundle else None,
        trusted_env=found.trusted_env,
        gpus=found.gpus,
        service_account=found.service_accounts.run,
        collect_service_account=found.service_accounts.collect,
        backoff_limit=found.jobs.backoff_limit,
        ttl_seconds=found.jobs.ttl_seconds,
        host_users=found.host_users,
        priority_class=found.priority_class_name,
        build_affinity=found.builds.affinity,
        patience_seconds=patience(found.jobs.waiting_seconds),
    )
    resources: dict[str, Mapping[str, Mapping[str, str]]] = dict(pods.resources)
    for name in CONTAINERS:
        given: Amounts | None = getattr(found.resources, name)
        if given is not None:
            resources[name] = {"requests": given.requests, "limits": given.limits}
    store = claimed(found.artifacts.claim) if found.artifacts.claim is not None else pods.store
    return replace(pods, resources=resources, store=store)
