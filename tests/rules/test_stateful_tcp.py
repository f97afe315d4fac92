"""Section 7, TCP: what FIN, RST and SYN do to a flow, in every packet."""

import pytest

from firezone_filter import CidrResource, Drop, Forward, Gateway, Reason, Tcp
from firezone_filter.testing import ACK, FIN, RST, SYN, destination_options, fragment, tcp
from tests.rules.solicited import (
    STATEFUL,
    UNSOLICITED,
    answered,
    assert_ends,
    assert_lives,
    assert_over,
    live_flows,
    solicited,
    tell,
)
from tests.rules.stories import START, stories, talk
from tests.rules.ways import Way, both_ways
from tests.scenes import INBOUND, OUTBOUND, Family, both_families, gateway_for_alice
from tests.translations import TICK

CLOSED = "0>S 1<SA 2>FA 3<FA"
RESET = "0>S 1<SA 2<R"


# --- FIN -------------------------------------------------------------------------------------


@stories(
    {
        CLOSED: 242,
        "0> 1<F 2>F": 242,
        "0>SF 1<SAF": 240,
        # Behind remembered decisions, and with other flags and data beside.
        "0>S 0<SA 0> 0< 0> 0< 2>FA 3<FA+9": 242,
        # A flow that begins with a FIN has seen one.
        "0>F 1<F": 240,
        # Packets out prolong it: retransmissions, and the ACK of the last FIN.
        f"{CLOSED} 4> 5<FA 6>": 246,
        f"{CLOSED} 4>FA 5<FA": 244,
        f"{CLOSED} 241>": 481,
        # What comes in does not.
        f"{CLOSED} 9<FA 241<": 242,
        # FINs of one side alone end nothing.
        "0> 1< 2>F 3>F": 7_443,
        "0> 1< 2<F 3<F": 7_440,
        "0>F 3<": 7_440,
        "0> 1>F": 61,
        # What the other flow of the session does is its own affair.
        "0> 1< 2>F@445 3<F@445 4<": 7_440,
        "0> 1< 2>@445 3>F 4<F": 243,
    }
)
@both_ways
def test_after_fins_both_ways_a_flow_lives_240_seconds_from_its_last_packet_out(
    way: Way, story: str, ends: float
) -> None:
    if "@445" in story:
        # Two flows: the count is of both, so only the answer tells.
        for now, expected in ((ends - TICK, answered(way)), (ends, UNSOLICITED)):
            gateway = solicited(way, now=START - 1.0)
            tell(gateway, way, story, until=now)
            came = way.packet(INBOUND, "tcp")
            assert gateway.handle_packet(INBOUND, came, START + now) == expected
    else:
        assert_ends(way, story, ends)


@pytest.mark.parametrize("story", ["0>S 1<SA 2>F", "0>S 1<SA 2>"])
@pytest.mark.parametrize("flags", ["F", "R", "FR"])
@both_ways
def test_where_a_flag_makes_a_moment_count_that_has_passed_the_flow_goes_with_the_packet(
    way: Way, story: str, flags: str
) -> None:
    # The packet itself passes, as `tell` makes sure.
    if "R" in flags or "F" in story:
        assert_ends(way, f"{story} 242-<{flags}", 242.0)
        for late in (242, 300, 7_441):
            assert_over(way, f"{story} {late}<{flags}", late)
    else:
        assert_ends(way, f"{story} 300<{flags}", 7_442.0)


# --- RST -------------------------------------------------------------------------------------


@stories(
    {
        RESET: 240,
        "0>S 1<SA 2<RA": 240,
        "0>S 1<SA 2<FR": 240,
        "0>S 1<R": 240,
        "0>S 0<SA 0> 0< 0> 0< 2<R": 240,
        "0>S 1<SA 50> 51<R 52<R 60<": 290,
        # It was forged, and the client goes on.
        "0>S 1<SA 2<R 3>": 7_443,
        "0>S 1<SA 2<R 3>F": 7_443,
        "0>S 1<SA 2<R 3>SA": 7_443,
        "0>S 1<SA 2<R 239> 240<": 7_679,
        "0>S 1<SA 2<R 3> 4<R": 243,
        # A SYN after that is one in the middle of a connection.
        "0>S 1<SA 2<R 3> 4>S": 7_444,
        # Nothing that comes in takes it back.
        "0>S 1<SA 2<R 3< 4<SA 5<S": 240,
        # Neither takes a FIN back.
        f"{CLOSED} 4<R": 242,
        f"{CLOSED} 4<R 5>": 245,
        "0>S 1<SA 2<FR 3>F": 243,
    }
)
@both_ways
def test_a_reset_from_outside_leaves_240_seconds_and_a_packet_out_takes_it_back(
    way: Way, story: str, ends: float
) -> None:
    assert_ends(way, story, ends)


@pytest.mark.parametrize("flags", ["R", "RA", "RF", "SR", "SRA"])
@pytest.mark.parametrize(
    "before", ["0>S 1<SA", "0>S", "0>S 1<SA 1> 1< 1> 1<", "0>S 1<SA 2<R", CLOSED]
)
@both_ways
def test_a_reset_of_the_client_passes_and_ends_the_flow_at_once(
    way: Way, before: str, flags: str
) -> None:
    assert_lives(way, before, 3.0)
    assert_over(way, f"{before} 3>{flags}", 3.0)
    # Another reset begins nothing; a packet without it does.
    assert_over(way, f"{before} 3>{flags} 3>R", 3.0)
    assert_ends(way, f"{before} 3>{flags} 3>", 63.0)


# --- SYN -------------------------------------------------------------------------------------


@stories(
    {
        f"{CLOSED} 4>S": 64,
        f"{RESET} 4>S": 64,
        # After a FIN of one side, too.
        "0>S 1<SA 2<FA 3>S": 63,
        "0>S 1<SA 2>FA 3>S": 63,
        "0>F 3>S": 63,
        # It is confirmed and closed anew.
        f"{CLOSED} 241>S 243<SA": 241 + 7_440,
        f"{CLOSED} 8>S 9<SA 10>F 11<F": 250,
        f"{CLOSED} 8>S 9<SA 11<F": 7_448,
        f"{RESET} 8>S 9<SA": 7_448,
        # A SYN that is a FIN restarts first.
        f"{CLOSED} 8>SF 9<SA": 7_448,
        f"{CLOSED} 8>SF 9<SAF": 248,
        f"{RESET} 8>SF 9<SAF": 248,
        "0>S 1<SA 2<FA 3>S 4<SA 5>F": 7_445,
        "0>S 1<SA 2<FA 3>S 4<SA 5>F 6<F": 245,
        "0> 1< 2>F 3>S 4<F": 7_443,
        # Twice, then it counts from the second.
        f"{CLOSED} 8>S 9>S 10>S": 70,
        # Nothing else starts it anew, and nothing does before a FIN or a reset.
        f"{CLOSED} 4>SA": 244,
        f"{CLOSED} 4<S": 242,
        f"{CLOSED} 4>A": 244,
        f"{CLOSED} 4>0": 244,
        f"{CLOSED} 4>F": 244,
        "0>S 1<SA 2<FA 3>SA": 7_443,
        "0>S 1<SA 2<FA 3<S": 7_440,
        "0>S 1<SA 2>S": 7_442,
        "0>S 1<SA 1> 1< 1> 1< 2>S": 7_442,
        # At the end itself it begins one, which comes to the same.
        f"{CLOSED} 242>S": 302,
        # Simultaneous open: a SYN that comes in answers.
        "0>S 1<S": 7_440,
        "0>S 1<S 2>SA 3<SA 4>": 7_444,
    }
)
@both_ways
def test_a_syn_of_the_client_starts_anew_what_has_seen_a_fin_or_a_reset(
    way: Way, story: str, ends: float
) -> None:
    assert_ends(way, story, ends)


@pytest.mark.parametrize("flags", [SYN, 0xC2, 0x0A], ids=["syn", "ecn", "push"])
@both_families
def test_other_flags_make_no_other_syn(family: Family, flags: int) -> None:
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    talk(gateway, "0>S 1<SA 2<FA", family)
    again = tcp(family.flow(OUTBOUND, 443), flags=flags)
    assert gateway.handle_packet(OUTBOUND, again, 3.0).allowed
    assert live_flows(gateway, 63.0 - TICK) == 1
    assert live_flows(gateway, 63.0) == 0


@both_families
def test_a_syn_starts_anew_with_the_authorization_that_permits_it(family: Family) -> None:
    came = family.tcp(INBOUND)
    for closed, revoked, expected in (
        # The first packet was permitted by "db", and the SYN is by "all".
        ("0>S 1<SA 2<FA", "db", Forward("alice", "all")),
        ("0>S 1<SA 2<R", "db", Forward("alice", "all")),
        # Without a FIN or a reset, the SYN starts nothing.
        ("0>S 1<SA", "db", UNSOLICITED),
        # And it is a flow of the second from there on.
        ("0>S 1<SA 2<FA", "all", UNSOLICITED),
        ("0>S 1<SA", "all", Forward("alice", "db")),
    ):
        gateway = gateway_for_alice(family.db(), family.everything(), options=STATEFUL)
        talk(gateway, closed, family)
        gateway.update_resource(family.db(Tcp(444)))
        again = tcp(family.flow(OUTBOUND, 443), flags=SYN)
        assert gateway.handle_packet(OUTBOUND, again, 3.0) == Forward("alice", "all")
        assert gateway.revoke("alice", revoked)
        gateway.update_resource(family.db())
        assert gateway.handle_packet(INBOUND, came, 4.0) == expected


# --- In every packet --------------------------------------------------------------------------


def shaped(family: Family, flags: int, shape: str) -> bytes:
    whole = tcp(family.flow(OUTBOUND, 443), bytes(20), flags=flags)
    match shape:
        case "whole":
            return whole
        case "fragment":
            return fragment(whole, 0, 24)
        case _:
            return tcp(
                family.flow(OUTBOUND, 443),
                flags=flags,
                options=bytes([1] * 4),
                extensions=[destination_options()],
            )


@pytest.mark.parametrize("shape", ["whole", "fragment", "options"])
@pytest.mark.parametrize(
    ("flags", "ends"),
    [(RST, 2.0), (RST | ACK, 2.0), (FIN, 242.0), (SYN, 62.0), (ACK, 7_442.0)],
    ids=["rst", "rst-ack", "fin", "syn", "ack"],
)
@both_families
def test_flags_count_in_whatever_shape_a_packet_comes(
    family: Family, flags: int, ends: float, shape: str
) -> None:
    for now, count in ((ends - TICK, 1), (ends, 0)):
        if now < 2.0:
            continue
        gateway = gateway_for_alice(family.db(), options=STATEFUL)
        # The decisions of both directions are remembered by then.
        talk(gateway, "0>S 0<SA 0> 0> 0< 0< 1<FA", family)
        assert gateway.handle_packet(OUTBOUND, shaped(family, flags, shape), 2.0).allowed
        assert live_flows(gateway, now) == count
        reason = None if count else Drop(Reason.UNSOLICITED, "alice")
        expected = Forward("alice", "db") if reason is None else reason
        assert gateway.handle_packet(INBOUND, family.tcp(INBOUND)) == expected


def remembered(family: Family) -> Gateway:
    """Establish a flow whose decisions are remembered, both ways."""
    gateway = gateway_for_alice(family.db(), options=STATEFUL)
    talk(gateway, "0> 0< 0> 0< 0> 0<", family)
    return gateway


@both_families
def test_a_remembered_decision_ends_with_its_flow(family: Family) -> None:
    came = family.tcp(INBOUND)
    passes = Forward("alice", "db")
    for story, end in {
        "1>R": 1.0,
        "1>FA 1<FA": 241.0,
        "1<R": 240.0,
        "1<R 2> 2> 2<": 7_442.0,
        "": 7_440.0,
    }.items():
        gateway = remembered(family)
        talk(gateway, story, family)
        if end > 1.0:
            assert gateway.handle_packets(INBOUND, [came] * 2, end - TICK) == [passes] * 2
        assert gateway.handle_packets(INBOUND, [came] * 2, end) == [UNSOLICITED] * 2
        assert gateway.handle_packet(OUTBOUND, family.tcp(OUTBOUND)) == passes
        assert gateway.handle_packet(INBOUND, came) == passes


@both_families
def test_flags_are_those_of_one_flow(family: Family) -> None:
    wide = CidrResource("db", family.network)
    gateway = gateway_for_alice(wide, options=STATEFUL)
    for port in (443, 444):
        for way in (OUTBOUND, INBOUND):
            assert gateway.handle_packet(way, family.tcp(way, port), 0.0).allowed
    reset = tcp(family.flow(OUTBOUND, 443), flags=RST)
    assert gateway.handle_packet(OUTBOUND, reset).allowed
    came = [family.tcp(INBOUND, port) for port in (443, 444)]
    passes = Forward("alice", "db")
    assert gateway.handle_packets(INBOUND, came) == [UNSOLICITED, passes]
