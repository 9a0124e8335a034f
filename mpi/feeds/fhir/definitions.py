"""
The elements of R4 types, in the order of their definitions: what XML needs to know, and JSON does not.

Taken from the models of fhir.resources when a type is first asked for, because they are slow to import and
callers of JSON never need them.

Source: FHIR R4 xml.html; StructureDefinitions of 4.0.1, as fhir.resources has them (R4B).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from types import MappingProxyType, UnionType
from typing import Annotated, Any, Final, Union, get_args, get_origin

RESOURCES: Final = frozenset(
    {
        *("AuditEvent", "Bundle", "CapabilityStatement", "MessageHeader", "OperationOutcome", "Parameters"),
        *("Patient", "Person", "RelatedPerson", "Subscription"),
    }
)
"""Resources that are read or written in XML."""
ANY_RESOURCE: Final = "Resource"
NARRATIVE: Final = "Narrative"


@dataclass(frozen=True, slots=True)
class Item:
    """
    One element of a type.

    Args:
        kind: `str`, `bool`, `int` or `float` for a primitive, else the name of its type.
        is_attribute: XML writes it as an attribute of the element it belongs to.
    """

    name: str
    kind: str
    is_list: bool
    is_attribute: bool

    @property
    def is_primitive(self) -> bool:
        """Whether its value stands in a `value` attribute."""
        return self.kind in _PRIMITIVE_KINDS


_PRIMITIVES: Final = {bool: "bool", int: "int", Decimal: "float", float: "float"}
_PRIMITIVE_KINDS: Final = frozenset({*_PRIMITIVES.values(), "str"})


@lru_cache(maxsize=256)
def elements(type_name: str) -> Mapping[str, Item]:
    """The elements of a type, in order."""
    from fhir.resources.R4B import get_fhir_model_class

    model: Any = get_fhir_model_class(type_name)
    by_alias = {field.alias or name: field for name, field in model.model_fields.items()}
    is_resource = type_name in RESOURCES
    found = {}
    for name in model.elements_sequence():
        kind, is_list = _kind(by_alias[name].annotation)
        is_attribute = (name == "id" and not is_resource) or (name == "url" and type_name == "Extension")
        found[name] = Item(name, kind, is_list, is_attribute)
    return MappingProxyType(found)


def _kind(annotation: Any) -> tuple[str, bool]:
    """The kind of an annotation such as `Optional[List[HumanNameType]]`, and whether it is a list."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _kind(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return _kind(next(part for part in get_args(annotation) if part is not type(None)))
    if origin is list:
        return _kind(get_args(annotation)[0])[0], True
    name = getattr(annotation, "__name__", "")
    if name.endswith("Type") and name[:1].isupper():
        return name.removesuffix("Type"), False
    return _PRIMITIVES.get(annotation, "str"), False
