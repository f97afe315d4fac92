"""Where findings are gathered, and the places that they name."""

from typing import Final, final

from firezone_filter.documents.faults import Place
from firezone_filter.policy.analysis.findings import CODES, Finding

_TOP: Final = Place()

# The order of fields is that in which policy files are read.
CLIENTS: Final = Place(_TOP, "clients", 1)
OWN_FILTERS: Final = Place(Place(_TOP, "options", 2), "own_filters")

_MOST_NAMED: Final = 3
"""So many ids a message names; of the others it gives the number."""


def authorization_place(client: Place, number: int) -> Place:
    """Return the place of a client's authorization."""
    return Place(Place(client, "authorizations", 3), number, number)


def resource_place(authorization: Place, field: str, number: int | None = None) -> Place:
    """Return the place of a field of an authorization's resource, or of an item in it."""
    order = ("id", "address", "exclude", "filters").index(field)
    place = Place(Place(authorization, "resource"), field, order)
    return place if number is None else Place(place, number, number)


def name_place(authorization: Place, name: int) -> Place:
    """Return the place of a resolved name."""
    return Place(Place(authorization, "domains", 2), name, name)


def name_address_place(authorization: Place, name: int, field: str, number: int) -> Place:
    """Return the place of one of the `proxy_addresses` or `resolved_addresses` of a name."""
    order = ("name", "proxy_addresses", "resolved_addresses").index(field)
    return Place(Place(name_place(authorization, name), field, order), number, number)


def listed(ids: list[str]) -> str:
    """Return ids as a message names them: the first few, and how many more."""
    named = ", ".join(repr(one) for one in ids[:_MOST_NAMED])
    more = len(ids) - _MOST_NAMED
    return f"{named} and {more} more" if more > 0 else named


def who_permit(ids: list[str]) -> str:
    """Return ids as the subject of a sentence: "'db' permits", "'db', 'web' permit"."""
    return f"{listed(ids)} permit{'' if len(ids) > 1 else 's'}"


@final
class Report:
    """The findings so far."""

    def __init__(self) -> None:
        self._found: list[tuple[tuple[int, ...], Finding]] = []

    def add(self, code: str, place: Place, message: str) -> None:
        """Report a finding."""
        finding = Finding(code, CODES[code].severity, str(place), message)
        self._found.append((place.position(), finding))

    def in_order(self) -> tuple[Finding, ...]:
        """Return the findings in the order of the document, those of one place by code."""
        ordered = sorted(self._found, key=lambda found: (found[0], found[1].code))
        return tuple(finding for _, finding in ordered)
