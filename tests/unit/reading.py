"""What white-box tests read of the packets that they build."""

from ipaddress import ip_address

from firezone_filter.packet.flow_key import flow_key
from firezone_filter.packet.headers import Headers, read_headers


def read(packet: bytes) -> Headers:
    headers = read_headers(packet)
    assert headers is not None
    return headers


def key_of(packet: bytes) -> bytes:
    """Return the flow key of a packet that has one."""
    key = flow_key(read(packet), packet)
    assert key is not None
    return key


def packed(*addresses: str) -> tuple[bytes, ...]:
    return tuple(ip_address(address).packed for address in addresses)
