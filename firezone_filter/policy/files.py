"""Policy files: a `Policy` read from JSON text, and written as such. No file is opened here."""

import json
import re
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Final

from firezone_filter.documents.faults import quoted
from firezone_filter.documents.nodes import Fields, Node, build_if_complete
from firezone_filter.documents.parsing import read_document
from firezone_filter.documents.resource_json import (
    peek_kind,
    read_id,
    read_network,
    read_resource,
    write_networks,
    write_resource,
)
from firezone_filter.packet.numbers import IPV4, IPV6
from firezone_filter.policy.consistency import (
    ProxyCheck,
    check_name,
    check_tunnel_address,
    names_by_client,
    refuse_domains,
)
from firezone_filter.policy.options_json import read_options, write_options
from firezone_filter.policy.parts import PolicyAuthorization, PolicyClient, PolicyDomain
from firezone_filter.policy.policy import Policy
from firezone_filter.policy.tests_json import read_tests, write_tests
from firezone_filter.values.addresses import (
    Address,
    AddressPlan,
    Network,
    TunnelAddresses,
    to_address,
    to_resolved,
)
from firezone_filter.values.domains import DomainPattern, to_domain
from firezone_filter.values.errors import InvalidPolicy, shown
from firezone_filter.values.times import IN_SECONDS, to_time

_DEFAULT_PLAN: Final = AddressPlan()

IGNORED: Final = ("$schema",)
"""Editors take the schema from there by which they complete and check a file."""

IGNORED_OF_GATEWAY: Final = ("upstream_dns", "upstream_do53", "upstream_doh", "search_domain")
"""What the portal sends besides, so that its objects can be pasted in: of the gateway's
`interface`."""

IGNORED_OF_CLIENT: Final = (
    "public_key",
    "preshared_key",
    "version",
    "device_serial",
    "device_os_name",
    "device_os_version",
    "device_uuid",
    "firebase_installation_id",
    "identifier_for_vendor",
)
"""The same of a client."""

_LONGEST_NAME: Final = 4_096  # of a path on Linux, its end included
_FILE_NAME: Final = re.compile(r"[^\n]*([/\\][^\n]*|\.[A-Za-z]\w*)")


def load_policy(source: str | bytes | Mapping[str, object]) -> Policy:
    """Read a policy.

    ```json
    {"gateway": {"ipv4": "100.64.0.1", "ipv6": "fd00:2021:1111::1"},
     "address_plan": {"tunnel": ["100.64.0.0/11"], "dns_resources": ["100.96.0.0/11"]},
     "options": {"stateful": true, "own_filters": [{"protocol": "icmp"}]},
     "clients": [{"id": "alice", "ipv4": "100.64.0.2", "authorizations": [
       {"resource": {"type": "cidr", "id": "db", "name": "Database",
                     "address": "10.0.0.0/24", "exclude": ["10.0.0.128/25"],
                     "filters": [{"protocol": "tcp", "port_range_start": 5432,
                                  "port_range_end": 5432},
                                 {"protocol": "icmp", "types": [8], "types_v6": [128]},
                                 {"protocol": 47}]},
        "expires_at": 1790000000},
       {"resource": {"type": "dns", "id": "git", "address": "git.example.com", "filters": []},
        "domains": [{"name": "git.example.com",
                     "proxy_addresses": ["100.96.0.1", "fd00:2021:1111:8000::1"],
                     "resolved_addresses": ["10.20.0.10"]}]}]}],
     "tests": [{"name": "alice works", "client": "alice", "at": 1789000000,
                "allow": ["tcp 10.0.0.5:5432", "ping 10.0.0.5", "tcp git.example.com:443"],
                "deny": ["tcp 10.0.0.5:22", "udp 0.0.0.0/0:25"]}]}
    ```

    - `gateway` and each client have an `ipv4`, an `ipv6` or both; `null` means none.
      `clients` and each client's `authorizations` are required, but may be empty.
    - `address_plan` may be missing, and so may either list in it. **An address family that
      a list does not name keeps its default ranges** (`AddressPlan`), as IPv6 does above.
    - `options` may be missing, and so may each of them: the fields of `GatewayOptions`, with
      `own_filters` written as the filters of a resource.
    - `expires_at` is in Unix seconds; missing or `null`, it means never.
    - A resource is written as the portal sends it: of type `cidr`, `dns` or `internet`.
      `filters` are required, and **an empty list permits every protocol**. A filter of
      `tcp` or `udp` without `port_range_start` begins at port 0; without `port_range_end`
      it ends at 65535. `internet` has no filters.
    - Extensions of this library, which the portal has not: `exclude` of `cidr` and
      `internet`, a list of networks that do not belong to the resource; a filter of `icmp`
      with `types`, `types_v6` or both, lists of ICMP types (`Icmp`); and a filter of another
      protocol, by its number (`Protocol`).
    - `domains`, for DNS resources only, lists resolved names, with which
      `Gateway.domain_resolved` is called for a new gateway. **Missing, it says nothing about
      names, and `Policy.apply` leaves those alone that a gateway has; a list, also an empty
      one, is all there is.** (Other resources have no names: an empty list is as good as
      none.) Each entry has all three fields; either list may be empty. The name must match the
      resource's pattern. A proxy address belongs to one name of a client (several resources
      may share it), and a client has at most 1,024 of them. Resolved addresses that a name
      server must not be able to give access to, such as 127.0.0.1, are accepted here; a
      gateway leaves them out.
    - `tests` say what must hold of the policy, for `Policy.run_tests`. Each has a `name` and
      the id of a `client`; the moment `at` and the lists `allow` and `deny` may be missing
      (`PolicyTest` says how their targets are written). A name is one of that client's
      `domains`.
    - Whole numbers may be written with a fraction of zero: 443.0 is 443, as in JSON Schema.
    - A field that neither this library nor the portal knows there is a fault: a misspelt
      `expires_at` would make a permission permanent, a misspelt `exclude` would open what it
      should close. What the portal sends besides (of its `interface` the resolvers and the
      search domain, of a client keys, version and device) is ignored, so that its objects can
      be pasted in; and so is `$schema`, where editors look for the schema of a file.

    Args:
        source: the JSON text (`bytes`: UTF-8; a byte order mark is ignored), or the mapping
            that was parsed from it. Not a path: nothing is opened here.

    Raises:
        InvalidPolicy: something is wrong with the document. `faults` lists the first hundred
            things that are, in the order of the document, each with its place, and then how
            many more there are:
            `clients[0].authorizations[2].resource.filters[0].port_range_end: 70000 is not a
            port`. `value` is the value at the first of these places. Or *source* looks like the
            name of a file.
        TypeError: *source* is of another type.
    """
    if isinstance(source, str | bytes):
        _refuse_name(source)
    return read_document(source, _read_policy)


def _refuse_name(source: str | bytes) -> None:
    """Refuse the name of a policy file (`policy.json`, `office/policy`) in its place."""
    text = source.decode(errors="replace") if isinstance(source, bytes) else source
    # A policy is an object, so that its text has a brace.
    if len(text) > _LONGEST_NAME or "{" in text or not _FILE_NAME.fullmatch(text):
        return
    try:
        json.loads(text)
    except ValueError:
        raise InvalidPolicy(
            f"{quoted(text)} looks like a file's name: hand in the text of the file", source
        ) from None


def dump_policy(policy: Policy) -> str:
    """Return the JSON text of *policy*, in ASCII; `load_policy` returns an equal policy.

    A filter of several port ranges is written as one filter for each, as the portal does.

    Raises:
        InvalidPolicy: the policy was made by hand and cannot be said in a file: its plan has
            no ranges of one address family, or a text holds half of a surrogate pair.
        TypeError: *policy* is not a `Policy`.
    """
    if not isinstance(policy, Policy):
        raise TypeError(f"a Policy is written, not {shown(policy)}")
    text = json.dumps(_write_policy(policy), indent=2)
    load_policy(text)  # Never return a text that cannot be read back.
    return text


# --- Reading ------------------------------------------------------------------------------


def _read_policy(node: Node) -> Policy | None:
    fields = node.fields_only(
        "gateway", "address_plan", "clients", "options", "tests", ignored=IGNORED
    )
    if fields is None:
        return None
    plan = _read_plan(fields.get("address_plan"))
    options = read_options(fields.get("options"))
    addresses = _read_gateway(fields.require("gateway"), plan)
    clients = fields.require("clients").each(lambda client: _read_client(client, plan))
    tests = read_tests(fields.get("tests"), None if clients is None else names_by_client(clients))
    # `Policy` checks for conflicts again, but knows neither the other faults nor the places
    # of this document.
    if node.faults:
        return None
    return build_if_complete(
        Policy,
        addresses=addresses,
        address_plan=plan,
        clients=clients,
        options=options,
        tests=tests,
    )


def _read_plan(node: Node | None) -> AddressPlan | None:
    if node is None:
        return _DEFAULT_PLAN
    fields = node.fields_only("tunnel", "dns_resources")
    if fields is None:
        return None
    tunnel = _read_ranges(fields.get("tunnel"), _DEFAULT_PLAN.tunnel)
    dns = _read_ranges(fields.get("dns_resources"), _DEFAULT_PLAN.dns_resources)
    if tunnel is None or dns is None:
        return None
    overlaps = [(t, d) for t in tunnel for d in dns if t.version == d.version and t.overlaps(d)]
    for one, other in overlaps:
        node.fault(f"tunnel range {one} and DNS range {other} overlap")
    return None if overlaps else AddressPlan(tunnel, dns)


def _read_ranges(node: Node | None, default: tuple[Network, ...]) -> tuple[Network, ...] | None:
    """Read a list of ranges; a family without any keeps its *default* ones."""
    if node is None:
        return default
    named: tuple[Network, ...] | None = node.each(read_network)
    if named is None:
        return None
    versions = {network.version for network in named}
    return named + tuple(network for network in default if network.version not in versions)


def _read_gateway(node: Node, plan: AddressPlan | None) -> TunnelAddresses | None:
    fields = node.fields_only("ipv4", "ipv6", ignored=IGNORED_OF_GATEWAY)
    return None if fields is None else _read_addresses(fields, plan)


def _read_client(node: Node, plan: AddressPlan | None) -> PolicyClient | None:
    fields = node.fields_only("id", "ipv4", "ipv6", "authorizations", ignored=IGNORED_OF_CLIENT)
    if fields is None:
        return None
    return build_if_complete(
        PolicyClient,
        id=read_id(fields.require("id"), among="client ids"),
        addresses=_read_addresses(fields, plan),
        authorizations=_read_authorizations(fields, plan),
    )


def _read_addresses(fields: Fields, plan: AddressPlan | None) -> TunnelAddresses | None:
    """Read `ipv4` and `ipv6`, of which one may be missing or `null`, but not both."""
    nodes = {
        family: node
        for family in ("ipv4", "ipv6")
        if (node := fields.get_unless_null(family)) is not None
    }
    if not nodes:
        fields.node.fault("has neither ipv4 nor ipv6")
        return None
    found = {family: _read_address(node, family, plan) for family, node in nodes.items()}
    return build_if_complete(TunnelAddresses, **found)


def _read_address(node: Node, family: str, plan: AddressPlan | None) -> Address | None:
    address = node.text(_ADDRESSES[family])
    if address is not None:
        check_tunnel_address(node, address, plan)
    return address


_ADDRESSES: Final[dict[str, Callable[[str], Address | None]]] = {
    "ipv4": lambda text: TunnelAddresses(ipv4=text).ipv4,
    "ipv6": lambda text: TunnelAddresses(ipv6=text).ipv6,
}


def _read_authorizations(
    client: Fields, plan: AddressPlan | None
) -> tuple[PolicyAuthorization, ...] | None:
    proxies = ProxyCheck(client.node, plan)
    authorizations = client.require("authorizations").each(
        lambda node: _read_authorization(node, proxies)
    )
    proxies.check_number()
    return authorizations


def _read_authorization(node: Node, proxies: ProxyCheck) -> PolicyAuthorization | None:
    fields = node.fields_only("resource", "expires_at", "domains")
    if fields is None:
        return None
    # A client has one authorization for a resource: its list is the scope of their ids.
    described = fields.require("resource")
    resource = read_resource(described, among=node.place.parent)
    listed = fields.get("domains")
    domains = {}
    if listed is not None:
        domains["domains"] = _read_domains(listed, described, proxies)
    expiry = fields.get_unless_null("expires_at")
    if expiry is None:
        # Missing and `null` mean "never", as in portal messages. That is safe, since a
        # misspelt name is a fault.
        return build_if_complete(PolicyAuthorization, resource=resource, **domains)
    seconds = expiry.number(IN_SECONDS)
    return build_if_complete(
        PolicyAuthorization,
        resource=resource,
        expires_at=None if seconds is None else expiry.attempt(to_time, seconds),
        **domains,
    )


def _read_domains(
    node: Node, resource: Node, proxies: ProxyCheck
) -> tuple[PolicyDomain, ...] | None:
    kind, pattern = peek_kind(resource)
    if kind not in (None, "dns"):
        refuse_domains(node)
    return node.each(lambda one: _read_domain(one, pattern, proxies))


def _read_domain(
    node: Node, pattern: DomainPattern | None, proxies: ProxyCheck
) -> PolicyDomain | None:
    fields = node.fields_only("name", "proxy_addresses", "resolved_addresses")
    if fields is None:
        return None
    name = _read_name(fields.require("name"), pattern)
    resolved = fields.require("resolved_addresses").each(_read_resolved)
    return build_if_complete(
        PolicyDomain,
        name=name,
        proxy_addresses=fields.require("proxy_addresses").each(
            lambda one: _read_proxy(one, name, proxies)
        ),
        resolved_addresses=None if resolved is None else tuple(chain.from_iterable(resolved)),
    )


def _read_name(node: Node, pattern: DomainPattern | None) -> str | None:
    name = node.text(to_domain)
    if name is not None:
        check_name(node, name, pattern)
    return name


def _read_proxy(node: Node, name: str | None, proxies: ProxyCheck) -> Address | None:
    address = node.text(to_address)
    if address is not None:
        proxies.add(node, address, name)
    return address


def _read_resolved(node: Node) -> tuple[Address, ...] | None:
    """Read one resolved address; the result is empty if it has a scope."""
    return node.text(lambda text: to_resolved([text]))


# --- Writing ------------------------------------------------------------------------------


def _write_policy(policy: Policy) -> dict[str, object]:
    plan = policy.address_plan
    options = write_options(policy.options)
    return {
        "gateway": _write_addresses(policy.addresses),
        "address_plan": {
            "tunnel": _write_ranges("tunnel", plan.tunnel),
            "dns_resources": _write_ranges("dns_resources", plan.dns_resources),
        },
        **({"options": options} if options else {}),
        "clients": [_write_client(client) for client in policy.clients],
        **({"tests": write_tests(policy.tests)} if policy.tests else {}),
    }


def _write_ranges(name: str, networks: tuple[Network, ...]) -> list[str]:
    for version in (IPV4, IPV6):
        if not any(network.version == version for network in networks):
            raise InvalidPolicy(
                f"address_plan.{name}: no IPv{version} range, which a file cannot say: it "
                "would get the default one",
                networks,
            )
    return write_networks(networks)


def _write_addresses(addresses: TunnelAddresses) -> dict[str, object]:
    return {f"ipv{address.version}": str(address) for address in addresses.present()}


def _write_client(client: PolicyClient) -> dict[str, object]:
    return {
        "id": client.id,
        **_write_addresses(client.addresses),
        "authorizations": [_write_authorization(one) for one in client.authorizations],
    }


def _write_authorization(one: PolicyAuthorization) -> dict[str, object]:
    written: dict[str, object] = {"resource": write_resource(one.resource)}
    if one.expires_at is not None:
        written["expires_at"] = one.expires_at
    if one.domains is not None:
        written["domains"] = [_write_domain(domain) for domain in one.domains]
    return written


def _write_domain(domain: PolicyDomain) -> dict[str, object]:
    return {
        "name": domain.name,
        "proxy_addresses": [str(address) for address in domain.proxy_addresses],
        "resolved_addresses": [str(address) for address in domain.resolved_addresses],
    }
