"""The layouts are those that dpkt has."""

from typing import Any

import pytest
from dpkt import pcap, pcapng

from firezone_filter.capture import formats
from firezone_filter.capture.formats import PCAP_FORMATS, PCAPNG_FORMATS


def test_dpkt_has_the_same_kinds_of_pcap() -> None:
    nanosecond = {pcap.TCPDUMP_MAGIC_NANO, pcap.PMUDPCT_MAGIC_NANO}
    # It lists magic numbers in big-endian order, and only its packet headers have the byte
    # order of the file.
    assert {
        magic: (one.file_header.format, one.packet_header.format, one.ns_per_tick)
        for magic, one in PCAP_FORMATS.items()
    } == {
        magic.to_bytes(4, "big"): (
            header.__hdr_fmt__[0] + pcap.FileHdr.__hdr_fmt__[1:],
            header.__hdr_fmt__,
            1 if magic in nanosecond else 1_000,
        )
        for magic, header in pcap.MAGIC_TO_PKT_HDR.items()
    }
    assert all(one.is_big_endian == (magic[0] == 0xA1) for magic, one in PCAP_FORMATS.items())


def test_dpkt_has_the_same_orders_of_pcapng() -> None:
    orders = {">": pcapng.BYTE_ORDER_MAGIC, "<": pcapng.BYTE_ORDER_MAGIC_LE}
    assert {magic: one.block.format[0] for magic, one in PCAPNG_FORMATS.items()} == {
        magic.to_bytes(4, "big"): order for order, magic in orders.items()
    }


@pytest.mark.parametrize(
    ("name", "block"),
    [
        ("section", pcapng.SectionHeaderBlock),
        ("interface", pcapng.InterfaceDescriptionBlock),
        ("packet", pcapng.PacketBlock),
        ("enhanced_packet", pcapng.EnhancedPacketBlock),
    ],
)
def test_dpkt_has_the_same_blocks(name: str, block: Any) -> None:  # noqa: ANN401 - it has no types
    # Its last field is the repeated length, which comes after the variable part.
    for one in PCAPNG_FORMATS.values():
        assert getattr(one, name).format[1:] == block.__hdr_fmt__[1:-1]
        assert one.option.format[1:] == pcapng.PcapngOption.__hdr_fmt__[1:]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("SECTION_BLOCK", pcapng.PCAPNG_BT_SHB),
        ("INTERFACE_BLOCK", pcapng.PCAPNG_BT_IDB),
        ("PACKET_BLOCK", pcapng.PCAPNG_BT_PB),
        ("SIMPLE_PACKET_BLOCK", pcapng.PCAPNG_BT_SPB),
        ("ENHANCED_PACKET_BLOCK", pcapng.PCAPNG_BT_EPB),
        ("OPTION_END", pcapng.PCAPNG_OPT_ENDOFOPT),
        ("OPTION_TIME_RESOLUTION", pcapng.PCAPNG_OPT_IF_TSRESOL),
        ("OPTION_TIME_OFFSET", pcapng.PCAPNG_OPT_IF_TSOFFSET),
    ],
)
def test_dpkt_has_the_same_numbers(name: str, number: int) -> None:
    assert getattr(formats, name) == number
