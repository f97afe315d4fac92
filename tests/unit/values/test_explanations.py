"""Explanations as text for people and as JSON types for machines."""

import json
from ipaddress import ip_address, ip_network

import pytest
from attrs import evolve

from firezone_filter.values.decisions import Decision, Drop, Forward, Reason, Reject, Translate
from firezone_filter.values.explanations import Candidate, Check, Explanation, PacketSummary

QUOTED = PacketSummary(
    4,
    ip_address("100.64.0.2"),
    ip_address("10.0.0.5"),
    17,
    1,
    53,
    None,
    None,
    None,
    28,
)
PACKET = PacketSummary(
    4,
    ip_address("10.0.0.1"),
    ip_address("100.64.0.2"),
    1,
    None,
    None,
    3,
    4,
    None,
    56,
    QUOTED,
)
EXPLANATION = Explanation(
    Forward("alice", "db"),
    (Check("headers", passed=True, detail="well formed"), Check("icmp-error", True, "permitted")),  # noqa: FBT003 - in their order
    (
        Candidate("db", "Database", ip_network("10.0.0.0/24"), True, None, True),  # noqa: FBT003
        Candidate("web", "", None, False, Reason.NOT_INTERNET, False),  # noqa: FBT003
    ),
    ("office", "lab"),
    "alice",
    PACKET,
)

TEXT = """\
icmp type 3 code 4 10.0.0.1 > 100.64.0.2, 56 bytes, about udp 100.64.0.2:1 > 10.0.0.5:53, 28 bytes
  ✓ headers     well formed
  ✓ icmp-error  permitted
candidates:
  >  db   10.0.0.0/24   permits it                Database
     web  the Internet  refuses it: not-internet
excluding the address: office, lab
forward: alice may reach db"""


def test_people_read_the_packet_the_checks_the_candidates_and_the_decision() -> None:
    assert str(EXPLANATION) == TEXT


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (QUOTED, "udp 100.64.0.2:1 > 10.0.0.5:53, 28 bytes"),
        (
            evolve(QUOTED, fragment="first"),
            "udp 100.64.0.2:1 > 10.0.0.5:53, 28 bytes, first fragment",
        ),
        (
            PacketSummary(
                6, ip_address("fd00::2"), ip_address("fd00::5"), 6, 1, 2, None, None, None, 60
            ),
            "tcp [fd00::2]:1 > [fd00::5]:2, 60 bytes",
        ),
        (
            evolve(QUOTED, protocol=253, source_port=None, destination_port=None),
            "protocol 253 100.64.0.2 > 10.0.0.5, 28 bytes",
        ),
    ],
    ids=["udp", "fragment", "ipv6", "unnamed"],
)
def test_a_packet_is_one_line(packet: PacketSummary, text: str) -> None:
    assert str(packet) == text


@pytest.mark.parametrize(
    ("decision", "text"),
    [
        (Forward("alice", None), "forward: alice and the gateway itself may exchange it"),
        (Translate(b"", "alice", "app"), "translate: alice may reach app"),
        (
            Reject(b"", Reason.NO_RESOURCE, "alice"),
            f"reject, alice gets a reply: no-resource. {Reason.NO_RESOURCE.description}",
        ),
        (
            Drop(Reason.NO_TRANSLATION, "alice"),
            "drop: no-translation. There is no real address behind the proxy address.",
        ),
    ],
    ids=["own", "translate", "reject", "drop"],
)
def test_the_decision_is_told_in_words(decision: Decision, text: str) -> None:
    bare = Explanation(
        decision, (Check("headers", passed=False, detail="cut off"),), (), (), None, None
    )
    assert str(bare).splitlines() == ["a malformed packet", "  ✗ headers  cut off", text]


def test_a_check_by_itself_is_a_line() -> None:
    assert [str(one) for one in EXPLANATION.checks] == [
        "✓ headers: well formed",
        "✓ icmp-error: permitted",
    ]
    assert str(Check("tunnel", passed=False, detail="outside")) == "✗ tunnel: outside"


def test_names_cannot_fake_a_line_or_move_the_cursor() -> None:
    tricky = evolve(
        EXPLANATION,
        candidates=(evolve(EXPLANATION.candidates[0], name="a\nforward: all\x1b[2J\u202e"),),
    )
    lines = str(tricky).splitlines()
    assert len(lines) == len(TEXT.splitlines()) - 1
    assert all(line.isprintable() for line in lines)
    assert r"a\nforward: all\x1b[2J\u202e" in lines[4]


def test_machines_get_json_types() -> None:
    told = evolve(EXPLANATION, decision=Translate(b"\x45\x00", "alice", "app")).to_dict()
    assert json.loads(json.dumps(told)) == told
    quoted = {
        "version": 4,
        "source": "100.64.0.2",
        "destination": "10.0.0.5",
        "protocol": 17,
        "source_port": 1,
        "destination_port": 53,
        "icmp_type": None,
        "icmp_code": None,
        "fragment": None,
        "length": 28,
        "quoted": None,
    }
    assert told == {
        "decision": {
            "decision": "translate",
            "packet": "4500",
            "client_id": "alice",
            "resource_id": "app",
        },
        "checks": [
            {"name": "headers", "passed": True, "detail": "well formed"},
            {"name": "icmp-error", "passed": True, "detail": "permitted"},
        ],
        "candidates": [
            {
                "resource_id": "db",
                "name": "Database",
                "covers": "10.0.0.0/24",
                "permits": True,
                "reason": None,
                "wins": True,
            },
            {
                "resource_id": "web",
                "name": "",
                "covers": None,
                "permits": False,
                "reason": "not-internet",
                "wins": False,
            },
        ],
        "excluded": ["office", "lab"],
        "client_id": "alice",
        "packet": {
            "version": 4,
            "source": "10.0.0.1",
            "destination": "100.64.0.2",
            "protocol": 1,
            "source_port": None,
            "destination_port": None,
            "icmp_type": 3,
            "icmp_code": 4,
            "fragment": None,
            "length": 56,
            "quoted": quoted,
        },
    }
    malformed = evolve(EXPLANATION, packet=None).to_dict()
    assert malformed["packet"] is None
