"""Tables whose words are in the code.

    ```{from-code} reasons
    ```

is such a table, made when the site is; `{from-code} lint FZ101` is what the code says of one.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from attrs import fields
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

from extensions.commands import commands
from extensions.policy_schema import policy_fields
from firezone_filter import (
    Counters,
    FlowEnded,
    FlowRefused,
    FlowStarted,
    Gateway,
    GatewayOptions,
    Reason,
    TunnelAddresses,
    prometheus_text,
)
from firezone_filter.policy.analysis.findings import CODES

_FENCE: Final = re.compile(r"^```\{from-code\} (\S+)(?: (\S+))?\n```$", re.MULTILINE)

Lines = Iterator[str]


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Lines:
    """Yield a table of Markdown."""
    head = tuple(head)
    for row in (head, ("---",) * len(head), *rows):
        yield f"| {' | '.join(' '.join(cell.split()) for cell in row)} |"


def reasons() -> Lines:
    """Yield all reasons, each with its description."""
    rows = ((f"`{one.name}`", f"`{one.value}`", one.description) for one in Reason)
    yield from table(("reason", "value", "description"), rows)


def counters() -> Lines:
    """Yield the fields of `Counters`."""
    yield from table(("field", "meaning"), _attributes(Counters))


def metrics() -> Lines:
    """Yield what Prometheus gets, of a gateway that records flows."""
    options = GatewayOptions(flow_records=True)
    page = prometheus_text(Gateway(TunnelAddresses("100.64.0.1"), options=options).counters())
    rows = []
    for family in page.split("# HELP ")[1:]:
        (name, meaning), kind, sample = (line.split(" ", 1) for line in family.splitlines()[:3])
        labels = re.findall(r"(\w+)=", " ".join(sample))
        rows.append(
            (f"`{name}`", kind[1].split()[-1], ", ".join(f"`{one}`" for one in labels), meaning)
        )
    yield from table(("metric", "kind", "labels", "meaning"), rows)


def flow_fields() -> Lines:
    """Yield the fields of flow events, under the names that they have in logs."""
    names = {"client_id": "cid", "resource_id": "rid"}
    events = {"started": FlowStarted, "ended": FlowEnded, "refused": FlowRefused}
    rows: dict[str, list[str]] = {}
    for event, cls in events.items():
        for name, meaning in _attributes(cls):
            field = name.strip("`")
            row = rows.setdefault(f"`{names.get(field, field)}`", ["", meaning])
            row[0] += f", {event}" if row[0] else event
    yield from table(("field", "flow", "meaning"), ((name, *row) for name, row in rows.items()))


def _attributes(cls: type) -> list[tuple[str, str]]:
    return [
        (f"`{each.name}`", str(inspect.getdoc(getattr(cls, each.name)))) for each in fields(cls)
    ]


def lint_codes() -> Lines:
    """Yield all lint codes, which lead to their sections."""
    rows = (
        (f"[{one.code}](#{one.code.lower()}-{one.name})", one.name, one.severity, one.summary)
        for one in CODES.values()
    )
    yield from table(("code", "name", "severity", ""), rows)


def lint(code: str) -> Lines:
    """Yield what the code says of one lint code."""
    one = CODES[code]
    yield f"**{one.severity}** · {one.summary}. Threshold: {one.threshold}."


_PARTS: Final[dict[str, Callable[..., Lines]]] = {
    "commands": commands,
    "counters": counters,
    "flow-fields": flow_fields,
    "lint": lint,
    "lint-codes": lint_codes,
    "metrics": metrics,
    "policy": policy_fields,
    "reasons": reasons,
}


def _made(fence: re.Match[str]) -> str:
    part, *arguments = filter(None, fence.groups())
    return "\n".join(_PARTS[part](*arguments))


def _on_source_read(_: Sphinx, __: str, source: list[str]) -> None:
    source[0] = _FENCE.sub(_made, source[0])


def setup(app: Sphinx) -> ExtensionMetadata:
    """Turn the extension on."""
    app.connect("source-read", _on_source_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
