"""What `Policy.lint` may find: the table of its codes, and `Finding`.

lint.md has the words of this table, and an example and an advice for each code.
"""

from typing import Final, Literal

from attrs import frozen

from firezone_filter.structures.attribute_docs import documented

Severity = Literal["error", "warning", "info"]
"""`error`: it has no effect, or two meanings; that is always a mistake. `warning`: it does less,
or permits more, than it seems to. `info`: worth knowing, and often meant."""


@frozen
class LintCode:
    """One kind of finding."""

    code: str
    """`FZ` and three digits; the first of them is the group. It never changes its meaning."""

    name: str
    """A name for people, in kebab-case."""

    severity: Severity

    summary: str
    """What is found, as one sentence without a full stop."""

    threshold: str
    """From where on it is found, and what is not, as one sentence without a full stop."""


CODES: Final[dict[str, LintCode]] = {
    one.code: one
    for one in (
        # --- FZ1: authorizations and filters ------------------------------------------------
        LintCode(
            "FZ101",
            "unreachable-authorization",
            "error",
            "An authorization permits no packet",
            "none that the client could send, as where it has no tunnel address of the network's "
            "family, or no name leads anywhere; where FZ203, FZ205, FZ206 or what is found of "
            "each of its filters or names says why, that stands instead; a DNS resource without "
            "`domains` may still get names",
        ),
        LintCode(
            "FZ102",
            "redundant-authorization",
            "warning",
            "All that an authorization permits is permitted by the client's others anyway",
            "to remove it would change no decision, now or later: what it permits is permitted "
            "by others that end no earlier, and no proxy address would lead elsewhere; of equals "
            "it is the later",
        ),
        LintCode(
            "FZ103",
            "unreachable-filter",
            "error",
            "A filter of ICMP permits no packet to its resource",
            "none of its types is one of a family in which the client can reach the resource; "
            "where FZ302 names all of its types, that says it",
        ),
        LintCode(
            "FZ104",
            "redundant-filter",
            "warning",
            "All that a filter permits is permitted by the resource's other filters anyway",
            "to remove it would change nothing that the resource permits; of equals it is the "
            "later",
        ),
        LintCode(
            "FZ105",
            "filter-permitted-elsewhere",
            "info",
            "All that one of several filters permits is permitted by other authorizations anyway",
            "to remove it would change no decision, now or later, though the resource would "
            "permit less; authorizations that FZ102 reports do not count, of equals it is the "
            "later, and FZ104 comes first",
        ),
        LintCode(
            "FZ106",
            "expired-authorization",
            "warning",
            "An authorization has expired",
            "its end is at or before the moment that is asked about; nothing else is found of it, "
            "and it permits nothing",
        ),
        LintCode(
            "FZ107",
            "no-access",
            "warning",
            "A client may reach no resource",
            "none of its authorizations permits any packet; the gateway's own address does not "
            "count, and a DNS resource without `domains` counts as reached",
        ),
        # --- FZ2: networks ------------------------------------------------------------------
        LintCode(
            "FZ201",
            "exclude-without-effect",
            "warning",
            "All that an exclude takes away is permitted by the client's other resources",
            "to every address of it, through networks, the Internet or a name that resolves "
            "there, by authorizations that end no earlier",
        ),
        LintCode(
            "FZ202",
            "exclude-permitted-in-part",
            "info",
            "Some of what an exclude takes away is permitted by another resource, or by a name "
            "that resolves there",
            "at least one packet, but less than FZ201 or not as long",
        ),
        LintCode(
            "FZ203",
            "excludes-leave-nothing",
            "error",
            "The excludes of a resource leave nothing of it",
            "it covers no address (the Internet: permits none) in the client's families, and "
            "without its excludes it would",
        ),
        LintCode(
            "FZ204",
            "whole-address-space",
            "warning",
            "`0.0.0.0/0` or `::/0` is a network, which has the private ranges that an Internet "
            "resource has not",
            "a network of prefix length 0, unless it excludes every address that is not public",
        ),
        LintCode(
            "FZ205",
            "network-in-plan",
            "error",
            "A network lies inside the address plan's ranges, which no network covers",
            "all of its addresses are in the tunnel and DNS ranges",
        ),
        LintCode(
            "FZ206",
            "network-never-covered",
            "error",
            "A network has only addresses that no network covers",
            "all of its addresses are special, such as loopback and multicast, or local services "
            "that only a network inside their range covers; where all are in the plan's ranges, "
            "FZ205 says so instead",
        ),
        # --- FZ3: filters by themselves -----------------------------------------------------
        LintCode(
            "FZ301",
            "no-filters",
            "warning",
            "A resource without filters permits everything",
            "a CIDR or DNS resource with an empty list of filters",
        ),
        LintCode(
            "FZ302",
            "type-never-matches",
            "warning",
            "A filter names ICMP types that it never decides about",
            "types of ICMP errors, which are judged by what they quote, types that stay on their "
            "link, and of a DNS resource all but echo; not the types of the other family beside "
            "some of the network's own",
        ),
        LintCode(
            "FZ303",
            "protocol-never-matches",
            "error",
            "A filter names a protocol that no packet to its resource has",
            "a number that IPv6 walks over as an extension header, at a resource that is reached "
            "over IPv6 alone, or any at a DNS resource, where nothing but TCP, UDP and echo is "
            "translated",
        ),
        LintCode(
            "FZ304",
            "open-own-filters",
            "warning",
            "`own_filters` permit everything to the gateway's own address",
            "an empty list, or filters that together permit every packet",
        ),
        # --- FZ4: ids -----------------------------------------------------------------------
        LintCode(
            "FZ401",
            "id-with-two-meanings",
            "error",
            "Two clients have different resources under one id",
            "they differ in kind, network or pattern, in what their filters permit, or in their "
            "excludes; not in their names alone",
        ),
        # --- FZ5: names ---------------------------------------------------------------------
        LintCode(
            "FZ501",
            "resolved-address-left-out",
            "warning",
            "A resolved address is left out, since no name may lead there",
            "a special address or a local service",
        ),
        LintCode(
            "FZ502",
            "resolved-address-covered-too",
            "info",
            "A resolved address is covered by a CIDR resource of the same client too, so that "
            "answers of direct flows may be taken for those of a session",
            "any CIDR resource that covers it, whatever it permits; not with `stateful`, which "
            "tells them apart",
        ),
        LintCode(
            "FZ503",
            "name-without-proxies",
            "warning",
            "A name has no proxy addresses, so that no packet can be sent to it",
            "an empty list",
        ),
        LintCode(
            "FZ504",
            "name-without-address",
            "warning",
            "No proxy address of a name leads anywhere",
            "it has proxy addresses, and resolves to nothing in their families; where FZ501 has "
            "left addresses out, that says so instead",
        ),
        LintCode(
            "FZ505",
            "proxy-without-address",
            "info",
            "A proxy address leads nowhere, while others of its name do",
            "the name that was given for it last resolves to nothing in its family, as that of "
            "a host without IPv6 does; where FZ501 has left addresses out, that says so instead",
        ),
    )
}
"""What may be found, by code."""


@documented
@frozen
class Finding:
    """Something in a policy that is not as it should be, or as it seems."""

    code: str
    """`FZ101` and so on; lint.md explains each."""

    severity: Severity
    """`"error"`, `"warning"` or `"info"`."""

    place: str
    """Where it is, as in the faults of policy files:
    `clients[0].authorizations[1].resource.filters[0]`."""

    message: str
    """What is the matter, for people, on one line."""

    @property
    def name(self) -> str:
        """The name of the code, in kebab-case: `redundant-filter`."""
        return CODES[self.code].name

    def __str__(self) -> str:
        return f"{self.place}: {self.code} {self.message}"
