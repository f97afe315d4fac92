"""A replay counts as many packets as capinfos, and each of them once.

The captures are real ones, which are never copied into the project, and generated ones of
everything that a host would not have handed to a gateway as it is.
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from firezone_filter.cli.command import run
from firezone_filter.testing import tcp
from tests.captures import (
    ALLOWED,
    ANSWER,
    CLIENT,
    FOREIGN,
    POLICY,
    RESOURCE,
    START_S,
    cooked,
    cooked_v2,
    enhanced,
    ethernet,
    ethernet_llc,
    interface,
    ipv4,
    mpls,
    option,
    packet_block,
    pcap_header,
    pcap_record,
    pppoe,
    section,
    simple,
    snap,
)

CAPTURES = Path(__file__).parents[3] / "shared/captures"
REAL = [
    "6in4tunnel.pcap",
    "dns_fragmented.pcap",
    "dnscrypt-v1-and-resolver-pings.pcap",
    "fuzz-2006-09-29-28586.pcap",
    "http_ipv6.pcap",
    "ip_fragmented_garbage.pcap",
    "malformed_icmp.pcap",
    "quic.pcap",
    "sctp.cap",
    "sites.pcapng",
]

pytestmark = pytest.mark.skipif(shutil.which("capinfos") is None, reason="no capinfos (tshark)")

Summary = dict[str, Any]

LONG = tcp(f"{CLIENT}:40000 > {RESOURCE}:5432", b"x" * 1400)
OFFLOADED = LONG[:2] + bytes(2) + LONG[4:]
ERROR = ipv4(RESOURCE, CLIENT, 1, b"\3\1" + bytes(6) + LONG[:500])

# The link types that are supported and that capinfos knows: from an IPv4 packet to a frame.
LINKS: dict[int, Callable[[bytes], bytes]] = {
    0: lambda packet: b"\2\0\0\0" + packet,
    1: lambda packet: ethernet(0x0800, packet),
    6: lambda packet: bytes(14) + snap(0x0800, packet),
    9: lambda packet: b"\xff\3\0\x21" + packet,
    10: lambda packet: bytes(13) + snap(0x0800, packet),
    50: lambda packet: b"\xff\3\0\x21" + packet,
    51: lambda packet: pppoe(0x21, packet),
    100: lambda packet: snap(0x0800, packet),
    101: lambda packet: packet,
    104: lambda packet: b"\x0f\0\x08\0" + packet,
    108: lambda packet: b"\0\0\0\2" + packet,
    113: lambda packet: cooked(0x0800, packet),
    204: lambda packet: b"\0\xff\3\0\x21" + packet,
    228: lambda packet: packet,
    276: lambda packet: cooked_v2(0x0800, packet),
}

# What an Ethernet frame may have before the IP packet, or in its place.
ON_ETHERNET = [
    ethernet(0x0800, ALLOWED, 0x88A8, 0x8100),
    ethernet(0x8864, pppoe(0x21, ALLOWED)),
    ethernet(0x8864, pppoe(0xC021, b"\1\1\0\4")),
    ethernet(0x8863, pppoe(0, b"", 9)),
    ethernet(0x8847, mpls(ALLOWED, 16, 17)),
    ethernet(0x8847, mpls(bytes(4) + ALLOWED, 16)),
    ethernet_llc(snap(0x0800, ALLOWED)),
    ethernet_llc(b"\6\6\3" + ALLOWED),
    ethernet_llc(b"\x42\x42\3" + bytes(35)),
    ethernet(0x0806, bytes(28)),
    ethernet(0x88CC, bytes(46)),
    ethernet(0x1234, bytes(46)),
    bytes(13),
]


def every_kind(frame: Callable[[bytes], bytes]) -> bytes:
    """Return records of what may be odd about the packets of one link type."""
    whole, error = frame(LONG), frame(ERROR)
    return b"".join(
        [
            pcap_record(frame(ALLOWED)),
            pcap_record(frame(ANSWER) + b"trailer"),
            pcap_record(frame(FOREIGN)),
            pcap_record(frame(OFFLOADED)),
            *(pcap_record(whole[:size], wire_length=len(whole)) for size in range(1, 110, 7)),
            *(pcap_record(error[:size], wire_length=len(error)) for size in range(20, 110, 7)),
            pcap_record(frame(b"\x50" + bytes(39))),
            pcap_record(frame(ALLOWED[:-1])),
        ]
    )


def times(*seconds: int) -> bytes:
    return b"".join(pcap_record(ALLOWED, second) for second in seconds)


GENERATED: dict[str, tuple[bytes, int]] = {
    **{
        f"link type {link_type}": (pcap_header(link_type=link_type) + every_kind(frame), 0)
        for link_type, frame in LINKS.items()
    },
    "on ethernet": (pcap_header(link_type=1) + b"".join(map(pcap_record, ON_ETHERNET)), 0),
    "unsupported link type": (pcap_header(link_type=105) + pcap_record(bytes(60)) * 5, 1),
    "an unsupported interface": (
        section()
        + interface(105)
        + interface(1)
        + interface(101)
        + b"".join(enhanced(bytes(60), number=0) for _ in range(4))
        + enhanced(ethernet(0x0800, ALLOWED), number=1)
        + enhanced(ALLOWED, number=2)
        + enhanced(ALLOWED[:30], number=2, wire_length=40)
        + packet_block(ALLOWED, number=2),
        1,
    ),
    "no time stamps": (
        section() + interface() + enhanced(ALLOWED) + simple(ALLOWED) + simple(ANSWER),
        0,
    ),
    "the first in 1970": (pcap_header() + times(0, START_S, START_S + 1), 1),
    "some in 1970": (pcap_header() + times(START_S, 0, START_S, 0, 1, START_S), 1),
    "some in 2106": (pcap_header() + times(START_S, 2**32 - 1, START_S), 1),
    "before 1970": (
        section()
        + interface(options=option(14, (-(2**40)).to_bytes(8, "little", signed=True)))
        + interface()
        + enhanced(ALLOWED)
        + enhanced(ALLOWED, number=1) * 3,
        1,
    ),
    "after 2106": (
        section() + interface() + enhanced(ALLOWED) * 3 + enhanced(ALLOWED, 2**62) * 2,
        1,
    ),
    "out of order": (pcap_header() + times(*range(START_S + 30, START_S, -1)), 1),
    "no packets": (pcap_header(), 0),
}


def counted_by_capinfos(capture: Path) -> int:
    done = subprocess.run(  # noqa: S603 - what it reads stands above
        ["capinfos", "-r", "-T", "-m", "-M", "-c", str(capture)],  # noqa: S607 - of the system
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout.strip().rpartition(",")[2])


def replayed(
    capture: Path, policy: Path, capsys: pytest.CaptureFixture[str]
) -> tuple[int, Summary]:
    status = run(["replay", str(capture), "--policy", str(policy), "--json"])
    return status, json.loads(capsys.readouterr().out)


def parts(summary: Summary) -> int:
    """Return the sum of all counts that a frame may be in."""
    tallies = [tally for kinds in summary["decisions"].values() for tally in kinds.values()]
    tallies += [summary["not_ip"], summary["not_ours"]]
    tallies += summary["unsupported_link_types"].values()
    return sum(tally["packets"] for tally in tallies)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps(POLICY))
    return path


@pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")
@pytest.mark.parametrize("name", REAL)
def test_a_real_capture_has_as_many_packets_as_capinfos_counts(
    name: str, policy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = CAPTURES / name
    _, summary = replayed(capture, policy, capsys)
    assert summary["frames"]["packets"] == parts(summary) == counted_by_capinfos(capture)
    assert summary["complete"]


@pytest.mark.parametrize("name", GENERATED)
def test_a_generated_capture_has_as_many_packets_as_capinfos_counts(
    name: str, policy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, expected = GENERATED[name]
    capture = tmp_path / "generated"
    capture.write_bytes(data)
    status, summary = replayed(capture, policy, capsys)
    assert status == expected
    assert summary["frames"]["packets"] == parts(summary) == counted_by_capinfos(capture)
    assert summary["complete"]


@pytest.mark.skipif(not CAPTURES.exists(), reason="the shared captures are not here")
def test_every_shared_capture_is_counted() -> None:
    assert sorted(path.name for path in CAPTURES.glob("*cap*")) == REAL
