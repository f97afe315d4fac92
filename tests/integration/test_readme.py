"""The README's Python examples run as they stand, one after another."""

import json
import re
import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firezone_filter import Direction, Gateway
from firezone_filter.cli.command import run
from tests.builders import icmp_echo, tcp
from tests.portal import CREATE, OWN, PLAN

ROOT = Path(__file__).parents[2]

PERMITTED = tcp("100.64.0.2:40000 > 10.0.0.5:5432")
REFUSED = tcp("100.64.0.2:40000 > 10.0.0.5:22")
ANSWER = tcp("10.0.0.5:5432 > 100.64.0.2:40000")


def blocks(language: str) -> list[str]:
    fence = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return fence.findall((ROOT / "README.md").read_text())


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


@pytest.fixture
def readme(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Give the names that the examples define, with the first gateway of them."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"TUNNEL_DEVICE": 7}
    for number, block in enumerate(blocks("python")):
        exec(compile(block, f"README.md, block {number}", "exec"), names)  # noqa: S102 - ours
        names.setdefault("first_gateway", names.get("gateway"))
    names["gateway"] = names["first_gateway"]
    monkeypatch.setattr(names["time"], "time", lambda: 1_790_000_001.0)
    yield names
    names["logger"].removeHandler(names["handler"])
    names["handler"].close()


def test_the_first_two_sh_blocks_are_the_example_and_the_tests() -> None:
    example, tests = blocks("sh")
    assert "firezone-filter replay examples/office/office.pcap" in example
    assert "-m pytest" in tests


def test_a_permitted_packet_of_a_client_goes_to_the_network(readme: dict[str, Any]) -> None:
    tun = Wire()
    readme["from_client"]("alice", PERMITTED, tun, Wire())
    assert tun.sent == [PERMITTED]


def test_a_refused_packet_of_a_client_is_answered(readme: dict[str, Any]) -> None:
    tun, tunnel = Wire(), Wire()
    readme["from_client"]("alice", REFUSED, tun, tunnel)
    ((client_id, reply),) = tunnel.sent
    assert (tun.sent, client_id, reply[20:22]) == ([], "alice", b"\x03\x0d")


def test_an_answer_from_the_network_goes_to_its_client(readme: dict[str, Any]) -> None:
    tunnel = Wire()
    readme["from_network"](ANSWER, tunnel)
    assert tunnel.sent == [("alice", ANSWER)]


def test_a_name_is_reached_through_its_proxy_address(readme: dict[str, Any]) -> None:
    tun = Wire()
    readme["from_client"]("alice", tcp("100.64.0.2:40000 > 100.96.0.1:443"), tun, Wire())
    assert tun.sent == [tcp("100.64.0.2:40000 > 10.0.0.80:443")]


def test_what_a_name_answers_comes_from_its_proxy_address(readme: dict[str, Any]) -> None:
    tunnel = Wire()
    readme["from_client"]("alice", tcp("100.64.0.2:40000 > 100.96.0.1:443"), Wire(), Wire())
    readme["from_network"](tcp("10.0.0.80:443 > 100.64.0.2:40000"), tunnel)
    assert tunnel.sent == [("alice", tcp("100.96.0.1:443 > 100.64.0.2:40000"))]


def test_a_stray_packet_from_the_network_goes_nowhere(readme: dict[str, Any]) -> None:
    tunnel = Wire()
    readme["from_network"](tcp("10.0.0.5:22 > 100.64.0.2:40000"), tunnel)
    assert tunnel.sent == []


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (PERMITTED, "alice may reach db"),
        (REFUSED, "alice is told: tcp-port"),
        (b"", "nobody is not told: malformed"),
    ],
)
def test_a_decision_can_be_described(readme: dict[str, Any], packet: bytes, text: str) -> None:
    decision = readme["gateway"].handle_packet(Direction.OUTBOUND, packet, 1_790_000_001.0)
    assert readme["describe"](decision) == text


def test_the_timer_reports_what_expired(
    readme: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readme["time"], "time", lambda: 1_790_003_600.0)
    readme["on_timer"]()
    assert "AuthorizationExpired" in capsys.readouterr().out


def test_a_policy_file_makes_a_gateway(readme: dict[str, Any]) -> None:
    assert readme["policy"].gateway(now=1_790_000_000.0).clients() == ("alice",)


@pytest.fixture
def portal_gateway(readme: dict[str, Any]) -> Gateway:
    """Let the portal of the examples steer a gateway that has the addresses of its messages."""
    gateway = Gateway(OWN, address_plan=PLAN)
    readme["portal"] = readme["PortalSession"](gateway)
    return gateway


def test_a_message_of_the_portal_authorizes_and_is_answered(
    readme: dict[str, Any], portal_gateway: Gateway
) -> None:
    channel = Channel()
    readme["on_message"](CREATE, channel)
    assert [answer["event"] for answer in channel.sent] == ["authorization_created"]
    assert len(portal_gateway.clients()) == 1


def test_a_message_that_is_not_for_the_filter_is_handed_back(
    readme: dict[str, Any], portal_gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    readme["on_message"]({"event": "relays_presence", "payload": {}}, Channel())
    assert capsys.readouterr().out == "relays_presence\n"
    assert portal_gateway.clients() == ()


def test_a_bad_message_is_told_and_changes_nothing(
    readme: dict[str, Any], portal_gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    readme["on_message"]({"event": "reject_access", "payload": {}}, Channel())
    assert "payload.client_id: is missing" in capsys.readouterr().out
    assert portal_gateway.clients() == ()


def test_what_is_refused_is_in_the_log(readme: dict[str, Any]) -> None:
    readme["judge"](Direction.OUTBOUND, PERMITTED, "alice")
    readme["judge"](Direction.OUTBOUND, REFUSED, "alice")
    (line,) = Path("gateway.log").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["message"], entry["reason"]) == ("Refused packet", "tcp-port")


def test_what_expires_is_in_the_log(
    readme: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readme["time"], "time", lambda: 1_790_003_600.0)
    readme["on_timer_with_log"]()
    assert "Authorization expired" in Path("gateway.log").read_text()


def test_flows_and_refusals_are_accounted_for(
    readme: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = readme["recording"]
    recording.handle_packet(Direction.OUTBOUND, icmp_echo("100.64.0.2 > 10.20.0.10"))
    recording.handle_packet(Direction.OUTBOUND, tcp("100.64.0.2:40000 > 10.20.0.10:22"))
    recording.client_disconnected("alice")
    monkeypatch.setattr(readme["time"], "time", lambda: 1_790_000_060.0)
    readme["account"]()
    assert capsys.readouterr().out.splitlines() == [
        "alice 10.20.0.10:None 0 0 disconnected",
        "alice 10.20.0.10 tcp-port 1",
    ]


def test_counters_are_a_page_to_scrape(readme: dict[str, Any]) -> None:
    readme["judge"](Direction.OUTBOUND, REFUSED, "alice")
    page = readme["metrics"]()
    name = "firezone_filter_refused_packets_total"
    assert f'{name}{{direction="outbound",reason="tcp-port"}} 1\n' in page


def test_the_host_is_that_of_the_example_and_short() -> None:
    (host,) = (block for block in blocks("python") if "def _pass_on" in block)
    assert len(host.splitlines()) <= 25
    example = (ROOT / "examples" / "tun_gateway" / "gateway.py").read_text()
    # Between methods there is one empty line, between functions there are two.
    assert textwrap.indent(host.replace("\n\n\n", "\n\n"), "    ") in example


def console_examples() -> list[tuple[str, str]]:
    """Return the commands that the README shows, each with what it prints."""
    steps = [step for block in blocks("console") for step in block.split("$ ")[1:]]
    return [(command, output) for command, _, output in (step.partition("\n") for step in steps)]


@pytest.mark.parametrize(("command", "output"), console_examples())
def test_a_command_prints_what_the_readme_says(
    command: str, output: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(command)
    assert (program, run(arguments)) == ("firezone-filter", 0)
    assert capsys.readouterr().out == output


@pytest.mark.parametrize(("packet", "verdict"), [(PERMITTED, "accepted"), (REFUSED, "dropped")])
def test_a_queue_is_told_the_verdict(readme: dict[str, Any], packet: bytes, verdict: str) -> None:
    queued = Queued(packet)
    readme["on_packet"](queued)
    assert queued.verdict == verdict


def test_a_scapy_packet_can_be_asked_about(readme: dict[str, Any]) -> None:
    assert readme["allowed"](PERMITTED)
