"""The gateway knows where names lead, whether anybody asks or not."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from ipaddress import ip_address
from pathlib import Path
from typing import Any, TypeVar

import dns.rcode
import pytest

from firezone_filter import DnsResource, PolicyAuthorization, PolicyDomain
from firezone_filter.host.resolver import renewal
from firezone_filter.host.resolver.gateway_names import LEFT_TO_THE_POLICY
from firezone_filter.host.resolver.lease_file import LeaseFile, LeaseFileError
from firezone_filter.host.resolver.leases import LEASE, MOST_OF_A_NAME, Lease, Leases
from firezone_filter.host.resolver.renewal import LEAST_INTERVAL, RETRY
from firezone_filter.host.resolver.resolutions import STALE, Resolved
from firezone_filter.nat.proxies import MAX_PROXIES
from firezone_filter.testing import tcp
from tests.scenes import OUTBOUND
from tests.unit.host.resolver.world import ALICE, GIT, World, proxies, until, world

T = TypeVar("T")

NAME = "git.example.com"


def run(story: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(story)


def asked(*client_ids: str) -> World:
    """Return a world in which these have asked for git."""
    made = world()
    for client_id in client_ids:
        run(made.ask(client_id, NAME))
    return made


def pass_time(made: World, seconds: float) -> None:
    made.clock.now += seconds
    made.gateway.handle_timeout(made.clock.now)
    run(made.renewal.step())


def test_new_addresses_reach_every_client_when_the_time_of_the_old_is_over() -> None:
    made = asked("alice", "bob")
    made.zone.put(NAME, "A", "10.0.0.81")
    pass_time(made, 59.0)
    assert set(made.leads_to("alice").values()) == {"10.0.0.80"}
    pass_time(made, 1.0)
    assert set(made.leads_to("alice").values()) == {"10.0.0.81"}
    assert set(made.leads_to("bob").values()) == {"10.0.0.81"}


def test_what_one_client_is_answered_the_others_get_too() -> None:
    made = asked("alice", "bob")
    made.zone.put(NAME, "A", "10.0.0.81")
    made.clock.now += 60.0
    run(made.ask("bob", NAME))
    assert set(made.leads_to("alice").values()) == {"10.0.0.81"}


def test_the_same_addresses_call_no_hook() -> None:
    made = asked("alice")
    pass_time(made, 60.0)
    assert (len(made.zone.asked), made.hooks) == (2, 1)


def test_a_name_of_short_time_is_not_asked_for_all_the_time() -> None:
    made = world()
    made.zone.put(NAME, "A", "10.0.0.80", ttl=0)
    run(made.ask("alice", NAME))
    pass_time(made, LEAST_INTERVAL - 1.0)
    assert len(made.zone.asked) == 1
    pass_time(made, 1.0)
    assert len(made.zone.asked) == 2


def test_a_name_that_is_gone_leads_nowhere() -> None:
    made = asked("alice")
    made.zone.drop(NAME, "A")
    pass_time(made, 60.0)
    assert list(made.leads_to("alice").values()) == [None]


def test_a_name_of_which_nothing_is_known_for_an_hour_leads_nowhere_until_it_is() -> None:
    made = asked("alice")
    made.zone.silent.add(NAME)
    pass_time(made, 60.0)
    assert list(made.leads_to("alice").values()) == ["10.0.0.80"]
    pass_time(made, STALE)
    assert list(made.leads_to("alice").values()) == [None]
    made.zone.silent.clear()
    pass_time(made, RETRY)
    assert list(made.leads_to("alice").values()) == ["10.0.0.80"]


def test_a_name_that_nobody_may_reach_any_more_is_left_alone() -> None:
    made = asked("alice")
    made.gateway.client_disconnected("alice")
    pass_time(made, 60.0)
    assert len(made.zone.asked) == 1
    assert made.renewal._names == {}


def test_a_client_that_connects_anew_has_its_names_as_soon_as_it_is_authorized() -> None:
    made = asked("alice")
    before = made.leads_to("alice")
    made.gateway.client_connected("alice", ALICE)
    made.renewal.changed(["alice"])
    assert made.leads_to("alice") == {}
    made.gateway.authorize("alice", GIT)
    made.renewal.changed(["alice"])
    assert made.leads_to("alice") == before
    assert len(made.zone.asked) == 1


def test_after_a_restart_the_names_that_clients_may_still_use_are_there(tmp_path: Path) -> None:
    file = LeaseFile(tmp_path / "names.db")
    before = world(leases=Leases(world().names.ranges, file))
    (proxy,) = proxies(run(before.ask("alice", NAME)))
    file.close()
    file = LeaseFile(tmp_path / "names.db")
    made = world(leases=Leases(before.names.ranges, file, file.load(before.clock())))
    made.renewal.changed()
    assert made.leads_to("alice") == {}
    run(made.renewal.step())
    assert made.leads_to("alice") == {proxy: "10.0.0.80"}
    file.close()


def test_after_a_restart_a_name_of_which_nothing_is_known_is_not_mentioned() -> None:
    before = asked("alice")
    made = world(leases=before.leases)
    made.zone.silent.add(NAME)
    made.renewal.changed()
    run(made.renewal.step())
    assert (made.leads_to("alice"), made.hooks) == ({}, 0)


def test_what_a_lease_that_is_over_has_is_taken_back() -> None:
    made = asked("alice")
    (proxy,) = made.leads_to("alice")
    made.clock.now += LEASE
    run(made.renewal.forget_over())
    assert made.leads_to("alice") == {}
    pass_time(made, 0.0)
    assert made.renewal._names == {}
    run(made.ask("alice", NAME))
    assert made.leads_to("alice") == {proxy: "10.0.0.80"}


def test_a_name_in_use_is_taken_back_after_its_last_session() -> None:
    made = asked("alice")
    (proxy,) = made.leads_to("alice")
    made.clock.now += LEASE
    begun = tcp(f"100.64.0.2:40000 > {proxy}:443")
    assert made.gateway.handle_packet(OUTBOUND, begun, made.clock.now).allowed
    run(made.renewal.forget_over())
    assert made.leads_to("alice") == {proxy: None}
    assert made.gateway.handle_packet(OUTBOUND, begun).allowed
    made.clock.now += 60.0
    made.gateway.handle_timeout(made.clock.now)
    run(made.renewal.forget_over())
    assert made.leads_to("alice") == {}


def test_a_name_with_a_lease_of_the_other_version_stays() -> None:
    made = asked("alice")
    made.zone.put(NAME, "AAAA", "2001:db8::80")
    (ipv4,) = made.leads_to("alice")
    made.clock.now += LEASE - 1.0
    run(made.ask("alice", NAME, "AAAA"))
    made.clock.now += 1.0
    run(made.renewal.forget_over())
    assert made.leads_to("alice").pop(ipv4) is None
    made.clock.now += LEASE
    run(made.renewal.forget_over())
    assert made.leads_to("alice") == {}


def fixed(*addresses: str) -> tuple[PolicyAuthorization, ...]:
    """Return a policy that gives addresses to git itself, and leaves its name open as well."""
    domain = PolicyDomain(NAME, addresses, ["10.9.9.9"])
    wide = DnsResource("wide", "**.com")
    return PolicyAuthorization(GIT), PolicyAuthorization(wide, domains=[domain])


OPEN = PolicyAuthorization(GIT), PolicyAuthorization(DnsResource("wide", "**.com"))
OTHER = "100.96.0.9"


def test_what_the_policy_itself_gives_to_a_name_leads_where_it_says() -> None:
    made = asked("alice")
    (proxy,) = made.leads_to("alice")
    made.apply(*fixed(OTHER))
    assert proxies(run(made.ask("alice", NAME))) == [OTHER]
    made.zone.put(NAME, "A", "10.0.0.81")
    pass_time(made, 60.0)
    assert made.leads_to("alice") == {proxy: "10.0.0.81", OTHER: "10.9.9.9"}
    made.apply(*OPEN)
    assert made.leads_to("alice") == {proxy: "10.0.0.81", OTHER: "10.0.0.81"}


@pytest.mark.parametrize(
    "end",
    [
        lambda made: made.apply(PolicyAuthorization(GIT)),
        lambda made: made.gateway.revoke("alice", "wide"),
        lambda made: made.gateway.update_expiry("alice", "wide", made.clock.now),
    ],
    ids=["listed no more", "revoked", "expired"],
)
def test_an_address_that_the_policy_gives_up_leads_where_upstream_says(
    end: Callable[[World], None],
) -> None:
    made = asked("alice")
    (proxy,) = made.leads_to("alice")
    made.apply(*fixed(proxy))
    assert made.leads_to("alice") == {proxy: "10.9.9.9"}
    end(made)
    pass_time(made, 60.0)
    assert made.leads_to("alice") == {proxy: "10.0.0.80"}


def test_two_resources_may_give_addresses_to_one_name() -> None:
    made = asked("alice")
    (proxy,) = made.leads_to("alice")
    other = DnsResource("other", "**.com")
    domains = [PolicyDomain(NAME, [proxy], ["10.8.8.8"])]
    made.apply(*fixed(OTHER), PolicyAuthorization(other, domains=domains))
    made.zone.put(NAME, "A", "10.0.0.81")
    pass_time(made, 60.0)
    assert made.leads_to("alice") == {proxy: "10.8.8.8", OTHER: "10.9.9.9"}
    assert set(proxies(run(made.ask("alice", NAME)))) == {proxy, OTHER}


def test_a_name_is_taken_back_after_the_policy_has_given_it_up() -> None:
    made = asked("alice")
    (proxy,) = made.leads_to("alice")
    made.apply(*fixed(OTHER))
    made.clock.now += LEASE
    run(made.renewal.forget_over())
    assert made.leads_to("alice") == {proxy: None, OTHER: "10.9.9.9"}
    made.apply(*OPEN)
    run(made.renewal.forget_over())
    assert made.leads_to("alice") == {}


def test_others_come_between_one_name_and_the_next() -> None:
    made = asked("alice", "bob")
    made.clock.now += LEASE
    counts = []

    async def story() -> None:
        forgetting = asyncio.create_task(made.renewal.forget_over())
        while not forgetting.done():
            counts.append(len(made.leads_to("alice")) + len(made.leads_to("bob")))
            await asyncio.sleep(0)

    run(story())
    assert counts == [2, 1, 0]


def test_a_name_that_has_a_lease_again_before_its_turn_stays() -> None:
    made = asked("alice")
    made.zone.put(NAME, "A", "10.0.0.80", "10.0.0.81")
    made.clock.now += 60.0
    run(made.ask("bob", NAME))
    first, second = made.leads_to("bob")
    made.clock.now += LEASE

    async def story() -> None:
        forgetting = asyncio.create_task(made.renewal.forget_over())
        await asyncio.sleep(0)
        real = (ip_address("10.0.0.80"),)
        made.given.give("bob", NAME, 4, Resolved(real, exists=True, ends=made.clock.now))
        await forgetting

    run(story())
    assert made.leads_to("alice") == {}
    assert made.leads_to("bob") == {first: "10.0.0.80", second: None}


def test_a_client_has_room_for_new_names_every_day() -> None:
    made = world()
    for day in range(3):
        for number in range((MAX_PROXIES - LEFT_TO_THE_POLICY) // MOST_OF_A_NAME):
            name = f"h{day}-{number}.example.com"
            made.zone.put(name, "A", *(f"10.0.0.{host}" for host in range(MOST_OF_A_NAME)))
            assert run(made.ask("alice", name)).answer, name
        assert not run(made.ask("alice", NAME)).answer
        made.apply(*fixed(*(f"100.127.0.{place}" for place in range(LEFT_TO_THE_POLICY))))
        made.apply(PolicyAuthorization(GIT))
        made.clock.now += LEASE
        run(made.renewal.forget_over())
        assert made.given._left == {}


def test_a_lease_of_a_client_that_is_gone_ends_without_a_word() -> None:
    made = asked("alice")
    made.gateway.client_disconnected("alice")
    made.clock.now += LEASE
    run(made.renewal.forget_over())
    assert (made.leases.of_client("alice"), made.hooks) == ((), 1)


def test_a_name_for_which_the_gateway_has_no_room_is_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = asked("alice")
    made.gateway.client_connected("alice", ALICE)
    made.gateway.authorize("alice", GIT)
    made.gateway.domain_resolved(
        "alice",
        "git",
        "old.example.com",
        proxy_addresses=[f"100.127.{n // 256}.{n % 256}" for n in range(1024)],
        resolved_addresses=[],
    )
    with caplog.at_level(logging.WARNING):
        made.renewal.changed()
    assert [record.message for record in caplog.records] == ["Name not resolved"]
    assert len(made.leads_to("alice")) == 1024


def test_what_cannot_be_written_down_is_taken_back() -> None:
    made = world(leases=Leases(world().names.ranges, FullDisk()))
    assert run(made.ask("alice", NAME)).rcode() == dns.rcode.SERVFAIL
    assert len(made.leads_to("alice")) == 1
    run(made.renewal.forget_over())
    assert made.leads_to("alice") == {}


def test_an_address_that_the_policy_takes_leaves_no_other_behind() -> None:
    made = world()
    made.zone.put(NAME, "A", "10.0.0.80", "10.0.0.81")
    first, _ = proxies(run(made.ask("alice", NAME)))
    # A lease of the first alone.
    made.leases.forget_over(made.clock() + LEASE)
    made.leases.hold("alice", NAME, 4, [ip_address(first)], made.clock())
    domain = PolicyDomain("www.example.com", [first], ["10.9.9.9"])
    made.apply(PolicyAuthorization(DnsResource("wide", "**.com"), domains=[domain]), OPEN[0])
    run(made.ask("alice", "www.example.com"))
    run(made.renewal.forget_over())
    assert made.leads_to("alice") == {first: "10.9.9.9"}


class FullDisk:
    """Where nothing can be written down."""

    def save(self, lease: Lease) -> None:
        raise LeaseFileError(f"no room for {lease}")

    def remove(self, until: float) -> None:
        """Do nothing: there is nothing."""


def test_leases_that_cannot_be_removed_from_the_file_are_over_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = LeaseFile(tmp_path / "names.db")
    made = world(leases=Leases(world().names.ranges, file))
    run(made.ask("alice", NAME))
    made.clock.now += LEASE
    file._database.execute("DROP TABLE lease")
    with caplog.at_level(logging.WARNING):
        run(made.renewal.forget_over())
    assert [record.message for record in caplog.records] == ["Leases not removed"]
    assert made.leads_to("alice") == {}
    file.close()


def test_it_works_step_by_step_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "_STEP", 0.0)
    monkeypatch.setattr(renewal, "_FORGET_EVERY", 0.0)
    made = asked("alice")

    async def story() -> None:
        running = asyncio.create_task(made.renewal.run())
        made.clock.now += LEASE
        await until(lambda: not made.leases.of_client("alice") and not made.renewal._names)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    run(story())
