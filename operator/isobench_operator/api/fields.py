"""What every kind is made of: the base model and the constrained strings, numbers and maps.

Every string, list and map has a maximum, so that the API server can bound the cost of CEL rules and an object stays small enough for
etcd; numbers with a fraction are strings, because JSON's floats lose digits between clients. Nothing here knows a kind.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    SerializerFunctionWrapHandler,
    StrictBool,
    StrictInt,
    WithJsonSchema,
    model_serializer,
    model_validator,
)
from pydantic.alias_generators import to_camel
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError

GROUP = "isobench.dev"
VERSION = "v1alpha1"
API_VERSION: Final = "isobench.dev/v1alpha1"

Json = dict[str, Any]


class Rule(NamedTuple):
    """A CEL rule of the schema; the model that carries it checks the same in Python.

    Attributes:
        rule: the expression, over `self`.
        message: what the API server answers where it is false; CEL's own limit is 2,048 characters.
    """

    rule: str
    message: str


def one_of(names: tuple[str, ...]) -> str:
    """The words for a choice: a kind whose only choice there is today is told so."""
    return names[0] if len(names) == 1 else f"exactly one of {', '.join(names[:-1])} and {names[-1]}"


def _is_empty(value: object) -> bool:
    return isinstance(value, (dict, list, tuple)) and not value


class ApiModel(BaseModel):
    """A closed, frozen object: snake_case in Python, camelCase in JSON, absent where it holds nothing.

    A subclass may set ONE_OF to the JSON names of optional members of which exactly one has to be there (optional members and a rule:
    a tagged union cannot be a structural schema), and RULES to further CEL rules.
    """

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
    )

    ONE_OF: ClassVar[tuple[str, ...]] = ()
    RULES: ClassVar[tuple[Rule, ...]] = ()

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if self.ONE_OF:
            given = [info.alias for name, info in type(self).model_fields.items() if getattr(self, name) is not None]
            chosen = [name for name in self.ONE_OF if name in given]
            if len(chosen) != 1:
                raise PydanticCustomError(
                    "one_of",
                    "{names} is wanted, {found}",
                    {
                        "names": one_of(self.ONE_OF),
                        "found": f"not {' and '.join(chosen)} together" if chosen else "none is given",
                        "chosen": chosen,
                    },
                )
        return self

    @model_serializer(mode="wrap")
    def _without_nothing(self, handler: SerializerFunctionWrapHandler) -> Json:
        """Leave out what holds nothing: None, and what is empty where empty is the default."""
        body: Json = handler(self)
        fields = {info.alias or name: info for name, info in type(self).model_fields.items()}
        return {
            name: value
            for name, value in body.items()
            if value is not None and not (_is_empty(value) and name in fields and _empty_by_default(fields[name]))
        }

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        schema = handler.resolve_ref_schema(handler(core_schema))
        rules = list(cls.RULES)
        if cls.ONE_OF:
            members = ", ".join(f"has(self.{name})" for name in cls.ONE_OF)
            rules.insert(0, Rule(f"[{members}].exists_one(x, x)", f"{one_of(cls.ONE_OF)} is wanted"))
        if rules:
            schema["x-kubernetes-validations"] = [rule._asdict() for rule in rules]
        return schema

    def to_json(self) -> Json:
        """The object as the API server holds it."""
        return self.model_dump(mode="json")


def _empty_by_default(info: FieldInfo) -> bool:
    if info.is_required():
        return False
    default = info.get_default(call_default_factory=True, validated_data={})
    return _is_empty(default.to_json() if isinstance(default, ApiModel) else default)


Text = Annotated[str, Field(max_length=2048)]
"""Prose for people."""
Word = Annotated[str, Field(min_length=1, max_length=256)]
ShellLine = Annotated[str, Field(min_length=1, max_length=2048)]
Path = Annotated[str, Field(min_length=1, max_length=1024)]

Sha = Annotated[str, Field(pattern=r"^[0-9a-f]{40}$", max_length=40)]
"""A full commit sha: an abbreviated one may name two commits tomorrow."""
Digest = Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$", max_length=71)]
"""The name of something in the artifact store."""
Decimal = Annotated[str, Field(pattern=r"^-?[0-9]{1,15}(\.[0-9]{1,9})?$", max_length=26)]
"""A number with a fraction, as a string; its field's name holds the unit."""
DnsLabel = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", min_length=1, max_length=63)]
DnsName = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", min_length=1, max_length=253)]
"""A name of an object: DNS-1123 subdomain."""
ConfigKey = Annotated[str, Field(pattern=r"^[-._a-zA-Z0-9]+$", min_length=1, max_length=253)]
"""A key of a ConfigMap or Secret."""
Timestamp = Annotated[
    str,
    Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$", max_length=40),
    WithJsonSchema({"type": "string", "format": "date-time", "maxLength": 40}),
]
"""RFC 3339."""
Count = Annotated[StrictInt, Field(ge=0, le=2**53)]
"""A counter; the maximum is the largest integer that every JSON reader keeps."""
Flag = StrictBool

RevisionName = Literal["base", "head", "main"]

_QUANTITY = r"^([+]?[0-9]+(\.[0-9]+)?)(([KMGTPE]i)|[numkMGTPE]|([eE][-+]?[0-9]{1,3}))?$"


def _quantity(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Quantity = Annotated[
    str,
    BeforeValidator(_quantity),
    Field(pattern=_QUANTITY, min_length=1, max_length=32),
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": _QUANTITY,
            "maxLength": 32,
            "minimum": 0,
        }
    ),
]
"""An amount of a resource as Kubernetes writes it: 4, "500m", "16Gi"; never negative."""

_LABEL_KEY = re.compile(r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?")
LABEL_VALUE = r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$"
LabelValue = Annotated[str, Field(pattern=LABEL_VALUE, max_length=63)]
LabelKey = Annotated[str, Field(min_length=1, max_length=317)]


def is_label_key(key: str) -> bool:
    """Whether Kubernetes takes this as the key of a label, of a node selector or of a resource."""
    return _LABEL_KEY.fullmatch(key) is not None


def _label_keys(kind: str) -> Callable[[dict[str, str]], dict[str, str]]:
    def check(value: dict[str, str]) -> dict[str, str]:
        for key in value:
            if not is_label_key(key):
                raise PydanticCustomError("label_key", "{key} is no {kind}", {"key": repr(key), "kind": kind})
        return value

    return check


Labels = Annotated[dict[str, LabelValue], Field(max_length=32), AfterValidator(_label_keys("key of a label"))]
Quantities = Annotated[dict[str, Quantity], Field(max_length=16), AfterValidator(_label_keys("name of a resource"))]


class LocalRef(ApiModel):
    """The name of an object in the same namespace."""

    name: DnsName


class KeyRef(ApiModel):
    """A key of a ConfigMap or Secret in the same namespace."""

    name: DnsName
    key: ConfigKey


class TextRef(ApiModel):
    """A text beside the object: a key of a ConfigMap (in a manifest on disk also `file: path`)."""

    config_map_key_ref: KeyRef


class FolderRef(ApiModel):
    """Several texts beside the object: a whole ConfigMap (in a manifest on disk also `folder: path`)."""

    config_map_ref: LocalRef


class ObjectMeta(ApiModel):
    """The part of `metadata` that decisions read; whatever else the API server keeps there passes through."""

    model_config = ConfigDict(extra="allow")

    name: DnsName
    namespace: DnsLabel | None = None
    uid: str | None = None
    generation: int | None = None
    resource_version: str | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: Labels = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)
