"""
/docs: the OpenAPI document as one plain page, without a script and without anything from elsewhere.
"""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Literal

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}"
    "h1{font-size:1.6rem}h2{margin-top:2.5rem;border-bottom:1px solid #bbb}h3{margin-bottom:.2rem}"
    "code{background:#f1f1f4;padding:.1rem .3rem;border-radius:3px}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;border-bottom:1px solid #ddd;padding:.25rem .75rem .25rem 0}"
    "summary{cursor:pointer}.m{font-weight:700}nav a{margin-right:1rem}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
CSP = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

Language = Literal["fr", "en"]
_WORDS = {
    "fr": {
        "title": "Interfaces de l'index",
        "intro": (
            "Chaque requête porte <code>Authorization: Bearer &lt;clé&gt;</code>. Le document lisible par une "
            'machine : <a href="/openapi.json">/openapi.json</a>. Les descriptions sont en anglais.'
        ),
        "parameters": "Paramètres",
        "body": "Corps",
        "answer": "Réponse",
        "required": "requis",
        "other": '<a href="/docs?lang=en" lang="en" hreflang="en">English</a>',
    },
    "en": {
        "title": "Interfaces of the index",
        "intro": (
            "Every request carries <code>Authorization: Bearer &lt;key&gt;</code>. The same for machines: "
            '<a href="/openapi.json">/openapi.json</a>.'
        ),
        "parameters": "Parameters",
        "body": "Body",
        "answer": "Answer",
        "required": "required",
        "other": '<a href="/docs?lang=fr" lang="fr" hreflang="fr">Français</a>',
    },
}


def page(openapi: Mapping[str, Any], language: Language) -> str:
    """Render every operation of an OpenAPI document."""
    words = _WORDS[language]
    by_tag: dict[str, list[str]] = {}
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            tag = operation.get("tags", ["service"])[0]
            by_tag.setdefault(tag, []).append(_operation(openapi, path, method, operation, words))
    sections = "".join(
        f"<section><h2>{escape(tag)}</h2>{''.join(rows)}</section>" for tag, rows in by_tag.items()
    )
    return (
        f'<!doctype html><html lang="{language}"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width"><title>{words["title"]}</title>'
        f"<style>{_STYLE}</style></head><body><nav>{words['other']}</nav>"
        f"<main><h1>{words['title']}</h1><p>{words['intro']}</p>{sections}</main></body></html>"
    )


def _operation(
    openapi: Mapping[str, Any], path: str, method: str, operation: Mapping[str, Any], words: Mapping[str, str]
) -> str:
    parts = [f'<h3><span class="m">{method.upper()}</span> <code>{escape(path)}</code></h3>']
    for paragraph in operation.get("description", operation.get("summary", "")).split("\n\n"):
        parts.append(f"<p>{escape(paragraph)}</p>")
    if parameters := operation.get("parameters"):
        rows = "".join(
            _row(openapi, item["name"], item.get("schema", {}), item.get("required", False), item, words)
            for item in parameters
        )
        parts.append(f"<details><summary>{words['parameters']}</summary><table>{rows}</table></details>")
    if body := _schema_of(operation.get("requestBody", {})):
        parts.append(_fields(openapi, words["body"], body, words))
    if answer := _schema_of(operation.get("responses", {}).get("200", {})):
        parts.append(_fields(openapi, words["answer"], answer, words))
    return "".join(parts)


def _fields(
    openapi: Mapping[str, Any], caption: str, schema: Mapping[str, Any], words: Mapping[str, str]
) -> str:
    rows = "".join(
        _row(openapi, name, item, required, item, words)
        for name, item, required in _properties(openapi, schema, "", ())
    )
    return f"<details><summary>{caption}</summary><table>{rows}</table></details>" if rows else ""


def _row(
    openapi: Mapping[str, Any],
    name: str,
    schema: Mapping[str, Any],
    required: bool,
    described: Mapping[str, Any],
    words: Mapping[str, str],
) -> str:
    note = escape(described.get("description", ""))
    if required:
        note = f"<strong>{words['required']}</strong> {note}"
    kind = escape(_type(openapi, schema))
    return f"<tr><th scope=row><code>{escape(name)}</code></th><td>{kind}</td><td>{note}</td></tr>"


def _properties(
    openapi: Mapping[str, Any], schema: Mapping[str, Any], prefix: str, seen: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any], bool]]:
    """The fields of a schema and of what it holds, as `identities[].members[].id`."""
    reference = schema.get("$ref", "")
    if reference in seen:
        return
    inside = (*seen, reference) if reference else seen
    resolved = _resolved(openapi, schema)
    for variant in resolved.get("anyOf", ()):
        yield from _properties(openapi, variant, prefix, inside)
    if isinstance(resolved.get("items"), Mapping):
        yield from _properties(openapi, resolved["items"], f"{prefix}[]", inside)
    for name, item in resolved.get("properties", {}).items():
        place = f"{prefix}.{name}" if prefix else name
        yield place, item, name in resolved.get("required", ())
        yield from _properties(openapi, item, place, inside)


def _schema_of(part: Mapping[str, Any]) -> Mapping[str, Any] | None:
    for content in part.get("content", {}).values():
        schema: Mapping[str, Any] | None = content.get("schema")
        return schema
    return None


def _type(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    resolved = _resolved(openapi, schema)
    if "anyOf" in resolved:
        return " | ".join(dict.fromkeys(_type(openapi, item) for item in resolved["anyOf"]))
    if "enum" in resolved:
        return " | ".join(map(str, resolved["enum"]))
    kind = resolved.get("type", "")
    if kind == "array":
        return f"[{_type(openapi, resolved.get('items', {}))}]"
    return " | ".join(kind) if isinstance(kind, list) else str(resolved.get("format", kind))


def _resolved(openapi: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref")
    if reference is None:
        return schema
    resolved: Mapping[str, Any] = openapi["components"]["schemas"][reference.rpartition("/")[2]]
    return resolved
