"""Explaining a decision: what the judge decides about a packet at a moment, and row by row why.

Theory of operation. The decision is the judge's own, for any moment from the latest `now` on, and
nothing is committed. The judge looks at nothing that upkeep, or an earlier packet, would have had
to change: what is over by then counts as gone, whether or not it has been forgotten. So the ruling
equals what `Gateway.handle_packet` would carry out at that moment, and the flow cache need not be
asked. The permissions are asked by `ClientAccess.foresee`, which leaves no trace.

Then the same facts are described. Which rows apply follows from the headers and the client, in
the order of the judge's tables; each row tells what it compared (`explaining`), and the first
that fails is the last. Sessions, flows, fragments and quotes are found by the very functions that
the judge calls, and candidates by `access.candidates`, so no rule is said a second time: where a
reason alone leaves open which row has refused, as `PROTOCOL` does, the row's own question is asked
again.

Nothing here runs for a packet that is decided, so wording may take its time.
"""

from collections.abc import Iterator
from typing import final

from firezone_filter.access.authorizations import ClientAccess
from firezone_filter.access.special_ranges import DNS, PROXY
from firezone_filter.gateway.clients import ClientTable
from firezone_filter.gateway.context import GatewayContext
from firezone_filter.gateway.explaining import address_rows, resource_rows
from firezone_filter.gateway.explaining.answers import NOBODY, Answer
from firezone_filter.gateway.explaining.error_row import icmp_error
from firezone_filter.gateway.explaining.facts import Facts
from firezone_filter.gateway.explaining.summary import summarize
from firezone_filter.gateway.judge import Judge
from firezone_filter.gateway.solicited import find_inbound
from firezone_filter.packet.headers import NO_PORT, Headers, fault_in, read_headers
from firezone_filter.packet.icmp import ERROR, ICMP_KINDS, ON_LINK, ORDINARY
from firezone_filter.stateful.identity import identify
from firezone_filter.values.decisions import Direction
from firezone_filter.values.explanations import Check, Explanation


def explain(  # noqa: PLR0913, PLR0917 - the gateway, and what `Gateway.explain` is given
    context: GatewayContext,
    clients: ClientTable,
    direction: Direction,
    packet: bytes,
    now: float,
    client_id: str | None,
) -> Explanation:
    """Explain the decision about a packet at a moment, without any effect.

    Args:
        context: the gateway.
        clients: its clients.
        direction: which way the packet goes.
        packet: the packet.
        now: the moment: the latest time of the gateway's clock, or a later one.
        client_id: the client that the host named; `None` if it named none.
    """
    judge = Judge(context, clients, ClientAccess.foresee)
    ruling = judge.judge(direction, packet, now, client_id)
    headers = read_headers(packet)
    if headers is None:
        detail = f"{fault_in(packet)} ({len(packet)} bytes)"
        check = Check("headers", passed=False, detail=detail)
        return Explanation(ruling.decision, (check,), (), (), None, None)
    way = _Way(Facts(context, clients, direction, packet, now, client_id, headers, ruling))
    return Explanation(
        ruling.decision,
        way.checks(),
        way.answer.candidates,
        way.answer.excluded,
        None if ruling.client is None else ruling.client.id,
        summarize(headers, packet),
    )


@final
class _Way:
    """The way of one packet through the table of its direction."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self.answer: Answer = NOBODY
        """What resources have answered, in the row of resources or that of ICMP errors."""

    def checks(self) -> tuple[Check, ...]:
        """Return the rows that apply, up to the one that decides."""
        checks = []
        for check in self._rows():
            checks.append(check)
            if not check.passed:
                break
        return tuple(checks)

    def _rows(self) -> Iterator[Check]:
        """Yield the rows that apply; behind one that has failed nobody may ask for more."""
        facts, fragment = self._facts, self._facts.headers.fragment
        yield address_rows.headers(facts)
        yield address_rows.multicast(facts) if facts.outbound else address_rows.tunnel(facts)
        yield address_rows.client(facts)
        if facts.outbound and facts.client_id is not None:
            yield address_rows.source(facts)
        if fragment is not None:
            yield address_rows.fragment(facts, fragment)
            if facts.headers.is_later_fragment:
                return
        yield address_rows.peer_address(facts)
        kind = _kind(facts.headers)
        if kind == ERROR:
            check, self.answer = icmp_error(facts)
            yield check
        elif kind == ON_LINK:
            yield address_rows.link_local_icmp(facts)
        elif facts.is_own:
            yield resource_rows.own_address(facts)
        elif facts.outbound:
            yield from self._outbound_rows()
        else:
            yield from self._inbound_rows()

    def _outbound_rows(self) -> Iterator[Check]:
        facts, flows = self._facts, self._facts.client.flows
        yield self._resource(facts.far, facts.flags)
        if flows is not None:
            yield resource_rows.outbound_flow(facts, flows)
        if facts.flags & DNS:
            yield resource_rows.translation(facts)

    def _inbound_rows(self) -> Iterator[Check]:
        facts = self._facts
        nat, flows, session, live = facts.client.nat, facts.client.flows, None, None
        if nat is not None:
            session = nat.session_inbound(facts.headers, facts.packet, facts.now)
        if flows is not None:
            identity = identify(facts.headers, facts.packet, outbound=False)
            live, session = find_inbound(flows, identity, session, facts.now)
        if session is None:
            yield self._resource(facts.far, facts.flags)
        else:
            yield resource_rows.session(facts, session)
            yield self._resource(session.proxy, PROXY)
        if flows is not None:
            yield resource_rows.inbound_flow(facts, live)

    def _resource(self, far: bytes, flags: int) -> Check:
        check, self.answer = resource_rows.resource(self._facts, far, flags)
        return check


def _kind(headers: Headers) -> int:
    if headers.icmp_type == NO_PORT:
        return ORDINARY
    return ICMP_KINDS[headers.protocol][headers.icmp_type]
