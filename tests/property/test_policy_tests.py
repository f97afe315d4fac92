"""What tests of a policy say is what packets meet: each that a target names, asked one by one."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from struct import unpack_from

from attrs import evolve
from hypothesis import event, given
from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    Direction,
    DnsResource,
    Filter,
    Gateway,
    GatewayOptions,
    Icmp,
    InternetResource,
    Protocol,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
)
from firezone_filter.policy import (
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    PolicyTest,
)
from firezone_filter.policy.analysis.tests import TestResult
from firezone_filter.policy.targets import Target, parse_target
from firezone_filter.testing import checksums_hold, icmp, internet_checksum, ip, tcp, udp
from firezone_filter.values.addresses import Address

OUTBOUND, INBOUND = Direction.OUTBOUND, Direction.INBOUND

OWN = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
BOTH = TunnelAddresses("100.64.0.2", "fd00:2021:1111::2")
MOMENT = 1_000.0

NETWORKS = ["10.0.0.0/29", "10.0.0.0/30", "10.0.0.4/31", "10.0.0.2/32", "0.0.0.0/0"]
NETWORKS += ["fd10::/125", "fd10::/126", "fd10::4/127", "fd10::2/128", "::/0"]
PROXIES = ["100.96.0.1", "100.96.0.2", "fd00:2021:1111:8000::1", "fd00:2021:1111:8000::2"]
NAMES = {"a.example.com": PROXIES[::2], "b.example.com": PROXIES[1::2]}
REAL = ["10.0.0.2", "8.8.8.8", "fd10::2", "127.0.0.1"]

PORTS = [0, 78, 79, 80, 81, 82, 83, 53_534, 53_535, 53_536, 65_535]
"""All at which what these filters permit may change, on both sides."""

TYPES = {4: (0, 8, 9, 13, 14, 15, 40, 255), 6: (128, 129, 133, 139, 140, 160, 200)}
"""ICMP types that are no errors: both of a pair, one that stays on its link, others."""

ERRORS = {4: {3, 4, 5, 11, 12}, 6: {*range(128), 137}}
ON_LINK = {4: {9, 10}, 6: {133, 134, 135, 136}}
ICMP_OF = {4: 1, 6: 58}
REQUEST = {4: 8, 6: 128}
ANSWERS = {4: {8: 0, 13: 14, 15: 16, 17: 18, 42: 43}, 6: {128: 129, 139: 140, 160: 161}}

# --- Policies and targets -----------------------------------------------------------------

some_filters: st.SearchStrategy[list[Filter]] = st.lists(
    st.sampled_from(
        [
            *(Tcp(), Tcp(80), Tcp("79-81"), Tcp("81-82"), Udp("80-82"), Udp()),
            *(Icmp(), Icmp.echo(), Icmp([13]), Icmp(types_v6=[160]), Protocol(47), Protocol(50)),
        ]
    ),
    min_size=1,
    max_size=3,
)
filters = st.just(list[Filter]()) | some_filters | some_filters


@st.composite
def resources(draw: st.DrawFn, resource_id: str) -> Resource:
    kind = draw(st.sampled_from(["cidr", "cidr", "dns", "internet"]))
    if kind == "dns":
        return DnsResource(resource_id, "*.example.com", draw(filters))
    if kind == "internet":
        return InternetResource(resource_id, exclude=draw(st.sampled_from([[], ["8.8.8.8/32"]])))
    whole = ip_network(draw(st.sampled_from(NETWORKS)))
    within = [
        one
        for one in map(ip_network, NETWORKS)
        if one.version == whole.version
        and one != whole
        and int(whole[0]) <= int(one[0]) <= int(one[-1]) <= int(whole[-1])
    ]
    exclude = draw(st.lists(st.sampled_from(within), max_size=1)) if within else []
    return CidrResource(resource_id, whole, draw(filters), exclude=exclude)


@st.composite
def authorizations(draw: st.DrawFn) -> list[PolicyAuthorization]:
    held = []
    for resource_id in draw(
        st.sampled_from([[], *[["r1"], ["r1", "r2"], ["r1", "r2", "r3"]] * 3])
    ):
        resource = draw(resources(resource_id))
        domains = None
        if isinstance(resource, DnsResource):
            resolved = st.lists(st.sampled_from(REAL), unique=True, max_size=3)
            domains = [
                PolicyDomain(name, proxies, draw(resolved)) for name, proxies in NAMES.items()
            ]
        expires_at = draw(st.sampled_from([None, None, MOMENT, MOMENT + 1]))
        held.append(PolicyAuthorization(resource, expires_at, domains))
    return held


addresses = st.sampled_from(
    [BOTH, BOTH, TunnelAddresses(ipv4=BOTH.ipv4), TunnelAddresses(ipv6=BOTH.ipv6)]
)
options = st.builds(
    GatewayOptions,
    stateful=st.booleans(),
    own_filters=st.sampled_from([GatewayOptions().own_filters, (), (Tcp(80), Icmp([13]))]),
)
policies = st.builds(
    lambda own, held, chosen: Policy(
        OWN, clients=[PolicyClient("alice", own, held)], options=chosen
    ),
    addresses,
    authorizations(),
    options,
)

PLACES = {
    4: [
        *("10.0.0.2", "10.0.0.0/29", "10.0.0.4/30", "10.0.0.6/31", "8.8.8.8", "127.0.0.1"),
        *("100.64.0.1", "100.64.0.0/30", "100.64.0.2", "100.96.0.1", "100.96.0.0/30", "224.0.0.1"),
    ],
    6: [
        *("fd10::2", "fd10::/125", "fd10::4/126", "fd10::6/127", "2600::8", "::1", "fd10::8"),
        *("fd00:2021:1111::1", "fd00:2021:1111::/126", "fd00:2021:1111:8000::1", "ff02::1"),
    ],
}


@st.composite
def targets(draw: st.DrawFn, names: list[str]) -> str:
    version = draw(st.sampled_from([4, 6]))
    place = draw(st.sampled_from([*PLACES[version], *names, *names]))
    what = draw(
        st.sampled_from(["tcp", "tcp", "udp", "ping", "icmp", "47", "50"])
        | st.sampled_from(TYPES[version]).map(lambda number: f"icmp/{number}")
    )
    if what not in ("tcp", "udp") or draw(st.booleans()):
        return f"{what} {place}"
    first, last = sorted(draw(st.tuples(*[st.sampled_from(PORTS)] * 2)))
    where = f"[{place}]" if ":" in place else place
    return f"{what} {where}:{first}-{last}"


@given(policies, st.data())
def test_a_target_holds_if_and_only_if_every_packet_that_it_names_says_so(
    policy: Policy, data: st.DataObject
) -> None:
    (client,) = policy.clients
    has_names = any(one.domains for one in client.authorizations)
    named = targets(list(NAMES) if has_names else [])
    texts = data.draw(st.lists(named, min_size=1, max_size=8))
    at = data.draw(st.sampled_from([None, MOMENT]))
    policy = evolve(
        policy,
        tests=[
            *(PolicyTest(text, "alice", at, allow=[text]) for text in texts),
            *(PolicyTest(text, "alice", at, deny=[text]) for text in texts),
        ],
    )
    asked = Asked(policy, at)
    results = policy.run_tests()
    for text, allowed, denied in zip(
        texts, results[: len(texts)], results[len(texts) :], strict=True
    ):
        packets = asked.named(parse_target(text))
        event(f"allow {allowed.passed}, deny {denied.passed}")
        assert allowed.passed == (bool(packets) and all(asked.may_talk(*one) for one in packets))
        assert denied.passed == (not any(asked.passes(*one) for one in packets))
        for result, side in ((allowed, "allow"), (denied, "deny")):
            if result.passed:
                assert result == TestResult(text, passed=True, client="alice")
            else:
                assert (result.name, result.part, result.side) == (text, text, side)
                asked.check_witness(result)


class Asked:
    """A policy at a moment, by packets to gateways that have seen none."""

    def __init__(self, policy: Policy, at: float | None) -> None:
        if at is None:
            (client,) = policy.clients
            for_ever = [evolve(one, expires_at=None) for one in client.authorizations]
            policy = evolve(policy, clients=[evolve(client, authorizations=for_ever)])
        self.policy = policy
        self.at = at
        self.own = policy.clients[0].addresses
        # What goes out opens the way for answers alone, so one gateway may be asked for all.
        self.asked_outbound = self.gateway()
        self.asked_inbound = self.gateway()

    def gateway(self) -> Gateway:
        return self.policy.gateway(self.at)

    def near(self, version: int) -> Address | None:
        return self.own.ipv4 if version == 4 else self.own.ipv6

    def named(self, target: Target) -> list[tuple[int, int, Address]]:
        """Return protocol, port or type, and address of all that a target names."""
        return [
            (protocol, number, address)
            for address in self.addresses(target)
            for protocol, number in numbers(target, address)
        ]

    def addresses(self, target: Target) -> Iterator[Address]:
        place = target.place
        if isinstance(place, IPv4Network | IPv6Network):
            own = () if place.num_addresses == 1 else OWN.present()
            yield from (one for one in place if one not in own)
            return
        gateway = self.gateway()
        for proxy in map(ip_address, NAMES[place]):
            if target.icmp_type in ERRORS[proxy.version]:
                continue
            # Whatever the filters, a proxy without a translation refuses.
            known = gateway._clients.by_id["alice"].access.proxies.get(proxy.packed)
            if known is not None and known.target is not None:
                yield proxy

    def outbound(self, protocol: int, number: int, far: Address) -> bytes:
        near = self.near(far.version) or ip_address("0.0.0.0" if far.version == 4 else "::")  # noqa: S104
        return packet(near, far, protocol, (5401, number))

    def may_talk(self, protocol: int, number: int, far: Address) -> bool:
        """Tell whether a packet may go there, and an answer comes back."""
        sent = self.outbound(protocol, number, far)
        if not self.asked_outbound.handle_packet(OUTBOUND, sent, client_id="alice").allowed:
            return False
        gateway = self.gateway()
        decision = gateway.handle_packet(OUTBOUND, sent, client_id="alice")
        gone = decision.to_send(sent)
        assert gone is not None
        answer = answer_to(gone)
        return answer is None or gateway.handle_packet(INBOUND, answer).allowed

    def passes(self, protocol: int, number: int, far: Address) -> bool:
        """Tell whether a packet may go there, or one from there may come in unasked."""
        sent = self.outbound(protocol, number, far)
        if self.asked_outbound.handle_packet(OUTBOUND, sent, client_id="alice").allowed:
            return True
        near = self.near(far.version)
        if near is None:
            return False
        unasked = packet(far, near, protocol, (number, 5401))
        return self.asked_inbound.handle_packet(INBOUND, unasked).allowed

    def check_witness(self, result: TestResult) -> None:
        if result.witness is None:  # pragma: no cover - few names have no proxy address at all
            assert (result.explanation, result.side) == (None, "allow")
            return
        direction, shown = result.witness
        assert internet_checksum(shown[:20]) == 0 or shown[0] >> 4 == 6
        if (shown[9] if shown[0] >> 4 == 4 else shown[6]) in (1, 6, 17, 58):
            assert checksums_hold(shown)
        decision = self.gateway().handle_packet(direction, shown, client_id="alice")
        assert decision.allowed == (result.side == "deny")
        assert result.explanation is not None
        assert result.explanation.decision == decision


def numbers(target: Target, address: Address) -> list[tuple[int, int]]:
    version = address.version
    is_proxy = str(address).startswith(("100.96.", "fd00:2021:1111:8000:"))
    if target.number is not None:
        return [(target.number, 0)]
    if target.word in ("tcp", "udp"):
        protocol = 6 if target.word == "tcp" else 17
        return [(protocol, port) for port in PORTS if target.ports is None or port in target.ports]
    if target.icmp_type is not None:
        types = {target.icmp_type}
    elif target.word == "ping" or is_proxy:
        types = {REQUEST[version]}
    else:
        types = set(range(256)) - ERRORS[version] - ON_LINK[version]
    return [(ICMP_OF[version], one) for one in sorted(types)]


def packet(source: Address, destination: Address, protocol: int, ports: tuple[int, int]) -> bytes:
    """Build a packet; of ICMP, the far number is the type."""
    is_v4 = source.version == 4
    if protocol in (6, 17):
        ends = [
            f"{address}:{port}" if is_v4 else f"[{address}]:{port}"
            for address, port in zip((source, destination), ports, strict=True)
        ]
        flow = " > ".join(ends)
        return tcp(flow) if protocol == 6 else udp(flow)
    flow = f"{source} > {destination}"
    if protocol in (1, 58):
        return icmp(flow, next(one for one in ports if one != 5401), rest=b"\0\1\0\1")
    return ip(flow, protocol, b"payload!")


def answer_to(sent: bytes) -> bytes | None:
    """Build the answer to a packet; `None` if none is to be expected."""
    is_v4 = sent[0] >> 4 == 4
    protocol, start = (sent[9], 20) if is_v4 else (sent[6], 40)
    source, destination = (sent[12:16], sent[16:20]) if is_v4 else (sent[8:24], sent[24:40])
    near, far = ip_address(source), ip_address(destination)
    if protocol in (6, 17):
        near_port, far_port = unpack_from("!HH", sent, start)
        return packet(far, near, protocol, (far_port, near_port))
    if protocol in (1, 58):
        answer = ANSWERS[near.version].get(sent[start])
        rest = sent[start + 4 : start + 8]
        return None if answer is None else icmp(f"{far} > {near}", answer, rest=rest)
    return packet(far, near, protocol, (0, 0))  # pragma: no cover - drawn in longer runs
