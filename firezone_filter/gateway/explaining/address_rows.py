"""The rows that look at headers and addresses, before any permission is asked."""

from ipaddress import ip_address

from firezone_filter.access.special_ranges import DNS, MULTICAST, TUNNEL
from firezone_filter.gateway.explaining.facts import Facts
from firezone_filter.gateway.explaining.wording import message_in_words, networks_in_words
from firezone_filter.packet.headers import Fragment
from firezone_filter.packet.numbers import IPV4, IPV4_LENGTH, IPV6
from firezone_filter.values.decisions import Reason
from firezone_filter.values.explanations import Check, protocol_name


def headers(facts: Facts) -> Check:
    """Describe well-formed headers."""
    read = facts.headers
    version = IPV4 if len(read.source) == IPV4_LENGTH else IPV6
    detail = (
        f"well formed: IPv{version}, {read.transport} bytes of headers before "
        f"{protocol_name(read.protocol)}, {len(facts.packet)} in all"
    )
    return Check("headers", passed=True, detail=detail)


def multicast(facts: Facts) -> Check:
    """Describe row 1, outbound."""
    _, far = facts.near_and_far()
    if facts.flags & MULTICAST:
        return Check("multicast", passed=False, detail=f"{far} is multicast or broadcast")
    return Check("multicast", passed=True, detail=f"{far} is neither multicast nor broadcast")


def tunnel(facts: Facts) -> Check:
    """Describe row 1, inbound."""
    near, _ = facts.near_and_far()
    # (A client is found by its address, and those are in the ranges.)
    passed = facts.reason is not Reason.NOT_A_PEER
    where = "in" if passed else "outside"
    ranges = networks_in_words(facts.context.plan.tunnel)
    return Check("tunnel", passed=passed, detail=f"{near} is {where} the tunnel ranges, {ranges}")


def client(facts: Facts) -> Check:
    """Describe row 2."""
    near, _ = facts.near_and_far()
    found, wanted = facts.ruling.client, facts.client_id
    is_named = facts.outbound and wanted is not None
    if found is not None:
        detail = f"{found.id} is connected" if is_named else f"{near} belongs to {found.id}"
        return Check("client", passed=True, detail=detail)
    owner = facts.clients.by_address.get(facts.near)
    if is_named:
        detail = f"no client {wanted} is connected"
    elif owner is None:
        detail = f"no connected client has the address {near}"
    else:
        detail = f"{near} belongs to {owner.id}, not to {wanted}"
    return Check("client", passed=False, detail=detail)


def source(facts: Facts) -> Check:
    """Describe row 3, outbound: of a packet with a `client_id`."""
    near, _ = facts.near_and_far()
    own = " and ".join(str(ip_address(one)) for one in facts.client.addresses)
    passed = facts.near in facts.client.addresses
    which = "one" if passed else "none"
    detail = f"{near} is {which} of the addresses of {facts.client.id}: {own}"
    return Check("source", passed=passed, detail=detail)


def fragment(facts: Facts, place: Fragment) -> Check:
    """Describe the row of fragments."""
    passed = facts.reason is not Reason.FRAGMENT
    if not facts.headers.is_later_fragment:
        detail = f"a first fragment, with identification {place.identification}: "
        detail += (
            "it has the transport header, and is judged like a whole packet"
            if passed
            else "another first fragment of this packet was allowed, with other ports or "
            "another protocol"
        )
        return Check("fragment", passed=passed, detail=detail)
    detail = f"a later fragment, from byte {place.start}, identification {place.identification}: "
    if passed:
        detail += "it follows its first fragment, which was allowed less than 30 s ago"
        return Check("fragment", passed=True, detail=detail)
    judged = None
    if facts.now < facts.client.valid_until:
        judged = facts.client.fragments.judged_until(
            facts.headers, place, facts.now, outbound=facts.outbound
        )
    if judged is None:
        detail += "no first fragment of its packet was allowed in the last 30 s, under the "
        detail += f"permissions that {facts.client.id} has now"
    else:
        detail += f"it overlaps the {judged} bytes that were judged of its first fragment"
    return Check("fragment", passed=False, detail=detail)


def peer_address(facts: Facts) -> Check:
    """Describe the row of peers and, inbound, of addresses that exist only in the tunnel."""
    _, far = facts.near_and_far()
    if facts.is_own:
        return Check("peer-address", passed=True, detail=f"{far} is the gateway's own address")
    plan = facts.context.plan
    tunnel_ranges, dns_ranges = (
        f"the {kind} ranges, {networks_in_words(networks)}"
        for kind, networks in (("tunnel", plan.tunnel), ("DNS", plan.dns_resources))
    )
    if not facts.flags & (TUNNEL if facts.outbound else TUNNEL | DNS):
        ranges = tunnel_ranges if facts.outbound else f"{tunnel_ranges}, and {dns_ranges}"
        return Check("peer-address", passed=True, detail=f"{far} is outside {ranges}")
    ranges = tunnel_ranges if facts.flags & TUNNEL else dns_ranges
    detail = f"{far} is in {ranges}, and not the gateway's own address"
    return Check("peer-address", passed=False, detail=detail)


def link_local_icmp(facts: Facts) -> Check:
    """Describe the row of messages that stay on their link: it passes none."""
    message = message_in_words(facts.headers.protocol, facts.headers.icmp_type)
    detail = f"{message} is router or neighbour discovery, which stays on its link"
    return Check("link-local-icmp", passed=False, detail=detail)
