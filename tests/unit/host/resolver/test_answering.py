"""What a client's question is answered with."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest

from firezone_filter import AddressPlan, DnsResource, PolicyAuthorization, PolicyDomain
from firezone_filter.host.resolver.leases import Leases
from tests.unit.host.resolver.world import ALICE, BOB, GIT, World, proxies, texts, world

T = TypeVar("T")


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


# --- Addresses -----------------------------------------------------------------------------


def test_a_name_of_a_resource_gets_a_proxy_address_that_leads_to_its_real_one() -> None:
    made = world()
    answer = run(made.ask("alice", "git.example.com"))
    (proxy,) = proxies(answer)
    assert made.leads_to("alice") == {proxy: "10.0.0.80"}
    assert answer.answer[0].ttl == 60
    assert answer.flags & dns.flags.RA
    assert not answer.flags & (dns.flags.AA | dns.flags.AD)


def test_an_ipv6_address_stands_for_an_ipv6_address() -> None:
    made = world()
    made.zone.put("git.example.com", "AAAA", "2001:db8::80")
    (proxy,) = proxies(run(made.ask("alice", "git.example.com", "AAAA")))
    assert made.leads_to("alice") == {proxy: "2001:db8::80"}


def test_a_client_without_ipv6_gets_no_ipv6_address() -> None:
    made = world()
    made.zone.put("git.example.com", "AAAA", "2001:db8::80")
    answer = run(made.ask("bob", "git.example.com", "AAAA"))
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert made.zone.asked == [("git.example.com", "A")]


@pytest.mark.parametrize("ranges", [["100.96.0.0/11"], []], ids=["only-ipv4", "none"])
def test_without_proxy_addresses_of_a_family_nobody_gets_any(ranges: list[str]) -> None:
    made = World(
        ("alice", ALICE, [PolicyAuthorization(GIT)]), plan=AddressPlan(dns_resources=ranges)
    )
    made.zone.put("git.example.com", "A", "10.0.0.80")
    made.zone.put("git.example.com", "AAAA", "2001:db8::80")
    found = [run(made.ask("alice", "git.example.com", kind)) for kind in ("A", "AAAA")]
    assert [one.rcode() for one in found] == [dns.rcode.NOERROR] * 2
    assert [len(one.answer) for one in found] == [len(ranges), 0]


@pytest.mark.parametrize("kind", ["A", "AAAA"])
def test_a_name_that_does_not_exist_is_told_so_with_a_soa(kind: str) -> None:
    answer = run(world().ask("bob", "nothing.example.com", kind))
    assert answer.rcode() == dns.rcode.NXDOMAIN
    assert [(one.name.to_text(), one.ttl) for one in answer.authority] == [("example.com.", 60)]


def test_a_name_without_addresses_of_a_family_is_told_so_and_exists() -> None:
    answer = run(world().ask("alice", "git.example.com", "AAAA"))
    assert (answer.rcode(), answer.answer, len(answer.authority)) == (0, [], 1)


def test_a_name_that_only_leads_where_no_name_may_lead_has_no_address() -> None:
    made = world()
    made.zone.put("rebinding.example.com", "A", "127.0.0.1", "169.254.169.254", "100.64.0.3")
    answer = run(made.ask("alice", "rebinding.example.com"))
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])
    assert made.leads_to("alice") == {}


def test_aliases_are_followed_and_not_shown() -> None:
    made = world()
    made.zone.put("www.example.com", "CNAME", "edge.cdn.example.", ttl=20)
    made.zone.put("edge.cdn.example", "A", "192.0.2.80", ttl=50)
    answer = run(made.ask("alice", "www.example.com"))
    (proxy,) = proxies(answer)
    assert [one.name.to_text() for one in answer.answer] == ["www.example.com."]
    assert answer.answer[0].ttl == 20
    assert made.leads_to("alice") == {proxy: "192.0.2.80"}


def test_an_alias_of_itself_is_a_failure() -> None:
    made = world()
    made.zone.put("loop.example.com", "CNAME", "loop.example.com.")
    for kind in ("A", "TXT"):
        assert run(made.ask("alice", "loop.example.com", kind)).rcode() == dns.rcode.SERVFAIL


def test_upper_and_lower_case_come_back_as_they_came() -> None:
    made = world()
    shown = [run(made.ask("alice", name)) for name in ("GIT.example.COM", "git.EXAMPLE.com")]
    assert [one.answer[0].name.to_text() for one in shown] == [
        "GIT.example.COM.",
        "git.EXAMPLE.com.",
    ]
    assert texts(shown[0]) == texts(shown[1])
    assert made.zone.asked == [("git.example.com", "A")]


def test_each_real_address_has_a_proxy_address_up_to_four() -> None:
    made = world()
    made.zone.put("git.example.com", "A", *(f"10.0.0.{n}" for n in range(1, 7)))
    found = proxies(run(made.ask("alice", "git.example.com")))
    assert sorted(made.leads_to("alice")) == sorted(found)
    assert sorted(filter(None, made.leads_to("alice").values())) == [
        "10.0.0.1",
        "10.0.0.2",
        "10.0.0.3",
        "10.0.0.4",
    ]


def test_a_name_is_told_to_every_resource_that_matches_it_and_is_open() -> None:
    wide = DnsResource("wide", "**.example.com")
    other = DnsResource("other", "*.example.org")
    made = World(("alice", ALICE, map(PolicyAuthorization, (GIT, wide, other))))
    made.zone.put("git.example.com", "A", "10.0.0.80")
    run(made.ask("alice", "git.example.com"))
    (proxy,) = made.gateway.client("alice").proxies
    assert proxy.resource_ids == ("git", "wide")


def test_asking_again_calls_no_hook() -> None:
    made = world()
    run(made.ask("alice", "git.example.com"))
    run(made.ask("alice", "git.example.com"))
    assert made.hooks == 1


def test_an_answer_lasts_as_long_as_that_of_upstream_still_does() -> None:
    made = world()
    run(made.ask("alice", "git.example.com"))
    made.clock.now += 45
    assert run(made.ask("bob", "git.example.com")).answer[0].ttl == 15
    made.clock.now += 15
    assert run(made.ask("bob", "git.example.com")).answer[0].ttl == 60


def test_an_answer_lasts_for_five_minutes_at_most() -> None:
    made = world()
    made.zone.put("git.example.com", "A", "10.0.0.80", ttl=86_400)
    assert run(made.ask("alice", "git.example.com")).answer[0].ttl == 300


@pytest.mark.parametrize("kind", ["A", "TXT"])
def test_a_permission_that_ends_while_upstream_is_asked_gives_nothing(kind: str) -> None:
    made = world()
    made.zone.put("git.example.com", "TXT", '"hello"')

    async def story() -> dns.message.Message:
        asking = asyncio.create_task(made.ask("alice", "git.example.com", kind))
        await asyncio.sleep(0)
        made.gateway.revoke("alice", "git")
        return await asking

    assert run(story()).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize(("kind", "wanted"), [("A", ["100.96.0.9"]), ("TXT", [])])
def test_a_name_that_gets_addresses_of_the_policy_while_upstream_is_asked_has_these_alone(
    kind: str, wanted: list[str]
) -> None:
    made = world()
    made.zone.put("git.example.com", "TXT", '"hello"')
    fixed = PolicyDomain("git.example.com", ["100.96.0.9"], ["10.9.9.9"])
    wide = DnsResource("wide", "**.com")

    async def story() -> dns.message.Message:
        asking = asyncio.create_task(made.ask("alice", "git.example.com", kind))
        await asyncio.sleep(0)
        made.apply(PolicyAuthorization(GIT), PolicyAuthorization(wide, domains=[fixed]))
        return await asking

    assert texts(run(story())) == wanted
    assert made.leads_to("alice") == {"100.96.0.9": "10.9.9.9"}


def test_a_permission_that_is_over_makes_the_name_one_of_the_others() -> None:
    made = world()
    made.gateway.update_expiry("alice", "git", made.clock.now + 10)
    made.gateway.handle_timeout(made.clock.now + 10)
    assert run(made.ask("alice", "git.example.com")).rcode() == dns.rcode.REFUSED


def test_when_upstream_says_nothing_that_is_a_failure() -> None:
    made = world()
    made.zone.silent.add("git.example.com")
    for kind in ("A", "AAAA", "HTTPS"):
        assert run(made.ask("alice", "git.example.com", kind)).rcode() == dns.rcode.SERVFAIL
    assert made.resolver.counters.failed == 3


def test_a_client_that_has_all_its_proxy_addresses_gets_no_more() -> None:
    made = world()
    made.gateway.domain_resolved(
        "alice",
        "git",
        "old.example.com",
        proxy_addresses=[f"100.127.{n // 256}.{n % 256}" for n in range(1024)],
        resolved_addresses=["10.0.0.1"],
    )
    assert run(made.ask("alice", "git.example.com")).rcode() == dns.rcode.SERVFAIL
    # What it did not get must not keep it from what it has.
    assert made.leases.of_client("alice") == ()
    assert run(made.ask("bob", "git.example.com")).rcode() == dns.rcode.NOERROR


def test_when_no_proxy_address_is_left_that_is_a_failure() -> None:
    made = world(leases=Leases(()))
    assert run(made.ask("alice", "git.example.com")).rcode() == dns.rcode.SERVFAIL


# --- Names that the policy itself gives addresses ------------------------------------------


def fixed() -> World:
    domains = [PolicyDomain("git.example.com", ["100.96.0.9", "fd00:2021:1111:8000::9"], [])]
    may = PolicyAuthorization(GIT, domains=domains)
    return World(("alice", ALICE, [may]), ("bob", BOB, [may]))


@pytest.mark.parametrize(
    ("client_id", "kind", "wanted"),
    [
        ("alice", "A", ["100.96.0.9"]),
        ("alice", "AAAA", ["fd00:2021:1111:8000::9"]),
        ("bob", "A", ["100.96.0.9"]),
        ("bob", "AAAA", []),
        ("alice", "HTTPS", []),
        ("alice", "ANY", ['"RFC8482" ""']),
    ],
)
def test_a_name_with_addresses_of_the_policy_is_answered_with_them(
    client_id: str, kind: str, wanted: list[str]
) -> None:
    made = fixed()
    answer = run(made.ask(client_id, "git.example.com", kind))
    assert (answer.rcode(), texts(answer)) == (dns.rcode.NOERROR, wanted)
    assert made.zone.asked == []


def test_a_resource_whose_names_the_policy_lists_has_no_others() -> None:
    made = fixed()
    assert run(made.ask("alice", "www.example.com")).rcode() == dns.rcode.REFUSED


def test_an_address_that_the_policy_gives_up_goes_to_nobody_while_it_may_be_cached() -> None:
    plan = AddressPlan(dns_resources=["100.96.0.8/30"])
    domains = [PolicyDomain("git.example.com", ["100.96.0.9"], [])]
    before = World(("alice", ALICE, [PolicyAuthorization(GIT, domains=domains)]), plan=plan)
    assert proxies(run(before.ask("alice", "git.example.com"))) == ["100.96.0.9"]
    made = World(("alice", ALICE, [PolicyAuthorization(GIT)]), leases=before.leases, plan=plan)
    for name in ("www.example.com", "git.example.com", "one.example.com"):
        made.zone.put(name, "A", "10.0.0.7")
    assert proxies(run(made.ask("alice", "www.example.com"))) == ["100.96.0.10"]
    assert run(made.ask("alice", "one.example.com")).rcode() == dns.rcode.SERVFAIL
    assert proxies(run(made.ask("alice", "git.example.com"))) == ["100.96.0.9"]


def test_a_lease_gives_way_to_what_the_policy_says() -> None:
    made = world()
    (proxy,) = proxies(run(made.ask("alice", "git.example.com")))
    kept = Leases(made.names.ranges, kept=made.leases.of_client("alice"))
    wiki = DnsResource("wiki", "wiki.example.org")
    domains = [PolicyDomain("wiki.example.org", [proxy], ["10.0.0.7"])]
    changed = World(
        ("alice", ALICE, [PolicyAuthorization(GIT), PolicyAuthorization(wiki, domains=domains)]),
        leases=kept,
    )
    changed.zone.put("git.example.com", "A", "10.0.0.80")
    changed.renewal.changed()
    run(changed.renewal.step())
    (other,) = proxies(run(changed.ask("alice", "git.example.com")))
    assert changed.leads_to("alice") == {proxy: "10.0.0.7", other: "10.0.0.80"}


# --- Other types ---------------------------------------------------------------------------


def test_service_bindings_have_no_hints_and_lead_nowhere_else() -> None:
    made = world()
    made.zone.put(
        "git.example.com",
        "HTTPS",
        '1 . alpn="h2,h3" ipv4hint=10.0.0.80 ipv6hint=2001:db8::80 port=8443',
        '2 git.example.com. mandatory="alpn,ipv4hint" alpn=h2 ipv4hint=10.0.0.80',
        '3 www.example.com. mandatory="ipv4hint" ipv4hint=10.0.0.80',
        "4 git.cdn.example. alpn=h2",
        "5 strange\\032name.example.com. alpn=h2",
    )
    answer = run(made.ask("alice", "git.example.com", "HTTPS"))
    assert sorted(texts(answer)) == [
        '1 . alpn="h2,h3" port="8443"',
        '2 git.example.com. mandatory="alpn" alpn="h2"',
        "3 www.example.com.",
    ]


def test_service_bindings_of_which_none_is_left_are_no_records() -> None:
    made = world()
    made.zone.put("git.example.com", "HTTPS", "0 git.cdn.example.")
    answer = run(made.ask("alice", "git.example.com", "HTTPS"))
    assert (answer.rcode(), answer.answer) == (dns.rcode.NOERROR, [])


def test_records_of_other_types_are_those_of_upstream_without_the_chain() -> None:
    made = world()
    made.zone.put("www.example.com", "CNAME", "edge.cdn.example.")
    made.zone.put("edge.cdn.example", "TXT", '"hello"')
    answer = run(made.ask("alice", "www.example.com", "TXT"))
    assert [(one.name.to_text(), one.ttl) for one in answer.answer] == [("www.example.com.", 60)]
    assert texts(answer) == ['"hello"']


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("git.example.com", "TXT", dns.rcode.NOERROR),
        ("nothing.example.com", "TXT", dns.rcode.NXDOMAIN),
        ("git.example.com", "CNAME", dns.rcode.NOERROR),
    ],
)
def test_records_that_are_not_there(name: str, kind: str, code: int) -> None:
    made = world()
    made.zone.negative_ttl = None
    answer = run(made.ask("alice", name, kind))
    assert (answer.rcode(), answer.answer, len(answer.authority)) == (code, [], 1)


def test_a_question_for_everything_gets_the_least() -> None:
    assert texts(run(world().ask("alice", "git.example.com", "ANY"))) == ['"RFC8482" ""']


# --- Names that nobody upstream is asked for -----------------------------------------------


@pytest.mark.parametrize(
    "name", ["use-application-dns.net", "_dns.resolver.arpa", "resolver.arpa"]
)
def test_names_that_lead_around_the_resolver_do_not_exist(name: str) -> None:
    made = world(others="forward")
    assert run(made.ask("alice", name)).rcode() == dns.rcode.NXDOMAIN
    assert made.zone.asked == []


def test_a_proxy_address_has_the_name_that_it_stands_for() -> None:
    made = world(others="forward")
    (proxy,) = proxies(run(made.ask("alice", "git.example.com")))
    name = dns.reversename.from_address(proxy).to_text()
    assert texts(run(made.ask("alice", name, "PTR"))) == ["git.example.com."]
    assert run(made.ask("alice", name, "TXT")).rcode() == dns.rcode.NOERROR
    assert run(made.ask("bob", name, "PTR")).rcode() == dns.rcode.NXDOMAIN
    made.gateway.revoke("alice", "git")
    assert texts(run(made.ask("alice", name, "PTR"))) == ["git.example.com."]
    assert made.zone.asked == [("git.example.com", "A")]


@pytest.mark.parametrize("name", ["1.0.0.10.in-addr.arpa", "10.in-addr.arpa", "x.in-addr.arpa"])
def test_other_reverse_names_are_forwarded(name: str) -> None:
    made = world(others="forward")
    run(made.ask("alice", name, "PTR"))
    assert made.zone.asked == [(name, "PTR")]


# --- All others ----------------------------------------------------------------------------


def test_other_names_are_refused_if_so_configured() -> None:
    made = world()
    assert run(made.ask("alice", "www.example.net")).rcode() == dns.rcode.REFUSED
    assert (made.zone.asked, made.resolver.counters.refused) == ([], 1)


def test_other_names_are_forwarded_if_so_configured_in_the_case_of_the_client() -> None:
    made = world(others="forward")
    made.zone.put("www.example.net", "CNAME", "edge.example.net.")
    made.zone.put("edge.example.net", "A", "192.0.2.1")
    answer = run(made.ask("alice", "WWW.example.net"))
    assert [one.to_text() for one in answer.answer] == [
        "WWW.example.net. 60 IN CNAME edge.example.net.",
        "edge.example.net. 60 IN A 192.0.2.1",
    ]
    assert not answer.flags & dns.flags.AD
    assert made.resolver.counters.forwarded == 1


def test_what_was_validated_is_said_to_those_who_ask_for_it() -> None:
    made = world(others="forward")
    query = dns.message.make_query("www.example.net", "A", want_dnssec=True)
    assert run(made.ask("alice", "", query=query)).flags & dns.flags.AD


def test_names_that_no_resource_can_have_are_forwarded() -> None:
    made = world(others="forward")
    run(made.ask("alice", "strange\\032name.example.com"))
    assert made.zone.asked == [("strange\\032name.example.com", "A")]


def test_who_does_not_want_upstream_to_be_asked_is_refused() -> None:
    made = world(others="forward")
    query = dns.message.make_query("www.example.net", "A", flags=0)
    assert run(made.ask("alice", "", query=query)).rcode() == dns.rcode.REFUSED


# --- Sizes ---------------------------------------------------------------------------------


def long(made: World) -> None:
    made.zone.put("long.example.net", "TXT", *(f'"{n:0200}"' for n in range(7)))


@pytest.mark.parametrize("payload", [0, 1_232, 4_096])
def test_an_answer_that_is_too_long_is_truncated(payload: int) -> None:
    made = world(others="forward")
    long(made)
    query = dns.message.make_query("long.example.net", "TXT", payload=payload or None)
    wire = run(made.resolver.answer(made.client("alice"), query.to_wire(), tcp=False))
    assert wire is not None
    answer = dns.message.from_wire(wire)
    assert answer.flags & dns.flags.TC
    assert (answer.answer, answer.edns) == ([], 0 if payload else -1)


def test_over_tcp_it_is_whole() -> None:
    made = world(others="forward")
    long(made)
    answer = run(made.ask("alice", "long.example.net", "TXT", tcp=True))
    assert len(texts(answer)) == 7
    assert not answer.flags & dns.flags.TC


def test_an_answer_is_as_long_as_the_client_says_it_can_take() -> None:
    made = world(others="forward")
    made.zone.put("long.example.net", "TXT", *(f'"{n:0200}"' for n in range(4)))
    short = dns.message.make_query("long.example.net", "TXT", payload=600)
    enough = dns.message.make_query("long.example.net", "TXT", payload=1_100)
    assert run(made.ask("alice", "", query=short)).flags & dns.flags.TC
    assert len(texts(run(made.ask("alice", "", query=enough)))) == 4


def test_what_a_client_says_of_itself_is_not_passed_on_and_does_not_come_back() -> None:
    made = world(others="forward")
    made.zone.put("www.example.net", "A", "192.0.2.1")
    option = dns.edns.ECSOption("198.51.100.0", 24)
    query = dns.message.make_query("www.example.net", "A", options=[option])
    answer = run(made.ask("alice", "", query=query))
    assert (answer.edns, answer.payload, answer.options) == (0, 1_232, ())
