"""Portal messages to draw: well formed ones from small pools, and some with damage."""

import copy
import json
import math
from typing import Any

from hypothesis import strategies as st

from tests.portal import (
    ACTED_ON,
    EXPIRY,
    NOW,
    Json,
    grant,
    message,
    with_value,
)
from tests.property.damage import damaged
from tests.property.portal_model import KEYS

CLIENTS = ["alice", "bob", "carol"]
IDS = ["db", "git"]

# Mostly those of the first clients; the gateway's own, and one that is nobody's to have.
IPV4 = ["100.64.0.2", "100.64.0.3", "100.64.0.4", "100.64.0.1", "10.0.0.1"]
IPV6 = [f"fd00:2021:1111::{n}" for n in (2, 3, 4, 1)] + ["fd00::1"]
NETWORKS = ["10.0.0.0/24", "10.0.0.0/8", "fd00:5::/64", "0.0.0.0/0"]
TIMES = [NOW, NOW, NOW + 1, NOW + 2, NOW - 1]
EXPIRIES: list[int | None] = [None, int(NOW) + 1, int(NOW) + 2, EXPIRY, 0]
EXTEND = "access_authorization_expiry_updated"
TOO_FAR = int(NOW) + 51 * 31_557_600

ports = st.sampled_from([0, 80, 443, 65_535])
ranges = st.tuples(ports, ports).map(
    lambda pair: {"port_range_start": min(pair), "port_range_end": max(pair)}
)
filters = st.one_of(
    st.just({"protocol": "icmp"}),
    st.builds(
        lambda protocol, range_: {"protocol": protocol} | range_,
        st.sampled_from(["tcp", "udp"]),
        st.one_of(ranges, st.just({}), st.just({"port_range_start": 81})),
    ),
)
filter_lists = st.lists(filters, max_size=2)
resources = st.one_of(
    st.fixed_dictionaries(
        {
            "type": st.just("cidr"),
            "id": st.sampled_from(IDS),
            "address": st.sampled_from(NETWORKS),
            "filters": filter_lists,
        },
        optional={"name": st.just("x")},
    ),
    st.fixed_dictionaries(
        {
            "type": st.just("dns"),
            "id": st.sampled_from(IDS),
            "address": st.just("*.example.com"),
            "filters": filter_lists,
        }
    ),
    st.fixed_dictionaries({"type": st.just("internet"), "id": st.sampled_from(IDS)}),
)


@st.composite
def addresses(draw: st.DrawFn, client_id: str) -> dict[str, str]:
    """Draw tunnel addresses: most often the client's own."""
    own = CLIENTS.index(client_id)
    if draw(st.integers(0, 3)):
        return {"ipv4": IPV4[own], "ipv6": IPV6[own]}
    return {"ipv4": draw(st.sampled_from(IPV4)), "ipv6": draw(st.sampled_from(IPV6))}


@st.composite
def grants(draw: st.DrawFn) -> Json:
    client_id = draw(st.sampled_from(CLIENTS))
    granted = grant(
        draw(resources),
        id=client_id,
        public_key=draw(st.sampled_from([KEYS[0], *KEYS, "unknown"])),
        **draw(addresses(client_id)),
    )
    granted["event"] = draw(st.sampled_from(["create_authorization", "authorize_flow"]))
    granted["payload"]["expires_at"] = draw(st.sampled_from([*EXPIRIES, TOO_FAR]))
    return granted


pairs = st.fixed_dictionaries(
    {"client_id": st.sampled_from(CLIENTS), "resource_id": st.sampled_from(IDS)}
)
ends = st.sampled_from([end for end in EXPIRIES if end is not None])
listed = st.builds(lambda pair, end: pair | {"expires_at": end}, pairs, ends)
far = st.builds(lambda pair: pair | {"expires_at": TOO_FAR}, pairs)
inits = st.builds(
    lambda interface, authorizations: message(
        ACTED_ON["init"], interface=interface, authorizations=authorizations
    ),
    st.fixed_dictionaries(
        {
            "ipv4": st.sampled_from([IPV4[3], *IPV4, "100.64.0.9"]),
            "ipv6": st.sampled_from([IPV6[3], "fd00:2021:1111::9"]),
        }
    ),
    st.lists(st.one_of(listed, listed, listed, far), max_size=5),
)


def envelope(event: str, payload: Json) -> Json:
    return {"event": event, "ref": None, "topic": "gateway", "payload": payload}


acted_on = st.one_of(
    grants(),
    grants(),
    inits,
    st.builds(envelope, st.just("reject_access"), pairs),
    st.builds(envelope, st.just("resource_updated"), resources),
    st.builds(envelope, st.just(EXTEND), listed),
)
messages = st.one_of(
    acted_on,
    acted_on,
    st.builds(envelope, st.sampled_from(["relays_presence", "disconnect"]), pairs),
)

# One of everything, so that no run goes without.
DB: Json = {"type": "cidr", "id": "db", "address": "10.0.0.0/24", "filters": []}
GIT: Json = {"type": "dns", "id": "git", "address": "*.mycorp.com", "filters": []}
WEB: Json = {"type": "internet", "id": "web"}
ALICE = {"id": "alice", "ipv4": IPV4[0], "ipv6": IPV6[0], "public_key": KEYS[0]}
BOB = {"id": "bob", "ipv4": IPV4[1], "ipv6": IPV6[1], "public_key": KEYS[0]}
ALICE_DB = {"client_id": "alice", "resource_id": "db"}
BOB_WEB = {"client_id": "bob", "resource_id": "web"}
END = int(NOW) + 1
ALLOW_ACCESS = message(
    ACTED_ON["allow_access"],
    client_id="alice",
    client_ipv4=IPV4[0],
    client_ipv6=IPV6[0],
    resource=GIT,
)
INIT = message(
    ACTED_ON["init"],
    interface={"ipv4": IPV4[3], "ipv6": IPV6[3]},
    authorizations=[ALICE_DB | {"expires_at": END + 1}],
)
GRANT_TOO_FAR = message(ACTED_ON["create_authorization"], expires_at=TOO_FAR)
GRANT_OTHER_TYPE = grant(GIT | {"id": "db"}, **ALICE)
EVERYTHING: list[tuple[Any, ...]] = [
    ("connect", "alice", NOW),
    ("message", grant(DB, **ALICE), NOW),
    ("message", ALLOW_ACCESS, NOW),
    ("message", grant(WEB, **ALICE), NOW),
    ("message", grant(DB, **BOB), NOW),
    ("connect", "carol", NOW),
    ("message", envelope("relays_presence", {}), NOW),
    ("message", envelope("resource_updated", DB | {"filters": [{"protocol": "udp"}]}), NOW),
    ("message", envelope("resource_updated", WEB), NOW),
    ("message", envelope("resource_updated", GIT | {"id": "db"}), NOW),
    ("message", envelope("resource_updated", GIT | {"id": "other"}), NOW),
    ("message", grant(GIT | {"id": "db"}, **ALICE), NOW),
    # Refused, and yet the first lets it end earlier.
    ("message", with_value(GRANT_OTHER_TYPE, "payload.expires_at", END + 3), NOW),
    ("message", with_value(GRANT_OTHER_TYPE, "payload.expires_at", END + 4), NOW),
    ("message", grant(DB, **(ALICE | {"ipv4": IPV4[1]})), NOW),
    ("message", grant(DB, **(ALICE | {"ipv4": IPV4[3]})), NOW),
    ("message", grant(DB, **(ALICE | {"ipv4": IPV4[4]})), NOW),
    ("message", GRANT_TOO_FAR, NOW),
    ("message", envelope("reject_access", ALICE_DB | {"client_id": "bob"}), NOW),
    ("message", envelope("reject_access", ALICE_DB | {"client_id": "nobody"}), NOW),
    ("message", envelope(EXTEND, ALICE_DB | {"expires_at": END}), NOW),
    ("message", grant(GIT | {"id": "db"}, **ALICE), NOW + 1),
    ("message", grant(DB, **(ALICE | {"public_key": KEYS[1]})), NOW + 1),
    ("message", INIT, NOW + 1),
    # Refused, and yet the first takes Alice's old session away, the second all that Bob has.
    ("message", grant(DB, **BOB), NOW + 1),
    ("message", grant(DB, **(ALICE | {"ipv4": IPV4[1]})), NOW + 1),
    ("message", grant(DB, **ALICE), NOW + 1),
    (
        "message",
        message(
            ACTED_ON["init"],
            interface={"ipv4": IPV4[1], "ipv6": IPV6[3]},
            authorizations=[ALICE_DB | {"expires_at": END}, ALICE_DB | {"expires_at": END + 2}],
        ),
        NOW + 1,
    ),
    # Refused, and nothing to take: one has just expired, the other is listed with a later end.
    ("message", grant(DB, **BOB), NOW + 1),
    ("message", grant(WEB, **BOB), NOW + 1),
    ("message", envelope("reject_access", ALICE_DB | {"client_id": "bob"}), NOW + 1),
    ("message", envelope(EXTEND, BOB_WEB | {"expires_at": END + 1}), NOW + 1),
    (
        "message",
        message(
            ACTED_ON["init"],
            interface={"ipv4": IPV4[1], "ipv6": IPV6[3]},
            authorizations=[ALICE_DB | {"expires_at": END + 5}],
        ),
        NOW + 2,
    ),
    ("disconnect", "alice", NOW + 2),
    ("message", grant(DB, **(ALICE | {"id": "carol"})), NOW + 2),
    ("connect", "alice", NOW + 2),  # under an address that Carol has now
]

# --- Damage ---------------------------------------------------------------------------------

whole = st.one_of(messages, messages, st.just(ALLOW_ACCESS))

# From close by, where the next branch is, and from anywhere.
numbers = [True, 0, -1, 65_535, 65_536, 443, 80.0, EXPIRY, 2**64, math.nan, math.inf, 10**400]
texts = ["", "db", "git", "alice", "cidr", "internet", "tcp", "*.example.com", "\ud800"]
texts += [*IPV4[:2], *IPV6[:2], *NETWORKS[:2], "10.0.0.1/8", KEYS[0], KEYS[1], "init"]
FIELDS = ["event", "payload", "client", "id", "ipv4", "expires_at", "filters", "authorizations"]
FIELDS += ["port_range_end", "exclude", "name", "ref", "unknown"]
near: st.SearchStrategy[Json] = st.sampled_from([None, [], {}, *numbers, *texts])
anything = st.recursive(
    st.one_of(near, near, st.text(max_size=5), st.floats(), st.integers()),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(FIELDS), inner, max_size=3)
    ),
    max_leaves=8,
)
broken = damaged(whole, FIELDS, anything)


# Fields that filtering uses, wherever they stand.
USED = {"payload", "client", "client_id", "client_ipv4", "client_ipv6", "resource", "id"}
USED |= {"ipv4", "ipv6", "public_key", "ref", "interface", "authorizations", "resource_id"}
USED |= {"expires_at", "type", "address", "filters"}


@st.composite
def doubled(draw: st.DrawFn) -> str:
    """Draw the text of a message in which a field that filtering uses stands twice."""
    document = copy.deepcopy(draw(acted_on))
    inside = document
    while True:
        used = USED if inside is not document else {"event", "payload"}
        if document["event"] == "resource_updated" and inside is document["payload"]:
            used = {"id", "type", "filters"}  # it changes nothing else
        name = draw(st.sampled_from([name for name in inside if name in used]))
        deeper = isinstance(inside[name], dict) and inside[name].keys() & USED
        if not deeper or draw(st.booleans()):
            break
        inside = inside[name]
    inside["twin"] = draw(st.one_of(st.just(inside[name]), near))
    return json.dumps(document).replace('"twin"', json.dumps(name))


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """Draw the bytes of a message with a piece cut out, doubled or overwritten."""
    text = json.dumps(draw(whole)).encode()
    first = draw(st.integers(0, len(text)))
    last = draw(st.integers(first, min(len(text), first + 40)))
    between = draw(st.one_of(st.just(b""), st.just(2 * text[first:last]), st.binary(max_size=8)))
    return text[:first] + between + text[last:]


def steps() -> st.SearchStrategy[list[tuple[Any, ...]]]:
    """Draw what happens to a gateway: messages, and what the host does between them."""
    times = st.sampled_from(TIMES)
    clients = st.sampled_from(CLIENTS)
    return st.lists(
        st.one_of(
            st.tuples(st.just("message"), messages, times),
            st.tuples(st.just("message"), messages, times),
            st.tuples(st.just("connect"), clients, times),
            st.tuples(st.just("disconnect"), clients, times),
        ),
        max_size=16,
    )
