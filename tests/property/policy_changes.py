"""Policies of one plan that have much in common, to be applied one after the other."""

from hypothesis import strategies as st

from firezone_filter import (
    CidrResource,
    DnsResource,
    Filter,
    Gateway,
    GatewayOptions,
    InternetResource,
    Policy,
    PolicyAuthorization,
    PolicyClient,
    PolicyDomain,
    Resource,
    Tcp,
    TunnelAddresses,
    Udp,
)
from tests.hooked import tell

NOW = 1_000.0
OWN = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")
CLIENTS = ("alice", "bob", "carol")
TUNNEL = ("100.64.0.2", "100.64.0.3", "100.64.0.4", "100.64.0.5")
IDS = ("a", "b", "c", "d")
FILTERS: tuple[tuple[Filter, ...], ...] = ((), (Tcp(443),), (Tcp(443), Udp(53)))
PROXIES = ("100.96.0.1", "100.96.0.2", "100.96.0.3", "fd00:2021:1111:8000::1")
# 127.0.0.1 is left out: a name server must not be able to open a way to it.
REAL = ("10.0.0.5", "10.0.0.6", "127.0.0.1", "fd10::5")
NAMES = ("git.example.com", "www.example.com")
EXPIRIES = (None, None, NOW - 1, NOW + 1, NOW + 60)

ROOMY = GatewayOptions(reject_burst=1_000_000)
"""Options without a limit of replies, so that no reply depends on earlier ones."""


@st.composite
def resources(draw: st.DrawFn, resource_id: str) -> Resource:
    """Draw a resource that may have become something else since it was drawn last."""
    match draw(st.sampled_from(["cidr", "dns", "dns", "dns", "internet"])):
        case "internet":
            return InternetResource(resource_id)
        case "dns":
            pattern = draw(st.sampled_from(["*.example.com", "*.example.com", NAMES[0]]))
            return DnsResource(resource_id, pattern, draw(st.sampled_from(FILTERS)))
        case _:
            network = draw(st.sampled_from(["10.0.0.0/8", "10.0.0.0/24", "fd10::/64"]))
            return CidrResource(resource_id, network, draw(st.sampled_from(FILTERS)))


def owned(name: str, owners: tuple[str, ...]) -> list[str]:
    """Return the proxy addresses that stand for a name, given the name of each."""
    return [proxy for proxy, owner in zip(PROXIES, owners, strict=True) if owner == name]


def owners() -> st.SearchStrategy[tuple[str, ...]]:
    """Draw the name of each proxy address of a client."""
    name = st.sampled_from([NAMES[0], NAMES[0], NAMES[0], NAMES[1]])
    return st.tuples(*(name for _ in PROXIES))


@st.composite
def domains(draw: st.DrawFn, name: str, owners: tuple[str, ...]) -> PolicyDomain:
    """Draw a resolution of a name."""
    proxies: st.SearchStrategy[list[str]] = st.just([])
    mine = owned(name, owners)
    has_some = draw(st.integers(0, 4)) > 0
    if mine and has_some:
        proxies = st.lists(st.sampled_from(mine), min_size=1, unique=True)
    real = st.lists(st.sampled_from(REAL), max_size=3)
    return PolicyDomain(name, draw(proxies), draw(real))


@st.composite
def authorizations(
    draw: st.DrawFn, resource_id: str, owners: tuple[str, ...], *, says_all: bool
) -> PolicyAuthorization:
    """Draw an authorization; *says_all*: of a DNS resource it always says the names."""
    resource = draw(resources(resource_id))
    said = None
    if isinstance(resource, DnsResource) and (says_all or draw(st.booleans())):
        pattern = resource.pattern()
        fitting = [name for name in NAMES if pattern.matches(name)]
        names = draw(st.lists(st.sampled_from(fitting), max_size=3))
        said = [draw(domains(name, owners)) for name in names]
    return PolicyAuthorization(resource, draw(st.sampled_from(EXPIRIES)), said)


@st.composite
def policies(
    draw: st.DrawFn, options: GatewayOptions = ROOMY, *, says_all: bool = False
) -> Policy:
    """Draw a policy; a client may be missing, or have another address than in the last."""
    # Mostly the same addresses as in another policy.
    addresses = draw(st.one_of(st.just(TUNNEL), st.permutations(TUNNEL)))
    clients = []
    least = draw(st.sampled_from([0, 1, 1, 1]))
    for place in draw(st.lists(st.sampled_from(range(len(CLIENTS))), min_size=least, unique=True)):
        names = draw(owners())
        granted = [
            draw(authorizations(resource_id, names, says_all=says_all))
            for resource_id in draw(st.lists(st.sampled_from(IDS), min_size=least, unique=True))
        ]
        peer = TunnelAddresses(addresses[place])
        clients.append(PolicyClient(CLIENTS[place], peer, granted))
    own = draw(st.sampled_from([OWN, OWN, TunnelAddresses("100.64.0.9")]))
    return Policy(own, clients=clients, options=options)


@st.composite
def calls(draw: st.DrawFn, gateway: Gateway) -> None:
    """Call hooks in an order that is not that of a policy."""
    known = gateway.clients()
    for _ in range(draw(st.integers(0, 6)) if known else 0):
        client_id = draw(st.sampled_from(known))
        held = [one.resource for one in gateway.client(client_id).authorizations]
        names = [one.id for one in held if isinstance(one, DnsResource)]
        match draw(st.sampled_from(["resolve", "resolve", "resolve", "revoke", "authorize"])):
            case "revoke" if held:
                gateway.revoke(client_id, draw(st.sampled_from(held)).id)
            case "authorize":
                free = [one for one in IDS if one not in {resource.id for resource in held}]
                if free:
                    resource = draw(resources(draw(st.sampled_from(free))))
                    gateway.authorize(client_id, resource, expires_at=NOW + 5)
            case "resolve" if names:
                resource = draw(st.sampled_from([one for one in held if one.id in names]))
                domain = draw(domains(NAMES[0], draw(owners())))
                tell(gateway, client_id, resource.id, domain)
            case _:
                pass
