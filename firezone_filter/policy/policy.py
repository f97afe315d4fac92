"""`Policy`: who may reach what, until when; the gateway that it describes, and what it means."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from attrs import field, frozen

from firezone_filter.documents.faults import Faults, Place
from firezone_filter.documents.nodes import Node
from firezone_filter.gateway.gateway import Gateway
from firezone_filter.policy.apply import carry_out, check_same, find_steps, moment
from firezone_filter.policy.building import build_gateway, unexpired
from firezone_filter.policy.consistency import (
    ProxyCheck,
    check_name,
    check_test_client,
    check_test_target,
    check_tunnel_address,
    names_by_client,
    refuse_domains,
)
from firezone_filter.policy.parts import (
    PolicyAuthorization,
    PolicyClient,
    PolicyTest,
    is_a,
    to_tuple,
)
from firezone_filter.policy.targets import parse_target
from firezone_filter.policy.told import told_clients
from firezone_filter.structures.attribute_docs import documented
from firezone_filter.values.addresses import Address, AddressPlan, TunnelAddresses
from firezone_filter.values.arguments import check_type
from firezone_filter.values.errors import InvalidTime
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import DnsResource

if TYPE_CHECKING:
    # Whoever decides need not analyse: that is imported when it is asked for.
    from firezone_filter.policy.analysis.changes import PolicyDiff
    from firezone_filter.policy.analysis.findings import Finding
    from firezone_filter.policy.analysis.reach import Reach
    from firezone_filter.policy.analysis.tests import TestResult


def _to_clients(values: Iterable[PolicyClient]) -> tuple[PolicyClient, ...]:
    return to_tuple("clients", values, PolicyClient)


def _to_tests(values: Iterable[PolicyTest]) -> tuple[PolicyTest, ...]:
    return to_tuple("tests", values, PolicyTest)


@documented
@frozen
class Policy:
    """A gateway's addresses, its clients and their authorizations, and its options.

    A policy contradicts itself nowhere, whether it was made by hand or from a file. A tunnel
    address belongs to one peer and is inside the plan's tunnel ranges; an id stands for one
    client; a client has one authorization for a resource. (If there were two, a gateway would
    let the later one count.)

    Only DNS resources have domains, and the name of each must match the resource's pattern.
    Proxy addresses are inside the plan's DNS ranges, and stand once in each list. A client has
    at most 1,024 of them, each for one name: a gateway that hears of a second name takes the
    address away from the first.

    Its tests name clients that it has, and names that are among the domains of that client.

    Raises:
        InvalidPolicy: the policy breaks one of these rules; `faults` lists every place.
        TypeError: an argument is of the wrong type.
    """

    addresses: TunnelAddresses = field(validator=is_a(TunnelAddresses))
    """The gateway's own addresses inside the tunnel."""

    address_plan: AddressPlan = field(default=AddressPlan(), validator=is_a(AddressPlan))
    """The ranges of tunnel addresses, and of proxy addresses for DNS resources."""

    clients: tuple[PolicyClient, ...] = field(default=(), converter=_to_clients)
    """The clients, in order."""

    options: GatewayOptions = field(default=GatewayOptions(), validator=is_a(GatewayOptions))
    """The options of the gateway that it describes."""

    tests: tuple[PolicyTest, ...] = field(default=(), converter=_to_tests)
    """What must hold of it, for `run_tests`. They are no part of what a gateway is told."""

    def __attrs_post_init__(self) -> None:
        top = Node(self, Place(), Faults())
        self._check_addresses(top.child("gateway", 0, None), self.addresses)
        clients = top.child("clients", 1, None)
        for n, client in enumerate(self.clients):
            node = clients.child(n, n, client)
            node.child("id", 0, client.id).require_unique("client ids", client.id)
            self._check_addresses(node, client.addresses)
            self._check_authorizations(node, client)
        self._check_tests(top.child("tests", 2, None))
        top.faults.raise_if_any()

    def _check_addresses(self, peer: Node, addresses: TunnelAddresses) -> None:
        for order, address in enumerate(addresses.present(), start=1):
            node = peer.child(f"ipv{address.version}", order, str(address))
            check_tunnel_address(node, address, self.address_plan)

    def _check_authorizations(self, peer: Node, client: PolicyClient) -> None:
        authorizations = peer.child("authorizations", 3, None)
        proxies = ProxyCheck(peer, self.address_plan)
        for n, one in enumerate(client.authorizations):
            node = authorizations.child(n, n, one)
            resource = node.child("resource", 0, one.resource)
            resource.child("id", 0, one.resource.id).require_unique(
                authorizations.place, one.resource.id
            )
            _check_domains(node.child("domains", 2, one.domains), one, proxies)
        proxies.check_number()

    def _check_tests(self, tests: Node) -> None:
        names = names_by_client(self.clients)
        for n, test in enumerate(self.tests):
            node = tests.child(n, n, test)
            check_test_client(node.child("client", 1, test.client), test.client, names)
            for order, (part, texts) in enumerate(
                (("allow", test.allow), ("deny", test.deny)), start=3
            ):
                targets = node.child(part, order, texts)
                for m, text in enumerate(texts):
                    target = parse_target(text)
                    check_test_target(targets.child(m, m, text), target, test.client, names)

    def gateway(
        self,
        now: float | None = None,
        *,
        options: GatewayOptions | None = None,
    ) -> Gateway:
        """Return a new gateway with every client connected, and its authorizations and domains.

        Args:
            now: Unix time, in seconds; required if an authorization expires. One that has
                expired by then is left out, with its domains; the gateway reports that by
                events.
            options: all of the gateway's options, in the place of the policy's own. To change
                some of them, hand in `attrs.evolve(policy.options, stateful=True)`.

        Raises:
            InvalidTime: *now* is not finite, 2**33 or more, or missing although an
                authorization expires (without a clock the permission would never end), or an
                expiry is more than 50 years after *now*.
            TypeError: an argument is of the wrong type.
        """
        if now is None:
            self._refuse_expiries()
        return build_gateway(
            self.addresses,
            self.address_plan,
            self.options if options is None else options,
            self.clients,
            now,
        )

    def _refuse_expiries(self) -> None:
        for client in self.clients:
            for one in client.authorizations:
                if one.expires_at is not None:
                    raise InvalidTime(
                        f"the policy has authorizations that expire ({one.resource.id!r} at "
                        f"{one.expires_at!r}): call gateway(now=time.time())",
                        one.expires_at,
                    )

    @classmethod
    def of(cls, gateway: Gateway) -> "Policy":
        """Return what a gateway has been told, as a policy; a gateway of it decides as that one.

        What is over at the latest `now` is not in it. Clients are in the order in which they
        connected, the authorizations of each in the order in which they were given, and names
        with all that was given for them: each DNS resource has a list of `domains`, which may be
        empty. So of a policy that says of every DNS resource which names it has, and no name
        twice, it returns an equal one: `Policy.of(policy.gateway(now)) == policy`, apart from
        what has expired.

        Where two resources share a proxy address and the order of calls was not that of the
        policy, an entry more says where the proxy address leads to.

        Raises:
            TypeError: *gateway* is not a `Gateway`.
        """
        check_type("gateway", gateway, Gateway)
        return cls(gateway.addresses, gateway.address_plan, told_clients(gateway), gateway.options)

    def apply(
        self,
        gateway: Gateway,
        now: float | None = None,
        connect: bool = False,  # noqa: FBT001, FBT002 - reads well by name
    ) -> None:
        """Bring a running gateway to this policy, and disturb nothing that does not change.

        Every client of the policy that is connected, under the policy's addresses, has then what
        a new gateway would give it. What is the same already is not touched: its sessions and
        flows go on, and decisions stay remembered.

        - Authorizations are given, changed and revoked. One whose resource is of another kind now,
          or has another network or pattern, is revoked and given anew.
        - Names are resolved. Missing `domains` leave those of a resource alone; a list is all
          there is: a resource that loses a name, or one of its proxy addresses, is revoked and
          given anew. That holds as well for a resource of which the policy says nothing if the
          policy gives one of its proxy addresses to another name; it keeps its other ones.
        - The gateway's own addresses are set.
        - Clients that the policy does not know, or knows under other addresses, are allowed
          nothing. They stay connected, unless *connect* is set.
        - What has expired is not given, and brings no event; it is revoked where the gateway
          has it still.

        All or nothing: a call that raises has changed nothing, time included. (For want of
        memory a call may end half-way. Then nothing of what the policy takes away or changes is
        left, and another call completes it.)

        Args:
            gateway: a gateway with the policy's plan and options.
            now: Unix time, in seconds; `None` for the latest `now` of the gateway.
            connect: whether clients are to be disconnected that the policy does not know, or
                knows under other addresses; and those connected, in its order, that it knows.

        Raises:
            AddressInUse: a client that the policy does not know, or knows under other addresses,
                has one of the policy's own addresses and would stay connected.
            InvalidPolicy: the gateway has another plan, or other options; or a client would have
                more than 1,024 proxy addresses, with those that are left alone.
            InvalidTime: *now* is not finite, 2**33 or more, or more than 50 years from the latest
                `now`; or an expiry, of whichever client, comes before any `now`, or is more than
                50 years ahead.
            TypeError: an argument is of the wrong type.
        """
        check_type("gateway", gateway, Gateway)
        check_type("connect", connect, bool)
        check_same(gateway, self.address_plan, self.options)
        at = moment(gateway, now, self.clients)
        clients = unexpired(self.clients, at)
        steps = find_steps(gateway, self.addresses, clients, at, connect=connect)
        if now is not None:
            gateway.handle_timeout(now)
        carry_out(gateway, steps)

    def reach(self, client_id: str, at: float | None = None) -> "tuple[Reach, ...]":
        """Return everything that a client may reach, as disjoint boxes.

        That is exact of whole packets without IPv4 options and IPv6 extension headers: TCP and
        UDP to every port, ICMP that is no error and may leave its link, and other protocols;
        through proxy addresses TCP, UDP and echo requests that have a translation. What
        `stateful` and the room for sessions ask besides is left aside.

        Args:
            client_id: the client.
            at: the moment, in Unix seconds; `None` if nothing has expired.

        Returns:
            The boxes, IPv4 first, by first address, protocol and port or types. Neighbours that
            differ in nothing else are one. The gateway's own addresses are among them.

        Raises:
            InvalidTime: *at* is not finite, or 2**33 or more.
            TypeError: a wrong type.
            UnknownClient: the policy has no such client.
        """
        from firezone_filter.policy.analysis.reach import reach

        return reach(self, client_id, at)

    def who(
        self,
        target: str | Address,
        protocol: int | str,
        port: int | None = None,
        icmp_type: int | None = None,
        at: float | None = None,
    ) -> tuple[tuple[str, str | None], ...]:
        """Return the clients that may reach a target.

        Args:
            target: an address, or a name, which stands for the proxy addresses that a client
                has for it.
            protocol: a protocol number, `"tcp"`, `"udp"`, or `"icmp"` for that of the address's
                family.
            port: the port of TCP or UDP; `None` for whoever may reach any.
            icmp_type: the type of ICMP; `None` for whoever may reach any.
            at: the moment, in Unix seconds; `None` if nothing has expired.

        Returns:
            Pairs of a client's id and that of the resource that answers, each once, in the
            order of clients; the resource is `None` for the gateway's own address. For a name
            that no client has, and an address that none may reach: `()`.

        Raises:
            InvalidAddress: *target* looks like an address, and is none.
            InvalidPolicy: *target* is no name, *protocol* no protocol, *port* no port or not one
                of TCP or UDP, or *icmp_type* no type or not one of ICMP.
            InvalidTime: *at* is not finite, or 2**33 or more.
            TypeError: a wrong type.
        """
        from firezone_filter.policy.analysis.who import who

        return who(self, target, protocol, port, icmp_type, at)

    def run_tests(self) -> "tuple[TestResult, ...]":
        """Run the policy's tests, and return what became of each, in their order.

        A target of `allow` holds if every address, port and ICMP type that it names is permitted
        and an answer from there would come back; one of `deny` if none is, and nothing from
        there comes in. ICMP errors, later fragments and answers of sessions are left aside. Both
        are exact: computed on sets of addresses, ports and types, without trying samples.

        - Without a port every port is meant. `icmp` is every type that may pass at all: no ICMP
          errors and none that stays on its link, and through a proxy address only the echo
          request. `ping` is the echo request out and the reply in.
        - A name stands for those of its proxy addresses that have a translation. If none has
          one, `allow` fails and `deny` holds.
        - The gateway's own address counts only where a target names it by itself, and not inside
          a network.
        - A client without an address of a family may reach nothing there.
        """
        from firezone_filter.policy.analysis.tests import run_tests

        return run_tests(self)

    def lint(self, at: float | None = None) -> "tuple[Finding, ...]":
        """Return what in the policy is not as it should be, or as it seems.

        That is exact: what permits nothing, or nothing that is not permitted anyway, is found by
        comparing sets of packets, by the rules that decide. lint.md lists all
        codes with their thresholds. What expires later counts as long as it lasts: an
        authorization that outlasts all others is not redundant.

        Args:
            at: the moment that is asked about, in Unix seconds: what has expired by then
                permits nothing. With `None` nothing has expired.

        Returns:
            The findings in the order of a policy file; `()` for a policy without any. Not all
            are mistakes: `Finding.severity` tells.

        Raises:
            InvalidTime: *at* is not finite, or 2**33 or more.
            TypeError: not a number.
        """
        from firezone_filter.policy.analysis.lint import lint

        return lint(self, at)

    def diff(self, other: "Policy", at: float | None = None) -> "PolicyDiff":
        """Return what is different in another policy, which is thought of as the later one.

        A box of what a client has gained or lost is about the same far packets, sent from the
        client's address in each policy. It is as exact as `reach`. That another resource answers
        is no difference if both permit. That one policy is `stateful`, or has room for fewer
        sessions or flows, is a difference of `PolicyDiff.options` alone, and of no box.

        Args:
            other: the other policy.
            at: the moment, in Unix seconds; `None` if nothing has expired.

        Raises:
            InvalidTime: *at* is not finite, or 2**33 or more.
            TypeError: a wrong type.
        """
        check_type("other", other, Policy)
        from firezone_filter.policy.analysis.diff import diff

        return diff(self, other, at)


def _check_domains(domains: Node, one: PolicyAuthorization, proxies: ProxyCheck) -> None:
    pattern = one.resource.pattern() if isinstance(one.resource, DnsResource) else None
    if pattern is None:
        refuse_domains(domains)
    for n, domain in enumerate(one.domains or ()):
        node = domains.child(n, n, domain)
        check_name(node.child("name", 0, domain.name), domain.name, pattern)
        addresses = node.child("proxy_addresses", 1, None)
        for m, address in enumerate(domain.proxy_addresses):
            proxies.add(addresses.child(m, m, str(address)), address, domain.name)
