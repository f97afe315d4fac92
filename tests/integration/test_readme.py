"""The README's Python examples run as they stand, each by itself."""

import json
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firezone_filter import Direction, Gateway, GatewayOptions, PortalSession, load_policy
from firezone_filter.testing import icmp_echo, tcp
from tests import snippets
from tests.portal import CREATE, OWN, PLAN
from tests.snippets import ROOT

PERMITTED = tcp("100.64.0.2:40000 > 10.0.0.5:5432")
REFUSED = tcp("100.64.0.2:40000 > 10.0.0.5:22")
ANSWER = tcp("10.0.0.5:5432 > 100.64.0.2:40000")

START = 1_790_000_000.0


def blocks(language: str) -> list[str]:
    return snippets.blocks(ROOT / "README.md", language)


def defined_by(block: str) -> dict[str, Any]:
    """Run an example with nothing there before it; return the names that it defines."""
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - ours
    return names


class Wire:
    """Takes the place of a TUN device and of a tunnel."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def write(self, packet: bytes) -> None:
        self.sent.append(packet)

    def send(self, client_id: str, packet: bytes) -> None:
        self.sent.append((client_id, packet))


class Queued:
    """Takes the place of a packet in an NFQUEUE."""

    indev = 7

    def __init__(self, packet: bytes) -> None:
        self.packet = packet
        self.verdict = "none"

    def get_payload(self) -> bytes:
        return self.packet

    def set_payload(self, packet: bytes) -> None:
        self.packet = packet

    def accept(self) -> None:
        self.verdict = "accepted"

    def drop(self) -> None:
        self.verdict = "dropped"


class Channel:
    """Takes the place of the portal's websocket."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))


class Clock:
    """Takes the place of the host's clock."""

    now = START

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "time", clock.time)
    return clock


@pytest.fixture
def readme(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """Give the names that the examples define, with the first gateway of them."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    defined = [defined_by(block) for block in blocks("python")]
    names = {name: value for each in reversed(defined) for name, value in each.items()}
    clock.now += 1
    yield names
    names["logger"].removeHandler(names["handler"])
    names["handler"].close()


@pytest.fixture
def gateway(readme: dict[str, Any]) -> Gateway:
    """Give the gateway of the first example."""
    made: Gateway = readme["gateway"]
    return made


SNIPPETS = dict(snippets.snippets())


@pytest.mark.parametrize("name", SNIPPETS)
def test_an_example_can_be_pasted_by_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    block = SNIPPETS[name]
    assert "from firezone_filter" in block
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    if handler := defined_by(block).get("handler"):
        handler.close()


def test_all_examples_are_written_for_type_checkers(tmp_path: Path) -> None:
    snippets.write(tmp_path)
    texts = [path.read_text() for path in sorted(tmp_path.iterdir()) if "readme" in path.name]
    assert texts == blocks("python")


def test_the_first_example_authorizes_for_an_hour_from_now(gateway: Gateway) -> None:
    assert gateway.authorizations("alice") == {"db": START + 3_600}


def test_the_first_two_sh_blocks_are_the_example_and_the_tests() -> None:
    example, tests = blocks("sh")
    assert "firezone-filter replay examples/office/office.pcap" in example
    assert "-m pytest" in tests


def test_a_permitted_packet_of_a_client_goes_to_the_network(
    readme: dict[str, Any], gateway: Gateway
) -> None:
    tun = Wire()
    readme["from_client"](gateway, "alice", PERMITTED, tun, Wire())
    assert tun.sent == [PERMITTED]


def test_a_refused_packet_of_a_client_is_answered(
    readme: dict[str, Any], gateway: Gateway
) -> None:
    tun, tunnel = Wire(), Wire()
    readme["from_client"](gateway, "alice", REFUSED, tun, tunnel)
    ((client_id, reply),) = tunnel.sent
    assert (tun.sent, client_id, reply[20:22]) == ([], "alice", b"\x03\x0d")


def test_an_answer_from_the_network_goes_to_its_client(
    readme: dict[str, Any], gateway: Gateway
) -> None:
    tunnel = Wire()
    readme["from_network"](gateway, ANSWER, tunnel)
    assert tunnel.sent == [("alice", ANSWER)]


def test_a_name_is_reached_through_its_proxy_address(
    readme: dict[str, Any], gateway: Gateway
) -> None:
    tun = Wire()
    readme["give_access_to_git"](gateway, "alice")
    readme["from_client"](gateway, "alice", tcp("100.64.0.2:40000 > 100.96.0.1:443"), tun, Wire())
    assert tun.sent == [tcp("100.64.0.2:40000 > 10.0.0.80:443")]


def test_what_a_name_answers_comes_from_its_proxy_address(
    readme: dict[str, Any], gateway: Gateway
) -> None:
    tunnel = Wire()
    readme["give_access_to_git"](gateway, "alice")
    readme["from_client"](
        gateway, "alice", tcp("100.64.0.2:40000 > 100.96.0.1:443"), tunnel, tunnel
    )
    tunnel.sent.clear()
    readme["from_network"](gateway, tcp("10.0.0.80:443 > 100.64.0.2:40000"), tunnel)
    assert tunnel.sent == [("alice", tcp("100.96.0.1:443 > 100.64.0.2:40000"))]


def test_a_stray_packet_from_the_network_goes_nowhere(
    readme: dict[str, Any], gateway: Gateway
) -> None:
    tunnel = Wire()
    readme["from_network"](gateway, tcp("10.0.0.5:22 > 100.64.0.2:40000"), tunnel)
    assert tunnel.sent == []


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (PERMITTED, "alice may reach db"),
        (REFUSED, "alice is told: tcp-port"),
        (b"", "nobody is not told: malformed"),
    ],
)
def test_a_decision_can_be_described(
    readme: dict[str, Any], gateway: Gateway, packet: bytes, text: str
) -> None:
    decision = gateway.handle_packet(Direction.OUTBOUND, packet, START)
    assert readme["describe"](decision) == text


def test_the_timer_reports_what_expired(
    readme: dict[str, Any], gateway: Gateway, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.now = START + 3_600
    readme["on_timer"](gateway)
    assert "AuthorizationExpired" in capsys.readouterr().out


def test_a_policy_file_makes_a_gateway(readme: dict[str, Any]) -> None:
    assert readme["policy"].gateway(now=START).clients() == ("alice",)


@pytest.fixture
def portal_gateway() -> Gateway:
    """Give a gateway that has the addresses of the portal's messages."""
    return Gateway(OWN, address_plan=PLAN)


def test_a_message_of_the_portal_authorizes_and_is_answered(
    readme: dict[str, Any], portal_gateway: Gateway
) -> None:
    channel = Channel()
    readme["on_message"](PortalSession(portal_gateway), CREATE, channel)
    assert [answer["event"] for answer in channel.sent] == ["authorization_created"]
    assert len(portal_gateway.clients()) == 1


def test_a_message_that_is_not_for_the_filter_is_handed_back(
    readme: dict[str, Any], portal_gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    readme["on_message"](
        PortalSession(portal_gateway), {"event": "relays_presence", "payload": {}}, Channel()
    )
    assert capsys.readouterr().out == "relays_presence\n"
    assert portal_gateway.clients() == ()


def test_a_bad_message_is_told_and_changes_nothing(
    readme: dict[str, Any], portal_gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    readme["on_message"](
        PortalSession(portal_gateway), {"event": "reject_access", "payload": {}}, Channel()
    )
    assert "payload.client_id: is missing" in capsys.readouterr().out
    assert portal_gateway.clients() == ()


def test_what_the_tunnel_has_brought_is_decided_in_one_call(
    readme: dict[str, Any], gateway: Gateway
) -> None:
    received = [("alice", PERMITTED), ("alice", REFUSED), ("bob", PERMITTED)]
    decisions = readme["from_clients"](gateway, received)
    assert [readme["describe"](decision) for decision in decisions] == [
        "alice may reach db",
        "alice is told: tcp-port",
        "nobody is not told: unknown-client",
    ]


def test_what_is_refused_is_in_the_log(readme: dict[str, Any], gateway: Gateway) -> None:
    readme["judge"](gateway, Direction.OUTBOUND, PERMITTED, "alice")
    readme["judge"](gateway, Direction.OUTBOUND, REFUSED, "alice")
    (line,) = Path("gateway.log").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["message"], entry["reason"]) == ("Refused packet", "tcp-port")


def test_what_expires_is_in_the_log(
    readme: dict[str, Any], gateway: Gateway, clock: Clock
) -> None:
    clock.now = START + 3_600
    readme["on_timer_with_log"](gateway)
    assert "Authorization expired" in Path("gateway.log").read_text()


def test_flows_and_refusals_are_accounted_for(
    readme: dict[str, Any], clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert readme["recording"].counters().recorded_flows == 0
    policy = load_policy((ROOT / "examples" / "office" / "policy.json").read_text())
    recording = policy.gateway(now=START, options=GatewayOptions(flow_records=True))
    recording.handle_packet(Direction.OUTBOUND, icmp_echo("100.64.0.2 > 10.20.0.10"))
    recording.handle_packet(Direction.OUTBOUND, tcp("100.64.0.2:40000 > 10.20.0.10:22"))
    recording.client_disconnected("alice")
    clock.now = START + 60
    readme["account"](recording)
    assert capsys.readouterr().out.splitlines() == [
        "alice 10.20.0.10:None 0 0 disconnected",
        "alice 10.20.0.10 tcp-port 1",
    ]


def test_counters_are_a_page_to_scrape(readme: dict[str, Any], gateway: Gateway) -> None:
    readme["judge"](gateway, Direction.OUTBOUND, REFUSED, "alice")
    page = readme["metrics"](gateway)
    name = "firezone_filter_refused_packets_total"
    assert f'{name}{{direction="outbound",reason="tcp-port"}} 1\n' in page


def test_the_host_is_that_of_the_package_and_short() -> None:
    (host,) = blocks("python excerpt")
    assert len(host.splitlines()) <= 25
    example = (ROOT / "firezone_filter" / "host" / "host.py").read_text()
    # Between methods there is one empty line, between functions there are two.
    assert textwrap.indent(host.replace("\n\n\n", "\n\n"), "    ") in example


@pytest.mark.parametrize(("packet", "verdict"), [(PERMITTED, "accepted"), (REFUSED, "dropped")])
def test_a_queue_is_told_the_verdict(
    readme: dict[str, Any], gateway: Gateway, packet: bytes, verdict: str
) -> None:
    queued = Queued(packet)
    readme["on_packet"](gateway, queued)
    assert queued.verdict == verdict


def test_a_scapy_packet_can_be_asked_about(readme: dict[str, Any], gateway: Gateway) -> None:
    assert readme["allowed"](gateway, PERMITTED)
