"""Every Python example of the documents runs by itself, and those of guides do what they say."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Self

import pytest

from firezone_filter import (
    Direction,
    Gateway,
    GatewayOptions,
    Reject,
    TunnelAddresses,
    load_policy,
)
from firezone_filter.testing import icmp_echo, tcp
from tests import snippets
from tests.snippets import ROOT

PERMITTED = tcp("100.64.0.2:40000 > 10.0.0.5:5432")
REFUSED = tcp("100.64.0.2:40000 > 10.0.0.5:22")
ANSWER = tcp("10.0.0.5:5432 > 100.64.0.2:40000")

START = 1_790_000_000.0


PAGES = [
    ROOT / "docs" / "how-to" / f"{name}.md"
    for name in ("embed", "nfqueue", "logs", "flow-records", "metrics")
]


def defined_by(block: str) -> dict[str, Any]:
    """Run an example with nothing there before it; return the names that it defines."""
    names: dict[str, Any] = {"__name__": "docs"}
    exec(compile(block, "docs", "exec"), names)  # noqa: S102 - ours
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
def docs(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[dict[str, Any]]:
    """Give the names that the examples define, with the first gateway of them."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    defined = [defined_by(block) for page in PAGES for block in snippets.blocks(page, "python")]
    names = {name: value for each in reversed(defined) for name, value in each.items()}
    clock.now += 1
    yield names
    names["logger"].removeHandler(names["handler"])
    names["handler"].close()


@pytest.fixture
def gateway(docs: dict[str, Any]) -> Gateway:
    """Give the gateway of the first example."""
    made: Gateway = docs["gateway"]
    return made


ALONE = {name: block.text for name, block in snippets.snippets() if not block.is_file}


@pytest.mark.parametrize("name", ALONE)
def test_an_example_can_be_pasted_by_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    block = ALONE[name]
    assert "from firezone_filter" in block
    if "scapy" in block:
        pytest.importorskip("scapy", reason="scapy is not installed")
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    if handler := defined_by(block).get("handler"):
        handler.close()


def test_all_examples_are_written_for_type_checkers(tmp_path: Path) -> None:
    snippets.write(tmp_path)
    texts = [
        path.read_text() for path in sorted(tmp_path.iterdir()) if "how_to_embed" in path.name
    ]
    assert texts == snippets.blocks(PAGES[0], "python")
    assert (tmp_path / "docs_how_to_asyncio_01.py").read_text().startswith("import asyncio\n")


def test_the_first_example_authorizes_for_an_hour_from_now(gateway: Gateway) -> None:
    assert gateway.authorizations("alice") == {"db": START + 3_600, "office": None}


def test_a_permitted_packet_of_a_client_goes_to_the_network(
    docs: dict[str, Any], gateway: Gateway
) -> None:
    tun = Wire()
    docs["from_client"](gateway, "alice", PERMITTED, tun, Wire())
    assert tun.sent == [PERMITTED]


def test_a_refused_packet_of_a_client_is_answered(docs: dict[str, Any], gateway: Gateway) -> None:
    tun, tunnel = Wire(), Wire()
    docs["from_client"](gateway, "alice", REFUSED, tun, tunnel)
    ((client_id, reply),) = tunnel.sent
    assert (tun.sent, client_id, reply[20:22]) == ([], "alice", b"\x03\x0d")


def test_an_answer_from_the_network_goes_to_its_client(
    docs: dict[str, Any], gateway: Gateway
) -> None:
    tunnel = Wire()
    docs["from_network"](gateway, ANSWER, tunnel)
    assert tunnel.sent == [("alice", ANSWER)]


def test_a_name_is_reached_through_its_proxy_address(
    docs: dict[str, Any], gateway: Gateway
) -> None:
    tun = Wire()
    docs["give_access_to_git"](gateway, "alice")
    docs["from_client"](gateway, "alice", tcp("100.64.0.2:40000 > 100.96.0.1:443"), tun, Wire())
    assert tun.sent == [tcp("100.64.0.2:40000 > 10.0.0.80:443")]


def test_what_a_name_answers_comes_from_its_proxy_address(
    docs: dict[str, Any], gateway: Gateway
) -> None:
    tunnel = Wire()
    docs["give_access_to_git"](gateway, "alice")
    docs["from_client"](gateway, "alice", tcp("100.64.0.2:40000 > 100.96.0.1:443"), tunnel, tunnel)
    tunnel.sent.clear()
    docs["from_network"](gateway, tcp("10.0.0.80:443 > 100.64.0.2:40000"), tunnel)
    assert tunnel.sent == [("alice", tcp("100.96.0.1:443 > 100.64.0.2:40000"))]


def test_a_stray_packet_from_the_network_goes_nowhere(
    docs: dict[str, Any], gateway: Gateway
) -> None:
    tunnel = Wire()
    docs["from_network"](gateway, tcp("10.0.0.5:22 > 100.64.0.2:40000"), tunnel)
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
    docs: dict[str, Any], gateway: Gateway, packet: bytes, text: str
) -> None:
    decision = gateway.handle_packet(Direction.OUTBOUND, packet, START)
    assert docs["describe"](decision) == text


def test_the_timer_reports_what_expired(
    docs: dict[str, Any], gateway: Gateway, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.now = START + 3_600
    docs["on_timer"](gateway)
    assert "AuthorizationExpired" in capsys.readouterr().out


def test_a_policy_file_makes_a_gateway(docs: dict[str, Any]) -> None:
    assert docs["policy"].gateway(now=START).clients() == ("alice",)


def test_what_the_tunnel_has_brought_is_decided_in_one_call(
    docs: dict[str, Any], gateway: Gateway
) -> None:
    received = [("alice", PERMITTED), ("alice", REFUSED), ("bob", PERMITTED)]
    decisions = docs["from_clients"](gateway, received)
    assert [docs["describe"](decision) for decision in decisions] == [
        "alice may reach db",
        "alice is told: tcp-port",
        "nobody is not told: unknown-client",
    ]


def test_what_is_refused_is_in_the_log(docs: dict[str, Any], gateway: Gateway) -> None:
    docs["judge"](gateway, Direction.OUTBOUND, PERMITTED, "alice")
    docs["judge"](gateway, Direction.OUTBOUND, REFUSED, "alice")
    (line,) = Path("gateway.log").read_text().splitlines()
    entry = json.loads(line)
    assert (entry["message"], entry["reason"]) == ("Refused packet", "tcp-port")


def test_what_expires_is_in_the_log(docs: dict[str, Any], gateway: Gateway, clock: Clock) -> None:
    clock.now = START + 3_600
    docs["on_timer_with_log"](gateway)
    assert "Authorization expired" in Path("gateway.log").read_text()


def test_flows_and_refusals_are_accounted_for(
    docs: dict[str, Any], clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    assert docs["recording"].counters().recorded_flows == 0
    policy = load_policy((ROOT / "examples" / "office" / "policy.json").read_text())
    recording = policy.gateway(now=START, options=GatewayOptions(flow_records=True))
    recording.handle_packet(Direction.OUTBOUND, icmp_echo("100.64.0.2 > 10.20.0.10"))
    recording.handle_packet(Direction.OUTBOUND, tcp("100.64.0.2:40000 > 10.20.0.10:22"))
    recording.client_disconnected("alice")
    clock.now = START + 60
    docs["account"](recording)
    assert capsys.readouterr().out.splitlines() == [
        "alice 10.20.0.10:None 0 0 disconnected",
        "alice 10.20.0.10 tcp-port 1",
    ]


def test_counters_are_a_page_to_scrape(docs: dict[str, Any], gateway: Gateway) -> None:
    docs["judge"](gateway, Direction.OUTBOUND, REFUSED, "alice")
    page = docs["metrics"](gateway)
    name = "firezone_filter_refused_packets_total"
    assert f'{name}{{direction="outbound",reason="tcp-port"}} 1\n' in page


@pytest.mark.parametrize(("packet", "verdict"), [(PERMITTED, "accepted"), (REFUSED, "dropped")])
def test_a_queue_is_told_the_verdict(
    docs: dict[str, Any], gateway: Gateway, packet: bytes, verdict: str
) -> None:
    queued, queue = Queued(packet), docs["Queue"](gateway, 7)
    queue.reply = len
    queue.on_packet(queued)
    assert queued.verdict == verdict


class Raw:
    """Takes the place of a raw socket."""

    sent: ClassVar[list[Any]] = []

    def __init__(self, family: int, *_: int) -> None:
        self.family = family

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def sendto(self, packet: bytes, to: tuple[str, int]) -> None:
        self.sent.append((self.family, packet, to[0]))


@pytest.mark.parametrize(
    ("flow", "client", "family"),
    [
        ("100.64.0.2:40000 > 10.0.0.5:22", "100.64.0.2", socket.AF_INET),
        ("[fd00:2021:1111::2]:40000 > [fd10::5]:22", "fd00:2021:1111::2", socket.AF_INET6),
    ],
    ids=["v4", "v6"],
)
def test_a_queue_replies_to_the_client(
    docs: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    flow: str,
    client: str,
    family: socket.AddressFamily,
) -> None:
    monkeypatch.setattr(socket, "socket", Raw)
    monkeypatch.setattr(Raw, "sent", [])
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2", "fd00:2021:1111::2"), START)
    docs["Queue"](gateway, 7).on_packet(Queued(tcp(flow)))
    decision = gateway.handle_packet(Direction.OUTBOUND, tcp(flow))
    assert isinstance(decision, Reject)
    assert Raw.sent == [(family, decision.reply, client)]


def test_the_reload_of_the_page_brings_the_gateway_to_the_file(
    docs: dict[str, Any], tmp_path: Path
) -> None:
    policy = json.loads((ROOT / "examples" / "office" / "policy.json").read_text())
    policy["clients"][0]["authorizations"] = policy["clients"][0]["authorizations"][:1]
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(policy))
    reload = docs["reload"]
    assert len(reload.__globals__["gateway"].authorizations("alice")) == 4
    reload(path)
    assert list(reload.__globals__["gateway"].authorizations("alice")) == ["files"]
