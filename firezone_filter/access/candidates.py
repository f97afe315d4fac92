"""The candidates for an address: all resources of a client that cover it, for whoever asks why.

`ClientAccess.permission` finds the one that answers, and looks no further. `explain`, and what a
policy is asked, need the others too (rules.md, section 5, rules 1 and 2). They are taken
from the same trees, the same proxy addresses and the same compiled filters. All of it only reads.
"""

from ipaddress import ip_address
from typing import NamedTuple, final

from firezone_filter.access.authorizations import Authorization, ClientAccess
from firezone_filter.access.special_ranges import DNS, LOCAL_SERVICE, NOT_CIDR, NOT_INTERNET
from firezone_filter.packet.numbers import ICMPV4, ICMPV6
from firezone_filter.values.addresses import Address, Network
from firezone_filter.values.decisions import Reason


@final
class Covering(NamedTuple):
    """A resource that covers an address."""

    authorization: Authorization
    """The client's permission for it."""

    covers: Network | Address | None
    """Its network that has the address, or the proxy address; `None` for the Internet."""

    prefixlen: int
    """The length by which candidates are compared: 0 for the Internet, and for proxy addresses,
    where the id alone decides."""

    is_shut: bool = False
    """Whether it permits nothing there: an Internet resource, at an address that is not public,
    or that it excludes."""

    def refusal(self, protocol: int, number: int | None) -> Reason | None:
        """Return why it refuses a packet, or `None` if it permits it.

        Args:
            protocol: IANA protocol number.
            number: the far port, or the ICMP type, as for `PermitCheck.refusal`.
        """
        if self.is_shut:
            return Reason.NOT_INTERNET
        # Only ICMP asks for the family, and ICMP of the other one is malformed.
        icmp = ICMPV6 if protocol == ICMPV6 else ICMPV4
        return self.authorization.compiled.check.refusal(protocol, number, icmp)


@final
class Coverage(NamedTuple):
    """The resources of one client that have to do with an address."""

    candidates: tuple[Covering, ...]
    """Those that cover it: the longest prefix first, of equals the greatest id first. Of those
    that permit a packet the first answers; if none does, the first of all."""

    excluded: tuple[str, ...]
    """The ids of those whose network has it but excludes it, in the same order."""


def covering(access: ClientAccess, far: bytes, flags: int, now: float) -> Coverage:
    """Return the resources that cover a far address at a time.

    Args:
        access: the client's authorizations.
        far: the far address, 4 or 16 bytes in network byte order.
        flags: its flags in the range map. An address in the tunnel ranges is not asked about:
            rows before that of resources refuse it.
        now: the time, in seconds: what is over by then covers nothing.
    """
    if flags & DNS:
        return Coverage(_of_proxy(access, far, now), ())
    found: list[Covering] = []
    excluded: list[str] = []
    if not flags & NOT_CIDR:
        networks = access.local_networks if flags & LOCAL_SERVICE else access.networks
        for entry in networks.covering(far):
            held = access.authorizations[entry.resource_id]
            if held.is_over(now):
                continue
            if entry.excluded is not None and far in entry.excluded:
                excluded.append(entry.resource_id)
            else:
                found.append(Covering(held, entry.network, entry.masklen))
    if access.internet is not None:
        is_public = not flags & NOT_INTERNET
        for resource_id, networks_excluded in access.internet.excluded_by_id().items():
            held = access.authorizations[resource_id]
            if not held.is_over(now):
                is_shut = not is_public or far in networks_excluded
                found.append(Covering(held, None, 0, is_shut))
        found.sort(key=_rank, reverse=True)
    return Coverage(tuple(found), tuple(excluded))


def _rank(one: Covering) -> tuple[int, str]:
    return one.prefixlen, one.authorization.resource.id


def _of_proxy(access: ClientAccess, proxy: bytes, now: float) -> tuple[Covering, ...]:
    known = access.proxies.get(proxy)
    if known is None:
        return ()
    address = ip_address(proxy)
    held = (access.authorizations[one] for one in reversed(known.resources))
    return tuple(Covering(one, address, 0) for one in held if not one.is_over(now))
