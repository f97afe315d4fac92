"""The policy of docs/how-to/resolver.md opens the port, and its program runs."""

import asyncio
import json
from typing import Any, Final

from firezone_filter import Direction, DnsResource, Forward, Gateway, Reject, load_policy
from firezone_filter.testing import tcp, udp
from tests import snippets
from tests.snippets import ROOT
from tests.unit.host.resolver.world import until

PAGE: Final = ROOT / "docs" / "how-to" / "resolver.md"


def gateway() -> Gateway:
    (policy,) = snippets.blocks(PAGE, "json")
    return load_policy(policy).gateway()


def test_the_policy_of_the_page_lets_clients_ask_and_answers_come_back() -> None:
    made = gateway()
    for packet, back in (
        (udp("100.64.0.2:5000 > 100.64.0.1:53"), udp("100.64.0.1:53 > 100.64.0.2:5000")),
        (tcp("100.64.0.2:5000 > 100.64.0.1:53"), tcp("100.64.0.1:53 > 100.64.0.2:5000")),
    ):
        assert isinstance(made.handle_packet(Direction.OUTBOUND, packet, 0.0), Forward)
        assert isinstance(made.handle_packet(Direction.INBOUND, back, 0.0), Forward)


def test_without_the_filters_of_the_page_clients_cannot_ask() -> None:
    (text,) = snippets.blocks(PAGE, "json")
    policy = json.loads(text)
    del policy["options"]
    made = load_policy(policy).gateway()
    packet = udp("100.64.0.2:5000 > 100.64.0.1:53")
    assert isinstance(made.handle_packet(Direction.OUTBOUND, packet, 0.0), Reject)


def test_the_resource_of_the_page_leaves_its_names_to_the_resolver() -> None:
    (text,) = snippets.blocks(PAGE, "json")
    ((one,),) = (client.authorizations for client in load_policy(text).clients)
    assert isinstance(one.resource, DnsResource)
    assert one.domains is None


def test_the_program_of_the_page_serves_and_reloads(tmp_path: Any) -> None:  # noqa: ANN401
    (program,) = snippets.blocks(PAGE, "python")
    (text,) = snippets.blocks(PAGE, "json")
    program = program.replace("/var/lib/gateway", str(tmp_path)).replace(
        'ip_address("100.64.0.1")', 'ip_address("127.0.0.1")'
    )
    program = program.replace('others="refuse"', 'others="refuse", port=0, servers=()')
    names: dict[str, Any] = {}
    exec(compile(program, "docs", "exec"), names)  # noqa: S102 - ours
    made = gateway()

    async def story() -> None:
        serving = asyncio.create_task(names["serve"](made, load_policy(text)))
        await until((tmp_path / "names.db").exists)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        known = names["GatewayNames"](made)
        resolver = await names["RunningResolver"].start(
            known, names["ResolverOptions"](port=0, servers=()), []
        )
        names["on_reload"](made, known, resolver, text)
        assert known.policy == load_policy(text)
        await resolver.close()

    asyncio.run(story())
