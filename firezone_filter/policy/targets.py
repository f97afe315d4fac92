"""Targets: what a test of a policy names, and what the commands ask about.

    tcp 10.0.0.5:5432            TCP to a port
    tcp 10.0.0.0/24:8000-8010    TCP to a network, on a range of ports
    udp [2001:db8::1]:53         IPv6 stands in brackets where a port follows, and may always
    tcp git.example.com          a name; without ports every port
    ping 10.0.0.5                the echo request out and the reply in
    icmp 2001:db8::/32           every ICMP type that may pass at all
    icmp/13 10.0.0.5             one ICMP type
    icmpv6/128 2001:db8::1       the same, with the name that logs have for it
    47 10.0.0.5                  another IP protocol, by its number

Grammar only: what is permitted there is not known here.
"""

import re
from typing import Final, Literal

from attrs import field, frozen

from firezone_filter.packet.headers import EXTENSIONS
from firezone_filter.packet.icmp import ECHO_REQUEST, ICMP_OF, is_icmp_error
from firezone_filter.packet.numbers import (
    ICMPV4,
    ICMPV6,
    IPV4,
    IPV6,
    MAX_BYTE,
    TCP,
    UDP,
)
from firezone_filter.values.addresses import Address, Network, to_address, to_network
from firezone_filter.values.arguments import check_type
from firezone_filter.values.domains import to_domain
from firezone_filter.values.errors import FirezoneFilterError, InvalidPolicy
from firezone_filter.values.filters import PortRange

Word = Literal["tcp", "udp", "icmp", "ping"]
"""A protocol that is written as a word."""

_ICMPV6: Final = "icmpv6"
_WORDS: Final[dict[str, Word]] = {
    "tcp": "tcp",
    "udp": "udp",
    "icmp": "icmp",
    _ICMPV6: "icmp",
    "ping": "ping",
}
_WRITTEN: Final = {ICMPV4: "icmp", TCP: "tcp", UDP: "udp", ICMPV6: "icmp"}
_NUMBER: Final = re.compile(r"[0-9]{1,3}", re.ASCII)
_PORTS: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
# Neither a mask (10.0.0.0/255.0.0.0) nor a scope: the same as for the networks of resources.
_WITH_LENGTH: Final = re.compile(r"[^/%]+/[0-9]{1,3}", re.ASCII)
_MEANT_AS_IPV4: Final = re.compile(r"[0-9.]+", re.ASCII)


@frozen
class Target:
    """A protocol, and the addresses or the name where it is spoken; made by `parse_target`.

    `str(target)` is its text in one form for all ways to write it.
    """

    word: Word | None
    """The protocol as a word; `None` if it is a number."""

    number: int | None
    """The number of another protocol; `None` if it is a word."""

    icmp_type: int | None
    """The ICMP type that is named, with `icmp`; `None` for every one that may pass at all."""

    place: Network | str
    """The addresses as a network, a single one as a full-length prefix; or a name, in lower case
    and without a final dot."""

    ports: PortRange | None = field(default=None)
    """The ports, of TCP and UDP; `None` for every one."""

    @property
    def address(self) -> Address | None:
        """The address, if the target names a single one by itself."""
        place = self.place
        if isinstance(place, str) or place.num_addresses > 1:
            return None
        return place.network_address

    @property
    def name(self) -> str | None:
        """The name, if the target names one."""
        return self.place if isinstance(self.place, str) else None

    def protocol_in(self, version: int) -> int:
        """Return the IANA number of the protocol over IP of a *version*, 4 or 6."""
        if self.number is not None:
            return self.number
        if self.word in ("icmp", "ping"):
            return ICMP_OF[version]
        return TCP if self.word == "tcp" else UDP

    def type_in(self, version: int) -> int | None:
        """Return the ICMP type over IP of a *version*: the one named, or that of echo requests.

        `None` for every type, and for other protocols.
        """
        return ECHO_REQUEST[ICMP_OF[version]] if self.word == "ping" else self.icmp_type

    def is_of(self, version: int) -> bool:
        """Tell whether packets of an IP *version* can be what the target names.

        At a name those of both versions can, but for numbers that are ICMP errors or extension
        headers in one of them.
        """
        if not isinstance(self.place, str):
            return self.place.version == version
        return _can_be(version, self.number, self.icmp_type)

    def __str__(self) -> str:
        what = self.word or str(self.number)
        if self.icmp_type is not None:
            what = f"{what}/{self.icmp_type}"
        where = str(self.place if self.address is None else self.address)
        if self.ports is None:
            return f"{what} {where}"
        # "*" is how ranges show all ports, and no way to write them here.
        ports = str(self.ports).replace("*", "0-65535")
        return f"{what} [{where}]:{ports}" if ":" in where else f"{what} {where}:{ports}"


def parse_target(text: str) -> Target:
    """Read a target.

    Raises:
        InvalidPolicy: *text* is no target; the message says what is wrong with it.
        TypeError: not a `str`.
    """
    check_type("a target", text, str)
    try:
        return _parse(text)
    except FirezoneFilterError as error:
        raise InvalidPolicy(f"target {text!r}: {error}", text) from None


def _parse(text: str) -> Target:
    what, space, where = text.partition(" ")
    if not space or not where or " " in where:
        raise InvalidPolicy(
            "a target is a protocol, a space and a place, as in 'tcp 10.0.0.5:443'", text
        )
    word, number, icmp_type = _parse_protocol(what)
    place_text, ports_text = _split(where)
    place = _parse_place(place_text, in_brackets=where.startswith("["))
    if ports_text is not None and word not in ("tcp", "udp"):
        raise InvalidPolicy(f"only tcp and udp have ports, and {what} has none", ports_text)
    if what.startswith(_ICMPV6) and (isinstance(place, str) or place.version != IPV6):
        # A name has addresses of both families, and a target of it stands for both.
        raise InvalidPolicy(
            f"icmpv6 is for IPv6 addresses, and at {place_text} written icmp", what
        )
    _check_protocol(place, number, icmp_type)
    ports = None if ports_text is None else _parse_ports(ports_text)
    return Target(word, number, icmp_type, place, ports)


def _parse_protocol(what: str) -> tuple[Word | None, int | None, int | None]:
    """Return the word, the number and the ICMP type."""
    if what in _WORDS:
        return _WORDS[what], None, None
    name, slash, icmp_type = what.partition("/")
    if slash and _WORDS.get(name) == "icmp":
        return "icmp", None, _to_byte(icmp_type, "an ICMP type")
    if not _NUMBER.fullmatch(what):
        raise InvalidPolicy(
            f"{what!r} is not tcp, udp, ping, icmp, icmp/ with a type, or the number of another "
            "protocol",
            what,
        )
    number = _to_byte(what, "a protocol")
    if number in _WRITTEN:
        raise InvalidPolicy(f"protocol {number} is written {_WRITTEN[number]!r}", what)
    return None, number, None


def _to_byte(digits: str, kind: str) -> int:
    if not _NUMBER.fullmatch(digits) or int(digits) > MAX_BYTE:
        raise InvalidPolicy(f"{digits!r} is not {kind} (0 to {MAX_BYTE})", digits)
    return int(digits)


def _split(where: str) -> tuple[str, str | None]:
    """Return a place without brackets, and the text of the ports behind it, if there are any."""
    if where.startswith("["):
        place, bracket, rest = where[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InvalidPolicy(f"{where!r} is not [address] or [address]:ports", where)
        return place, rest.removeprefix(":") if rest else None
    # Several colons: an IPv6 address, which has no ports without brackets.
    if where.count(":") != 1:
        return where, None
    place, _, ports = where.partition(":")
    return place, ports


def _parse_place(text: str, *, in_brackets: bool) -> Network | str:
    if in_brackets and ":" not in text:
        raise InvalidPolicy(f"{text!r} stands in brackets, as only IPv6 does", text)
    if "/" in text:
        if not _WITH_LENGTH.fullmatch(text):
            raise InvalidPolicy(f"{text!r} is not a network with a prefix length", text)
        return to_network(text)
    # No host has a name of digits alone (RFC 1123, section 2.1).
    if ":" in text or _MEANT_AS_IPV4.fullmatch(text):
        return to_network(to_address(text))
    return to_domain(text)


def _check_protocol(place: Network | str, number: int | None, icmp_type: int | None) -> None:
    """Refuse what no packet there can be, or what is never judged by its type."""
    versions = (IPV4, IPV6) if isinstance(place, str) else (place.version,)
    if any(_can_be(version, number, icmp_type) for version in versions):
        return
    if icmp_type is None:
        raise InvalidPolicy(
            f"{number} is an extension header of IPv6 and never the protocol of its packets",
            number,
        )
    raise InvalidPolicy(
        f"ICMP errors such as type {icmp_type} are judged by the packet that they quote, never "
        "by their type",
        icmp_type,
    )


def _can_be(version: int, number: int | None, icmp_type: int | None) -> bool:
    if icmp_type is not None:
        return not is_icmp_error(ICMP_OF[version], icmp_type)
    # They are walked over (rules.md, section 4).
    return version == IPV4 or number not in EXTENSIONS


def _parse_ports(text: str) -> PortRange:
    found = _PORTS.fullmatch(text)
    if found is None:
        raise InvalidPolicy(f"{text!r} is neither a port nor a range of ports", text)
    first, last = found.groups()
    return PortRange(int(first), None if last is None else int(last))
