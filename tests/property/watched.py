"""The model, watched: what happens to flows of section 7 is counted, so that rare things show."""

from collections import Counter

from firezone_filter import AddressPlan, GatewayOptions, TunnelAddresses
from tests.model import Model
from tests.model.gateway import Client, Ruling
from tests.model.nat import Session
from tests.model.packets import Packet
from tests.model.stateful import Flow, name_of
from tests.model.values import INBOUND, OUTBOUND
from tests.numbers import TCP, UDP


class WatchedModel(Model):
    """The model, and a tally of what became of flows."""

    def __init__(
        self,
        addresses: TunnelAddresses,
        *,
        address_plan: AddressPlan,
        options: GatewayOptions,
        tally: Counter[str],
    ) -> None:
        super().__init__(addresses, address_plan=address_plan, options=options)
        self.tally = tally

    def _rule(self, client: Client, packet: Packet, direction: str) -> Ruling:
        before = {flow: flow.answered for flow in client.flows}
        ruling = super()._rule(client, packet, direction)
        after = {*client.flows}
        for flow in after - before.keys():
            self.tally[f"a flow of {kind_of(flow)}"] += 1
        if any(answered and not flow.answered for flow, answered in before.items()):
            self.tally["a flow began anew"] += 1
        gone = [flow.name for flow in before.keys() - after]
        if direction == INBOUND and gone:
            self.tally["a flow ended with a packet in"] += 1
        elif name_of(packet, OUTBOUND) in gone:
            self.tally["a flow ended with a packet out"] += 1
        elif gone:
            self.tally["a flow gave way"] += 1
        return ruling

    def _session_from_outside(
        self, client: Client, packet: Packet, direction: str
    ) -> Session | None:
        found = super()._session_from_outside(client, packet, direction)
        if found is None and client.sessions.from_outside(packet, direction) is not None:
            what = "packet" if direction == INBOUND else "quote"
            self.tally[f"a {what} went as it came"] += 1
        return found


def kind_of(flow: Flow) -> str:
    protocol, _, _, which = flow.name
    named = {TCP: "tcp", UDP: "udp"}.get(protocol, "other")
    return f"icmp {which[0]}" if which and named == "other" else named
