"""The rows of the gateway's own address, of resources, and of what follows behind them."""

from ipaddress import ip_address
from typing import cast

from firezone_filter.gateway.explaining.answers import Answer, ask, own_filters
from firezone_filter.gateway.explaining.facts import Facts
from firezone_filter.gateway.solicited import ends_a_connection
from firezone_filter.nat.flows import TranslatedFlow
from firezone_filter.nat.nat import Nat
from firezone_filter.nat.sessions import Session
from firezone_filter.stateful.flows import ClientFlows, Flow
from firezone_filter.stateful.identity import identify
from firezone_filter.values.decisions import Reason
from firezone_filter.values.explanations import Check


def own_address(facts: Facts) -> Check:
    """Describe the row of the gateway itself."""
    detail = f"{facts.what()}: {own_filters(facts, facts.headers.protocol)}"
    return Check("own-address", passed=facts.reason is None, detail=detail)


def session(facts: Facts, live: Session) -> Check:
    """Describe the row of sessions, inbound: it passes all."""
    proxy = ip_address(live.proxy)
    detail = f"a live session of {facts.client.id} translates {_mapping(live)}; from here on "
    return Check("session", passed=True, detail=f"{detail}the packet comes from {proxy}")


def _mapping(one: Session) -> str:
    (_, port, proxy), (_, outside, resolved) = one.forward_key, one.reverse_key
    addresses = f"{ip_address(proxy)} to {ip_address(resolved)}"
    ports = f"{port}, which it keeps" if port == outside else f"{port} to {outside}"
    return f"{addresses}, the client's port or id {ports}"


def resource(facts: Facts, far: bytes, flags: int) -> tuple[Check, Answer]:
    """Describe the row of resources, about a far address with such flags."""
    answer = ask(facts, far, flags, facts.headers.protocol, facts.number)
    detail = f"{facts.what()}: {answer.words}"
    if facts.reason is Reason.EXPIRED_NAT_SESSION:
        detail += "; it belonged to a session that ended less than 240 s ago"
    passed = bool(answer.candidates) and answer.candidates[0].permits
    return Check("resource", passed=passed, detail=detail), answer


def outbound_flow(facts: Facts, flows: ClientFlows) -> Check:
    """Describe the row of flows, outbound."""
    identity = identify(facts.headers, facts.packet, outbound=True)
    client_id = facts.client.id
    if facts.reason is Reason.FLOWS_EXHAUSTED:
        pool = flows.pool
        detail = (
            f"it would begin a flow: {client_id} has {flows.count} of {pool.per_client}, all "
            f"clients have {pool.count} of {pool.in_all}, and none gives way"
        )
        return Check("flow", passed=False, detail=detail)
    if identity is None:
        detail = "it belongs to no flow, and begins none: of ICMP only requests do"
    elif flows.find(identity, facts.now) is not None:
        detail = f"it belongs to a live flow that {client_id} began"
    elif ends_a_connection(identity, facts.packet, facts.headers.transport):
        detail = "it belongs to no live flow, and its RST begins none"
    else:
        detail = "it begins a flow"
    return Check("flow", passed=True, detail=detail)


def inbound_flow(facts: Facts, live: Flow | None) -> Check:
    """Describe the row of flows, inbound."""
    which = "no live flow" if live is None else "a live flow"
    detail = f"it belongs to {which} that {facts.client.id} began"
    return Check("flow", passed=live is not None, detail=detail)


def translation(facts: Facts) -> Check:
    """Describe the row of proxy addresses, outbound."""
    flow = facts.ruling.flow
    if flow is not None:
        return Check("translation", passed=True, detail=_translated(flow))
    # A client without a NAT has no proxy addresses, and the row of resources has failed.
    domain = cast("Nat", facts.client.nat).proxies.by_address[facts.far].domain
    if facts.reason is Reason.PROTOCOL:
        detail = f"{facts.what()} is not translated: only TCP, UDP and echo requests are"
    elif facts.reason is Reason.NO_TRANSLATION:
        _, proxy = facts.near_and_far()
        detail = f"{proxy} stands for {domain}, which has no address of this family"
    else:
        detail = (
            f"no port is free for a new session of {facts.client.id} with {domain}, or a limit of "
            "sessions has been reached and none gives way"
        )
    return Check("translation", passed=False, detail=detail)


def _translated(flow: TranslatedFlow) -> str:
    which = "a live session" if flow.session.is_open else "a new session"
    return f"{which} translates {_mapping(flow.session)}"
