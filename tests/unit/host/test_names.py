"""The resolver beside a gateway: what it hears, and what is said and counted."""

import asyncio
import logging
from pathlib import Path

import dns.message
import dns.rcode
import pytest
from attrs import evolve

from firezone_filter import Gateway, GatewayOptions, Policy, Tcp, TunnelAddresses, Udp
from firezone_filter.host.names import Names
from firezone_filter.host.resolver import options as options_module
from firezone_filter.host.resolver.options import ResolverOptions
from firezone_filter.host.watch import LOG
from tests.unit.host.resolver import test_serving
from tests.unit.host.resolver.test_serving import ask_udp

# Its addresses, and those of its clients, are those of loopback.
POLICY = evolve(test_serving.POLICY, addresses=TunnelAddresses("127.0.0.1"))
OPTIONS = ResolverOptions(servers=(), port=0)


def gateway(policy: Policy = POLICY) -> Gateway:
    """Return a gateway at which nobody is connected yet."""
    return evolve(policy, clients=()).gateway()


@pytest.fixture(autouse=True)
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.INFO, LOG.name)
    return caplog


def test_before_it_listens_there_is_nothing_to_tell_or_close() -> None:
    names = Names(gateway(), POLICY, OPTIONS, list)
    names.changed(POLICY)
    names.read_servers()
    assert names.text() == ""
    asyncio.run(names.close())


def test_it_hears_of_clients_and_policies_and_counts_questions() -> None:
    made = gateway()

    async def story() -> None:
        names = Names(made, evolve(POLICY, clients=()), OPTIONS, list)
        await names.start()
        POLICY.apply(made, connect=True)
        names.changed(POLICY)
        reply = dns.message.from_wire(await ask_udp(names.port))
        assert reply.rcode() == dns.rcode.SERVFAIL
        page = names.text()
        await names.close()
        assert page.startswith(
            "# HELP firezone_filter_resolver_questions_total Questions that were looked at.\n"
            "# TYPE firezone_filter_resolver_questions_total counter\n"
            "firezone_filter_resolver_questions_total 1\n"
        )
        assert "\nfirezone_filter_resolver_failed_total 1\n" in page
        assert page.endswith("\nfirezone_filter_resolver_upstream_spoofed_total 0\n")

    asyncio.run(story())


@pytest.mark.parametrize(
    ("filters", "closed"),
    [
        ([Udp(), Tcp()], []),
        ([Udp()], ["TCP"]),
        ([Tcp(1), Udp(1)], ["UDP", "TCP"]),
    ],
    ids=["both", "no TCP", "neither"],
)
def test_that_nobody_can_ask_is_said(
    filters: list[Tcp | Udp], closed: list[str], said: pytest.LogCaptureFixture
) -> None:
    policy = evolve(POLICY, options=GatewayOptions(own_filters=filters))

    async def story() -> None:
        names = Names(gateway(policy), policy, OPTIONS, list)
        await names.start()
        await names.close()

    asyncio.run(story())
    assert [message.split(" to port")[0] for message in said.messages] == [
        "There is no name server to ask: no name can be resolved",
        *(f"own_filters of the policy's options do not permit {one}" for one in closed),
    ]


def test_servers_that_cannot_be_read_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text("nameserver 10.0.0.53\n")
    monkeypatch.setattr(options_module, "RESOLV_CONF", path)

    async def story() -> None:
        names = Names(gateway(), POLICY, ResolverOptions(port=0), list)
        await names.start()
        names.read_servers()
        said.clear()
        path.unlink()
        names.read_servers()
        await names.close()

    asyncio.run(story())
    (message,) = said.messages
    assert message.startswith("The old name servers stay: [Errno 2] No such file")
