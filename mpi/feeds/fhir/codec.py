"""
A resource from XML to JSON and back. Everything else in this project knows resources as JSON.

Narratives are not carried: nothing here reads them, and this index writes none.

Source: FHIR R4 xml.html, json.html.
"""

import re
from collections.abc import Mapping
from typing import Any, Final
from xml.sax.saxutils import quoteattr

from mpi.errors import UnreadableMessage
from mpi.feeds.fhir import xml
from mpi.feeds.fhir.definitions import ANY_RESOURCE, NARRATIVE, RESOURCES, Item, elements

_DECLARATION: Final = '<?xml version="1.0" encoding="UTF-8"?>\n'
_BOOLEANS: Final = {"true": True, "false": False}
_WHOLE: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_DECIMAL: Final = re.compile(r"-?\d{1,18}(?:\.\d{1,18})?(?:[eE][+-]?\d{1,2})?", re.ASCII)
_NO_CHARACTER: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""


def from_xml(raw: bytes) -> dict[str, Any]:
    """
    Read a resource.

    Raises:
        UnreadableMessage: it cannot be read (`xml.parse`), is not of `RESOURCES`, or holds what R4 does not define.
    """
    return _resource(xml.parse(raw), "body")


def to_xml(resource: Mapping[str, Any]) -> bytes:
    """Write a resource; elements that R4 does not define are left out."""
    out = [_DECLARATION]
    _write_resource(resource, out, namespace=f' xmlns="{xml.FHIR_NAMESPACE}"')
    return "".join(out).encode()


# ------------------------------------------------------------------------------- reading


def _resource(element: xml.XmlElement, path: str) -> dict[str, Any]:
    if element.name not in RESOURCES:
        raise UnreadableMessage(path, "not a resource that is taken in XML")
    return {"resourceType": element.name, **_content(element, element.name, element.name)}


def _content(element: xml.XmlElement, type_name: str, path: str) -> dict[str, Any]:
    """The JSON members of an element."""
    items = elements(type_name)
    content: dict[str, Any] = {
        name: element.attributes[name]
        for name, item in items.items()
        if item.is_attribute and name in element.attributes
    }
    for child in element.children:
        item = items.get(child.name)
        if item is None or item.is_attribute:
            raise UnreadableMessage(path, "holds an element that R4 does not define there")
        if item.kind == NARRATIVE:
            continue
        if not item.is_list and (item.name in content or f"_{item.name}" in content):
            raise UnreadableMessage(f"{path}.{item.name}", "given more than once")
        _add(content, item, child, f"{path}.{item.name}")
    return content


def _add(content: dict[str, Any], item: Item, child: xml.XmlElement, path: str) -> None:
    if item.kind == ANY_RESOURCE:
        if len(child.children) != 1:
            raise UnreadableMessage(path, "expected one resource")
        _put(content, item, _resource(child.children[0], path))
    elif not item.is_primitive:
        _put(content, item, _content(child, item.kind, path))
    else:
        value = _value(child, item, path)
        beside = _content(_without_value(child), "Element", path)
        if item.is_list:
            _put_in_step(content, item.name, value, beside)
            return
        if value is not None:
            content[item.name] = value
        if beside:
            content[f"_{item.name}"] = beside


def _put(content: dict[str, Any], item: Item, value: Any) -> None:
    if item.is_list:
        content.setdefault(item.name, []).append(value)
    else:
        content[item.name] = value


def _put_in_step(content: dict[str, Any], name: str, value: Any, beside: dict[str, Any]) -> None:
    """A primitive of a list; what stands beside the values is a list of the same length, when there is any."""
    values = content.setdefault(name, [])
    extras = content.get(f"_{name}")
    if beside and extras is None:
        extras = content[f"_{name}"] = [None] * len(values)
    values.append(value)
    if extras is not None:
        extras.append(beside or None)


def _without_value(element: xml.XmlElement) -> xml.XmlElement:
    attributes = {name: text for name, text in element.attributes.items() if name != "value"}
    return xml.XmlElement(element.name, attributes, element.children)


def _value(element: xml.XmlElement, item: Item, path: str) -> Any:
    text = element.attributes.get("value")
    if text is None or item.kind == "str":
        return text
    if item.kind == "bool" and text in _BOOLEANS:
        return _BOOLEANS[text]
    if item.kind == "int" and _WHOLE.fullmatch(text):
        return int(text)
    if item.kind == "float" and _DECIMAL.fullmatch(text):
        return float(text)
    raise UnreadableMessage(path, f"not a value of its type ({item.kind})")


# ------------------------------------------------------------------------------- writing


def _write_resource(resource: Mapping[str, Any], out: list[str], *, namespace: str = "") -> None:
    name = resource["resourceType"]
    out.append(f"<{name}{namespace}>")
    _write_content(resource, name, out)
    out.append(f"</{name}>")


def _write_content(content: Mapping[str, Any], type_name: str, out: list[str]) -> None:
    for name, item in elements(type_name).items():
        if item.is_attribute or item.kind == NARRATIVE:
            continue
        values = _listed(content.get(name), item)
        extras = _listed(content.get(f"_{name}"), item) if item.is_primitive else []
        for at in range(max(len(values), len(extras))):
            value = values[at] if at < len(values) else None
            beside = (extras[at] if at < len(extras) else None) or {}
            _write(item, value, beside, out)


def _listed(value: Any, item: Item) -> list[Any]:
    if value is None:
        return []
    return value if item.is_list else [value]


def _write(item: Item, value: Any, beside: Mapping[str, Any], out: list[str]) -> None:
    if item.kind == ANY_RESOURCE:
        out.append(f"<{item.name}>")
        _write_resource(value, out)
        out.append(f"</{item.name}>")
        return
    kind = "Element" if item.is_primitive else item.kind
    content = beside if item.is_primitive else value
    attributes = "".join(
        f" {name}={_quoted(content[name])}"
        for name, each in elements(kind).items()
        if each.is_attribute and name in content
    )
    if item.is_primitive and value is not None:
        attributes += f" value={_quoted(_text(value))}"
    inside: list[str] = []
    _write_content(content, kind, inside)
    out.append(f"<{item.name}{attributes}>" if inside else f"<{item.name}{attributes}/>")
    if inside:
        out.extend((*inside, f"</{item.name}>"))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _quoted(text: str) -> str:
    return quoteattr(_NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text))
