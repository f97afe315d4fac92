"""Section 6, `domain_resolved`: what stands behind a proxy address.

`test_domain_resolved` has the calls that raise.
"""

import ipaddress
from ipaddress import IPv4Address

import pytest

from firezone_filter import (
    AddressPlan,
    CidrResource,
    DnsResource,
    Gateway,
    InternetResource,
    Reason,
    Reject,
    Tcp,
    Translate,
    TunnelAddresses,
    Udp,
)
from firezone_filter.testing import udp
from tests.scenes import INBOUND, OUTBOUND, V4, V6, gateway_for_alice, reasons
from tests.translations import (
    EXPIRED,
    GONE,
    N4,
    N6,
    NAME,
    Names,
    app,
    both_names,
    gateway_in_use,
    gateway_with,
    resolve,
    through,
)

OTHER_NAME = "db.example.com"


def behind(
    gateway: Gateway, names: Names, *proxies: str, number: int = 5401
) -> list[str | Reason]:
    """Tell where packets to proxy addresses go, or why they go nowhere."""
    found: list[str | Reason] = []
    for proxy in proxies or names.proxies[:1]:
        decision = gateway.handle_packet(OUTBOUND, names.sent(number=number, far=proxy))
        if isinstance(decision, Translate):
            ends = decision.packet[16:20] if names.family is V4 else decision.packet[24:40]
            found.append(str(ipaddress.ip_address(ends)))
        else:
            assert isinstance(decision, Reject)
            found.append(decision.reason)
    return found


def comes_back(gateway: Gateway, names: Names, number: int = 5401) -> bool:
    """Tell whether the session of the first proxy lives, as it was."""
    decision = gateway.handle_packet(INBOUND, names.came(number=number))
    return decision == through(names.came(number=number, far=names.proxies[0]))


# --- Rebinding -----------------------------------------------------------------------------

LEFT_OUT = [
    *("0.0.0.0", "0.255.255.255"),  # noqa: S104 - nothing is bound to it
    *("127.0.0.0", "127.0.0.1", "127.255.255.255"),
    *("169.254.0.0", "169.254.169.254", "169.254.255.255"),
    *("224.0.0.0", "224.0.0.1", "239.255.255.255", "255.255.255.255"),
    *("100.64.0.0", V4.gateway, V4.client, V4.neighbour, "100.95.255.255"),
    *("100.96.0.0", *N4.proxies, "100.127.255.255"),
    *("::", "::1", "::2", "::10.0.0.5", "::ffff:ffff"),
    *("::ffff:0:0", "::ffff:10.0.0.5", "::ffff:255.255.255.255"),
    *("fe80::", "fe80::1", "fe80::1%eth0", "2001:db8::1%eth0", "febf:ffff::1"),
    *("ff00::", "ff02::1", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    *("fd00:2021:1111::", V6.gateway, V6.client, "fd00:2021:1111::1f:ffff"),
    *("fd00:2021:1111:8000::", *N6.proxies, "fd00:2021:1111:8000::1f:ffff"),
    # A cloud's own services.
    *("fd00:ec2::", "fd00:ec2::254", "fd00:ec2:ffff:ffff:ffff:ffff:ffff:ffff"),
    *("fd20:ce::", "fd20:ce::254", "fd20:ce:ffff:ffff:ffff:ffff:ffff:ffff"),
    # IPv4 addresses in disguise: NAT64 and 6to4.
    *("64:ff9b::", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b::ffff:ffff"),
    *("64:ff9b::6440:0", "64:ff9b::6460:1", "64:ff9b::647f:ffff", "64:ff9b::e000:1"),
    *("2002::", "2002:7f00:1::1", "2002:a9fe:a9fe:ffff:ffff:ffff:ffff:ffff"),
    *("2002:6440:2::", "2002:647f:ffff::1", "2002:e000:1::", "2002:ffff:ffff::"),
]
JUST_OUTSIDE = [
    *("1.0.0.0", "126.255.255.255", "128.0.0.0"),
    *("169.253.255.255", "169.255.0.0", "223.255.255.255"),
    *("240.0.0.0", "255.255.255.254"),
    *("100.63.255.255", "100.128.0.0", "10.0.0.5", "192.168.1.1"),
    *("::1:0:0", "::fffe:ffff:ffff", "::1:0:0:0", "fdff::1", "fd00:2021:1111::20:0"),
    *("fe7f:ffff::1", "fec0::1", "fd00:2021:1111:8000::20:0"),
    "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
    *("fd00:ec1:ffff:ffff:ffff:ffff:ffff:ffff", "fd00:ec3::"),
    *("fd20:cd:ffff:ffff:ffff:ffff:ffff:ffff", "fd20:cf::"),
    *("64:ff9b::a00:5", "64:ff9b::7eff:ffff", "64:ff9b::8000:0", "64:ff9b::a9fd:ffff"),
    *("64:ff9b::a9ff:0", "64:ff9b::643f:ffff", "64:ff9b::6480:0", "64:ff9b::ffff:fffe"),
    *("64:ff9b:1::7f00:1", "64:ff9b::1:0:0"),
    *("2002:a00:5::1", "2002:7eff:ffff::", "2002:8000::", "2002:a9fd:ffff:ffff::"),
    *("2002:643f:ffff:ffff::", "2002:6480::", "2002:a9ff::", "2002:ffff:fffe::"),
]


@both_names
def test_addresses_that_no_name_server_may_name_are_left_out_and_take_no_turn(
    names: Names,
) -> None:
    real = [*names.real[:2]]
    for address in [one for one in LEFT_OUT if (":" in one) == (names.family is V6)]:
        gateway = gateway_for_alice(app())
        resolve(gateway, names, proxies=names.proxies, real=[address])
        alone = behind(gateway, names, *names.proxies)
        resolve(gateway, names, proxies=names.proxies, real=[address, *real, address])
        among = behind(gateway, names, *names.proxies)
        assert (address, alone, among) == (address, [Reason.NO_TRANSLATION] * 4, real * 2)


@both_names
def test_the_neighbours_of_what_is_left_out_are_translated_to(names: Names) -> None:
    addresses = [one for one in JUST_OUTSIDE if (":" in one) == (names.family is V6)]
    gateway = gateway_for_alice(app())
    for number, address in enumerate(addresses, 1):
        resolve(gateway, names, real=[address])
        assert behind(gateway, names, number=number) == [str(ipaddress.ip_address(address))]


def test_the_ranges_that_are_left_out_are_those_of_the_plan() -> None:
    plan = AddressPlan(tunnel=["10.9.0.0/24"], dns_resources=["10.9.1.0/24"])
    gateway = Gateway(TunnelAddresses("10.9.0.1"), address_plan=plan)
    gateway.client_connected("alice", TunnelAddresses("10.9.0.2"), 0.0)
    gateway.authorize("alice", app())
    told = ["10.9.0.3", "10.9.1.3", "10.9.2.3", "100.96.0.1"]
    resolve(gateway, N4, proxies=["10.9.1.1", "10.9.1.2"], real=told)
    for proxy, real in (("10.9.1.1", "10.9.2.3"), ("10.9.1.2", "100.96.0.1")):
        gone_on = udp(f"10.9.0.2:5401 > {real}:443")
        decision = gateway.handle_packet(OUTBOUND, udp(f"10.9.0.2:5401 > {proxy}:443"))
        assert decision == through(gone_on)


# --- Round robin ---------------------------------------------------------------------------


@both_names
def test_proxies_take_the_real_addresses_in_turn_and_in_numeric_order(names: Names) -> None:
    gateway = gateway_for_alice(app())
    one, two, three = names.real
    resolve(gateway, names, proxies=names.proxies, real=[three, one, two, one])
    assert behind(gateway, names, *names.proxies) == [one, two, three, one]
    # The order of the proxies is the client's.
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[::-1], real=[one, two])
    assert behind(gateway, names, *names.proxies) == [two, one, two, one]


def test_each_family_takes_its_own_turns() -> None:
    gateway = gateway_for_alice(app())
    mixed = [N6.proxies[0], N4.proxies[0], N4.proxies[1], N6.proxies[1]]
    resolve(gateway, N4, proxies=mixed, real=[*N6.real[:2], *N4.real[:2]])
    for names in (N4, N6):
        assert behind(gateway, names, *names.proxies[:2]) == [*names.real[:2]]


@both_names
def test_a_family_without_addresses_has_no_translation(names: Names) -> None:
    other = N6 if names is N4 else N4
    gateway = gateway_for_alice(app())
    assert behind(gateway, names) == [Reason.NO_RESOURCE]
    resolve(gateway, names, proxies=[*N4.proxies, *N6.proxies], real=other.real)
    assert behind(gateway, names) == [Reason.NO_TRANSLATION]
    assert behind(gateway, other) == [other.real[0]]
    resolve(gateway, names, real=[])
    assert behind(gateway, names) == [Reason.NO_TRANSLATION]


@both_names
def test_iterables_are_read_once_and_objects_are_addresses_too(names: Names) -> None:
    gateway = gateway_for_alice(app())
    gateway.domain_resolved(
        "alice",
        "app",
        NAME,
        proxy_addresses=(ipaddress.ip_address(proxy) for proxy in names.proxies),
        resolved_addresses={ipaddress.ip_address(real) for real in names.real[:2]},
    )
    assert behind(gateway, names, *names.proxies) == [*names.real[:2]] * 2


# --- Calls that follow each other ----------------------------------------------------------


@both_names
def test_the_last_call_that_names_a_proxy_decides_and_others_stay_as_they_were(
    names: Names,
) -> None:
    gateway = gateway_for_alice(app())
    one, two, three = names.real
    resolve(gateway, names, proxies=names.proxies[:2])
    resolve(gateway, names, proxies=names.proxies[1:3], real=[two])
    resolve(gateway, names, proxies=[], real=[])
    assert behind(gateway, names, *names.proxies) == [one, two, two, Reason.NO_RESOURCE]
    resolve(gateway, names, real=[three])
    assert behind(gateway, names, number=2) == [three]


@both_names
def test_resolving_again_moves_new_sessions_and_leaves_old_ones_alone(names: Names) -> None:
    gateway = gateway_in_use(names)
    # The same name may be written in other ways.
    resolve(gateway, names, real=names.real[1:2], domain="APP.Example.COM.")
    assert behind(gateway, names) == [names.real[0]]
    assert behind(gateway, names, number=5402) == [names.real[1]]
    assert comes_back(gateway, names)
    # Also when no address is left.
    resolve(gateway, names, real=[])
    assert behind(gateway, names) == [names.real[0]]
    assert comes_back(gateway, names)
    assert behind(gateway, names, number=2) == [Reason.NO_TRANSLATION]
    gateway.handle_timeout(120.0)
    assert behind(gateway, names) == [Reason.NO_TRANSLATION]


@both_names
def test_resolving_notices_first_which_sessions_are_over(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.handle_timeout(60.0)
    resolve(gateway, names)
    assert gateway.handle_packet(INBOUND, names.came()) == EXPIRED


@both_names
def test_two_names_may_stand_for_one_address(names: Names) -> None:
    gateway = gateway_with(names)
    resolve(gateway, names, proxies=names.proxies[1:2], domain=OTHER_NAME)
    assert behind(gateway, names, *names.proxies[:2]) == [names.real[0]] * 2
    for number, proxy in ((5401, names.proxies[0]), (5402, names.proxies[1])):
        decision = gateway.handle_packet(INBOUND, names.came(number=number))
        assert decision == through(names.came(number=5401, far=proxy))


@both_names
def test_a_proxy_for_another_name_ends_all_translations_and_sessions(names: Names) -> None:
    gateway = gateway_for_alice(app())
    resolve(gateway, names, proxies=names.proxies[:2])
    resolve(gateway, names, proxies=names.proxies[2:3], domain="third.example.com")
    for number, proxy in enumerate(names.proxies[:3], 1):
        gateway.handle_packet(OUTBOUND, names.sent(number=number, far=proxy))
    resolve(gateway, names, proxies=names.proxies[1:2], real=names.real[2:], domain=OTHER_NAME)
    gone = gateway.handle_packets(INBOUND, [names.came(number=number) for number in (1, 2, 3)])
    assert gone == [GONE] * 3
    found = behind(gateway, names, *names.proxies[:3])
    assert found == [Reason.NO_RESOURCE, names.real[2], Reason.NO_RESOURCE]
    # Ports and room are free again.
    assert gateway.counters().nat_sessions == 1


@both_names
def test_renumbering_is_of_one_client_alone(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.authorize("bob", app())
    for domain in (OTHER_NAME, "third.example.com"):
        gateway.domain_resolved(
            "bob",
            "app",
            domain,
            proxy_addresses=names.proxies[:1],
            resolved_addresses=names.real[2:],
        )
    assert comes_back(gateway, names)
    assert behind(gateway, names, number=2) == [names.real[0]]


# --- Shared proxies ------------------------------------------------------------------------


def gateway_sharing(names: Names) -> Gateway:
    """Give one proxy to two resources, of the same name."""
    gateway = gateway_with(names, Tcp(443), Udp(443))
    gateway.authorize("alice", DnsResource("bpp", "app.example.com", [Tcp("443-444")]))
    resolve(gateway, names, resource_id="bpp")
    return gateway


@both_names
def test_of_several_resources_the_greatest_id_that_permits_answers(names: Names) -> None:
    gateway = gateway_sharing(names)
    answers = [
        gateway.handle_packet(OUTBOUND, names.sent("tcp", 1, port=443)),
        gateway.handle_packet(OUTBOUND, names.sent("tcp", 1, port=444)),
        gateway.handle_packet(OUTBOUND, names.sent("udp", 1, port=443)),
        gateway.handle_packet(INBOUND, names.came("tcp", 1, port=444)),
        gateway.handle_packet(INBOUND, names.came("udp", 1, port=443)),
    ]
    ids = [answer.resource_id if isinstance(answer, Translate) else None for answer in answers]
    assert ids == ["bpp", "bpp", "app", "bpp", "app"]
    gateway.authorize("alice", DnsResource("aaa", "app.example.com"))
    resolve(gateway, names, resource_id="aaa")
    for number in (1, 2):
        answer = gateway.handle_packet(OUTBOUND, names.sent("tcp", number))
        assert isinstance(answer, Translate)
        assert answer.resource_id == "bpp"


@both_names
def test_of_several_that_refuse_the_greatest_id_names_the_reason(names: Names) -> None:
    gateway = gateway_sharing(names)
    packets = [names.sent("udp", port=444), names.sent("echo")]
    assert reasons(gateway, OUTBOUND, packets) == [Reason.UDP_PORT, Reason.ICMP]


@both_names
def test_a_shared_proxy_lives_as_long_as_one_of_its_authorizations(names: Names) -> None:
    gateway = gateway_sharing(names)
    gateway.handle_packet(OUTBOUND, names.sent())
    gateway.revoke("alice", "bpp")
    assert comes_back(gateway, names)
    # An id that is authorized again has no share in it.
    gateway.authorize("alice", DnsResource("bpp", "app.example.com"))
    sent = names.sent("tcp", port=444)
    assert reasons(gateway, OUTBOUND, [sent]) == [Reason.TCP_PORT]
    gateway.revoke("alice", "app")
    assert gateway.handle_packet(INBOUND, names.came()) == GONE
    assert behind(gateway, names) == [Reason.NO_RESOURCE]


@both_names
def test_after_the_last_authorization_the_name_must_be_resolved_again(names: Names) -> None:
    gateway = gateway_in_use(names)
    gateway.revoke("alice", "app")
    gateway.authorize("alice", app())
    assert behind(gateway, names) == [Reason.NO_RESOURCE]
    resolve(gateway, names, real=names.real[1:2])
    assert gateway.handle_packet(INBOUND, names.came()) == GONE
    assert behind(gateway, names) == [names.real[1]]


def test_only_dns_resources_cover_proxy_addresses() -> None:
    gateway = gateway_for_alice(
        CidrResource("all", "100.0.0.0/8"), InternetResource("net"), app(Udp(443))
    )
    assert behind(gateway, N4) == [Reason.NO_RESOURCE]
    resolve(gateway, N4)
    assert reasons(gateway, OUTBOUND, [N4.sent(port=444)]) == [Reason.UDP_PORT]


# --- 1,024 proxies a client ----------------------------------------------------------------


def many(count: int) -> list[str]:
    return [str(IPv4Address("100.97.0.0") + number) for number in range(count)]


def test_a_client_has_1024_proxies_of_all_names_and_families_together() -> None:
    gateway = gateway_for_alice(app())
    gateway.authorize("bob", app())
    resolve(gateway, N4, proxies=many(1_000))
    resolve(gateway, N6, proxies=[f"fd00:2021:1111:8000::a:{n:x}" for n in range(24)])
    last = many(1_001)[-1:]
    with pytest.raises(ValueError, match=r"would have 1025 proxy addresses, more than 1024"):
        resolve(gateway, N4, proxies=last, domain=OTHER_NAME)
    assert behind(gateway, N4, *last) == [Reason.NO_RESOURCE]
    # Naming them again takes no more, and each client has its own.
    resolve(gateway, N4, proxies=many(1_000), real=N4.real[1:2])
    gateway.domain_resolved(
        "bob", "app", OTHER_NAME, proxy_addresses=many(1_024), resolved_addresses=N4.real
    )
    assert behind(gateway, N4, many(1)[0]) == [N4.real[1]]


def test_renumbering_and_revocation_make_room() -> None:
    gateway = gateway_for_alice(app(), DnsResource("other", "**.example.com"))
    resolve(gateway, N4, proxies=many(1_024))
    moved = many(2_047)[1_023:]
    resolve(gateway, N4, proxies=moved, domain=OTHER_NAME)
    assert behind(gateway, N4, moved[0], many(1)[0]) == [N4.real[0], Reason.NO_RESOURCE]
    gateway.revoke("alice", "app")
    resolve(gateway, N4, proxies=many(1_024), resource_id="other")
