"""How a gateway behaves where the portal has no say."""

from typing import Any

import attrs
from attrs import field, frozen

from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.resources import Filter, to_filters
from firezone_filter.values.times import is_finite


def _switch(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if not isinstance(value, bool):
        raise TypeError(f"{attribute.name} is a bool, not {shown(value)}")


def _rate(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{attribute.name} is a number, not {shown(value)}")
    _check_amount(attribute.name, value)


def _count(_: object, attribute: "attrs.Attribute[Any]", value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{attribute.name} is an int, not {shown(value)}")
    _check_amount(attribute.name, value)


def _check_amount(name: str, value: float) -> None:
    if value < 0 or not is_finite(value):
        raise InvalidPolicy(f"{name}: {shown(value)} is negative or not finite", value)


@frozen
class GatewayOptions:
    """How a gateway behaves where the portal has no say.

    Raises:
        InvalidPolicy: a number that is negative or not finite.
        TypeError: a wrong type; `own_filters` that are `None` or a filter by itself.
    """

    reject: bool = field(default=True, validator=_switch)
    """Whether refused packets of clients are answered with an ICMP error. Without answers
    (`False`) connections to what is refused time out instead of failing at once."""

    reject_rate: float = field(default=100.0, validator=_rate)
    """Replies a second for one client, on average (RFC 4443, section 2.4)."""

    reject_burst: int = field(default=100, validator=_count)
    """Replies at once for one client."""

    own_filters: tuple[Filter, ...] = field(default=(), converter=to_filters)
    """What clients may send to the gateway's own tunnel address. **None at all permit
    every protocol.**"""

    max_sessions_per_client: int = field(default=16_384, validator=_count)
    """Translated flows of one client at a time."""

    max_sessions: int = field(default=1_048_576, validator=_count)
    """Translated flows of all clients at a time."""

    flow_records: bool = field(default=False, validator=_switch)
    """Whether `Gateway.poll_event` reports flows too: `FlowStarted`, `FlowEnded`,
    `FlowRefused`. Then every packet is counted, which makes it up to two and a half times as
    expensive."""
