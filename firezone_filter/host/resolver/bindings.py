"""`HTTPS` and `SVCB` records (RFC 9460), without what leads around proxy addresses."""

from collections.abc import Callable, Iterable
from typing import Any, Final

import dns.name
import dns.rdata
from dns.rdtypes.svcbbase import MandatoryParam, ParamKey, SVCBBase

_HINTS: Final = frozenset({ParamKey.IPV4HINT, ParamKey.IPV6HINT})


def without_ways_around(
    several: Iterable[dns.rdata.Rdata], qname: dns.name.Name, may_reach: Callable[[str], bool]
) -> list[dns.rdata.Rdata]:
    """Return the records that a client can use, without address hints.

    Args:
        several: the records of one name.
        qname: the name that was asked for.
        may_reach: tells of a name, without its final dot, whether the client gets proxy
            addresses for it.

    Returns:
        What is left; a client does without, if that is nothing.
    """
    return [
        _without_hints(one)
        for one in several
        if isinstance(one, SVCBBase)
        and (
            # A dot stands for the name itself; in an alias, for nothing at all.
            one.target in {dns.name.root, qname}
            or may_reach(one.target.to_text(omit_final_dot=True))
        )
    ]


def _without_hints(record: SVCBBase) -> SVCBBase:
    params: dict[ParamKey, Any] = {
        key: value for key, value in record.params.items() if key not in _HINTS
    }
    mandatory = params.get(ParamKey.MANDATORY)
    if isinstance(mandatory, MandatoryParam):
        # A hint that is not there must not be mandatory, or the record counts for nothing.
        keys = [key for key in mandatory.keys if key not in _HINTS]
        del params[ParamKey.MANDATORY]
        if keys:
            params[ParamKey.MANDATORY] = MandatoryParam(keys)  # type: ignore[no-untyped-call]
    return type(record)(record.rdclass, record.rdtype, record.priority, record.target, params)
