"""The fields of policy files, as their JSON Schema has them."""

import json
from collections.abc import Iterator
from typing import Any

from firezone_filter.policy.schema import policy_schema

Schema = dict[str, Any]


def policy_fields() -> Iterator[str]:
    """Yield a section of Markdown for the file, and one for each of its parts."""
    schema = policy_schema()
    parts = schema["$defs"]
    yield from _object("The file", schema, parts)
    for part in parts.values():
        if "properties" in part:
            yield from _object(part["title"], part, parts)


def _object(title: str, schema: Schema, parts: Schema) -> Iterator[str]:
    yield from (f"## {title}", "")
    yield from ("| field | type | meaning |", "| --- | --- | --- |")
    for name, field in schema["properties"].items():
        required = "; required" if name in schema["required"] else ""
        meaning = field.get("description", "")
        yield f"| `{name}` | {_type(field, parts)}{required} | {meaning} |"
    yield ""


def _type(field: Schema, parts: Schema) -> str:
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return " or ".join(f"`{json.dumps(each)}`" for each in field["enum"])
    if "anyOf" in field:
        return ", or ".join(_type(each, parts) for each in field["anyOf"])
    if "$ref" in field:
        part = parts[field["$ref"].rpartition("/")[2]]
        if "title" not in part:
            return _type(part, parts)
        return f"[{part['title']}](#{part['title'].lower().replace(' ', '-')})"
    kinds = field.get("type", "anything")
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    return (
        f"list of {_type(field['items'], parts)}" if "items" in field else f"{text}{_range(field)}"
    )


def _range(field: Schema) -> str:
    if "maximum" in field:
        return f", {field['minimum']} to {field['maximum']}"
    return f", at least {field['minimum']}" if "minimum" in field else ""
