"""This file shows the OpenAPI document as one page that needs no script, no font and no host but this one."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import msgspec

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --quiet: #888; --mark: #2a6fb0; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 70rem; padding: 1rem 2rem 6rem; }
h1 { margin-bottom: 0; }
h2 { border-bottom: 1px solid var(--line); margin-top: 3rem; padding-bottom: .3rem; }
a { color: var(--mark); text-decoration: none; }
a:hover { text-decoration: underline; }
code { font: 13px ui-monospace, monospace; }
nav ul { columns: 16rem; list-style: none; padding: 0; }
details { border-bottom: 1px solid var(--line); padding: .4rem 0; }
summary { cursor: pointer; }
summary code { overflow-wrap: anywhere; }
summary b { display: inline-block; font: bold 12px ui-monospace, monospace; width: 4.5rem; }
summary span { color: var(--quiet); padding-left: .6rem; }
details[open] { padding-bottom: 1.5rem; }
h4 { margin: 1rem 0 .2rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-top: 1px solid var(--line); padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top; }
th { font-weight: normal; width: 16rem; overflow-wrap: anywhere; }
td.kind { width: 14rem; }
small { color: var(--quiet); }
"""
_STYLE_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)

_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "maxItems": "at most {} items",
    "pattern": "like {}",
}
_JSON = "application/json"


def page(document: Mapping[str, Any], *, document_at: str) -> str:
    """The whole document as HTML."""
    info, tags = document["info"], document["tags"]
    return "".join(
        [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}</title>',
            f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style>',
            f"<h1>{escape(info['title'])}</h1><small>{escape(info['version'])}</small>{_prose(info['description'])}",
            f'<p>For programs: <a href="{escape(document_at)}">OpenAPI {escape(document["openapi"])}</a>.</p>',
            _authentication(document["components"]["securitySchemes"]),
            "<nav><ul>",
            *(f'<li><a href="#{_anchor(tag["name"])}">{escape(tag["name"])}</a>' for tag in tags),
            '<li><a href="#types">Types</a></ul></nav>',
            *(_section(tag, document["paths"]) for tag in tags),
            '<h2 id="types">Types</h2>',
            *(_type(name, schema) for name, schema in document["components"]["schemas"].items()),
            "</html>",
        ]
    )


def _authentication(schemes: Mapping[str, Any]) -> str:
    rows = [
        _row(name, scheme.get("in", scheme.get("scheme", "")), f"{scheme.get('name', '')} {scheme['description']}")
        for name, scheme in schemes.items()
    ]
    return f"<h4>How a request says who makes it</h4><table>{''.join(rows)}</table>"


def _section(tag: Mapping[str, Any], paths: Mapping[str, Any]) -> str:
    operations = "".join(
        _operation(method, path, operation)
        for path, by_method in paths.items()
        for method, operation in by_method.items()
        if tag["name"] in operation["tags"]
    )
    return f'<h2 id="{_anchor(tag["name"])}">{escape(tag["name"])}</h2>{_prose(tag["description"])}{operations}'


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f'<details id="{operation["operationId"]}"><summary><b>{method.upper()}</b><code>{escape(path)}</code>',
        f"<span>{_marked(operation['summary'])}</span></summary>{_prose(operation['description'])}",
    ]
    if operation["parameters"]:
        parts.append(f"<h4>Parameters</h4><table>{''.join(map(_parameter, operation['parameters']))}</table>")
    if (body := operation.get("requestBody")) is not None:
        told = "" if body["required"] else " <small>may be left out</small>"
        parts.append(f"<h4>Body{told}</h4><table>{''.join(_contents(body['content']))}</table>")
    answers = "".join(_answer(status, response) for status, response in operation["responses"].items())
    return "".join([*parts, f"<h4>Answers</h4><table>{answers}</table></details>"])


def _parameter(parameter: Mapping[str, Any]) -> str:
    name = f"{parameter['name']} <small>{parameter['in']}{', required' if parameter['required'] else ''}</small>"
    schema = parameter["schema"]
    return _row(name, _kind(schema), parameter["description"], _more(schema), is_html=True)


def _answer(status: str, response: Mapping[str, Any]) -> str:
    headers = ", ".join(name for name in response["headers"] if name != "X-Request-Id")
    kinds = " or ".join(
        _kind(told["schema"]) if media == _JSON else escape(media)
        for media, told in response.get("content", {}).items()
    )
    return _row(status, kinds, response["description"], f"with {headers}" if headers else "", is_html=True)


def _contents(content: Mapping[str, Any]) -> Iterator[str]:
    for media, told in content.items():
        yield _row(media, _kind(told["schema"]), told["schema"].get("description", ""))


def _type(name: str, schema: Mapping[str, Any]) -> str:
    required = schema.get("required", ())
    rows = "".join(
        _row(
            f"{escape(field)}{'' if field in required else ' <small>may be left out</small>'}",
            _kind(told),
            told.get("description", ""),
            _more(told),
            is_html=True,
        )
        for field, told in schema.get("properties", {}).items()
    )
    told = _prose(schema.get("description", "")) + (escape(_values(schema)) if "enum" in schema else "")
    return f'<details id="type-{name}"><summary><code>{name}</code></summary>{told}<table>{rows}</table></details>'


def _kind(schema: Mapping[str, Any]) -> str:
    """The type of a value in a few words, as HTML that leads to what it names."""
    if (reference := schema.get("$ref")) is not None:
        name = reference.rpartition("/")[2]
        return f'<a href="#type-{name}">{name}</a>'
    if (choices := schema.get("anyOf")) is not None:
        return " or ".join(map(_kind, choices))
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    if kind == "object" and (of := schema.get("additionalProperties")):
        return f"object of {_kind(of)}"
    return escape(str(kind))


def _more(schema: Mapping[str, Any]) -> str:
    """Default, bounds and allowed values, in words."""
    told = [f"default {_plain(schema['default'])}"] if "default" in schema else []
    told += [words.format(schema[word]) for word, words in _BOUNDS.items() if word in schema]
    return "; ".join([*told, *([_values(schema)] if "enum" in schema else [])])


def _values(schema: Mapping[str, Any]) -> str:
    return f"one of {', '.join(map(str, schema['enum']))}"


def _plain(value: Any) -> str:
    return "empty" if value in ("", [], {}) else msgspec.json.encode(value).decode()


def _row(name: str, kind: str, description: str, more: str = "", *, is_html: bool = False) -> str:
    shown = name if is_html else escape(name)
    told = f"{_marked(description)} <small>{escape(more)}</small>" if more else _marked(description)
    return f'<tr><th>{shown}<td class="kind">{kind}<td>{told}'


def _prose(text: str) -> str:
    """Paragraphs."""
    return "".join(f"<p>{_marked(part)}</p>" for part in text.split("\n\n") if part)


def _marked(text: str) -> str:
    """What stands between backticks is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def _anchor(tag: str) -> str:
    return "tag-" + tag.lower().replace(" ", "-")
