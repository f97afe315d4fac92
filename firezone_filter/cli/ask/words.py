"""The library's answers in words, one line each, without anything that a terminal obeys."""

from firezone_filter.cli.terminal import printable
from firezone_filter.logs.timestamps import format_time
from firezone_filter.values.addresses import TunnelAddresses


def box_in_words(box: object, resource_id: str | None) -> str:
    """Return packets, and the resource that permits them: `tcp 10.0.0.0/24:5432 (db)`.

    Args:
        box: what says the packets by its `str`.
        resource_id: the resource; `None` for the gateway's own address.
    """
    return f"{box} ({resource_in_words(resource_id)})"


def resource_in_words(resource_id: str | None) -> str:
    """Return the id of a resource, or that it is the gateway's own address."""
    return "the gateway itself" if resource_id is None else printable(resource_id)


def moment_in_words(seconds: float | None) -> str:
    """Return a time as RFC 3339 writes it, without zeros at its end; `never` for `None`."""
    if seconds is None:
        return "never"
    text = str(format_time(seconds))
    return f"{text.rstrip('Z').rstrip('0').rstrip('.')}Z" if text.endswith("Z") else text


def addresses_in_words(addresses: TunnelAddresses) -> str:
    """Return a peer's addresses, of which there is one at least."""
    return " and ".join(map(str, addresses.present()))
