"""The messages and programs of docs/how-to/portal.md work as they stand."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from firezone_filter import AddressInUse, Direction, Gateway, InvalidMessage, PortalSession
from firezone_filter.testing import tcp

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "portal.md").read_text()
CLIENT = "3abd725a-733b-4801-ac16-72f26cd98a24"
PERMITTED = tcp("100.64.0.2:40000 > 10.0.0.5:5432")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


INIT, CREATE = blocks("json")


class Channel:
    """Takes the place of the portal's websocket."""

    def __init__(self) -> None:
        self.sent: list[Any] = []

    def send(self, text: str) -> None:
        self.sent.append(json.loads(text))


@pytest.fixture
def page() -> dict[str, Any]:
    """Give the names that the page defines."""
    names: dict[str, Any] = {}
    for block in blocks("python"):
        exec(compile(block, "docs/how-to/portal.md", "exec"), names)  # noqa: S102 - ours
    return names


@pytest.fixture
def begun(page: dict[str, Any]) -> tuple[Gateway, PortalSession]:
    gateway, portal = page["begin"](INIT)
    return gateway, portal


def test_a_gateway_begins_with_the_addresses_of_its_first_init(
    begun: tuple[Gateway, PortalSession],
) -> None:
    gateway, _ = begun
    assert repr(gateway).startswith("<Gateway 100.64.0.1, fd00:2021:1111::1: 0 clients")


def test_the_messages_of_the_page_authorize_a_client(
    page: dict[str, Any], begun: tuple[Gateway, PortalSession], capsys: pytest.CaptureFixture[str]
) -> None:
    (gateway, portal), channel = begun, Channel()
    page["on_message"](portal, CREATE, channel)
    assert channel.sent == [
        {
            "event": "authorization_created",
            "ref": None,
            "topic": "gateway",
            "payload": {"ref": "opaque-reference"},
        }
    ]
    assert capsys.readouterr().out == "create_authorization\n"
    assert gateway.handle_packet(Direction.OUTBOUND, PERMITTED, time.time(), CLIENT).allowed


def test_the_init_of_the_page_comes_again_and_revokes(
    page: dict[str, Any], begun: tuple[Gateway, PortalSession]
) -> None:
    gateway, portal = begun
    page["on_message"](portal, CREATE, Channel())
    page["on_message"](portal, INIT, Channel())
    assert gateway.authorizations(CLIENT) == {}


def test_a_refused_message_is_told_with_the_clients_that_have_lost_something(
    page: dict[str, Any], begun: tuple[Gateway, PortalSession], capsys: pytest.CaptureFixture[str]
) -> None:
    gateway, portal = begun
    page["on_message"](portal, CREATE, Channel())
    page["on_message"](portal, INIT.replace("100.64.0.1", "10.0.0.1"), Channel())
    told = capsys.readouterr().out
    assert "10.0.0.1 is outside the plan's tunnel ranges" in told
    assert f"('{CLIENT}',)" in told
    assert gateway.authorizations(CLIENT) == {}


def test_an_init_with_the_address_of_a_dropped_client_goes_through_the_second_time(
    page: dict[str, Any], begun: tuple[Gateway, PortalSession]
) -> None:
    gateway, portal = begun
    page["on_message"](portal, CREATE, Channel())
    sent = INIT.replace("100.64.0.1", "100.64.0.2")
    with pytest.raises(InvalidMessage) as caught:
        portal.receive(sent, time.time())
    assert gateway.authorizations(CLIENT) == {}
    assert isinstance(caught.value.__cause__, AddressInUse)
    gateway.client_disconnected(caught.value.__cause__.client_id)
    portal.receive(sent, time.time())
    assert repr(gateway).startswith("<Gateway 100.64.0.2")


@pytest.mark.parametrize(
    "message", ["", "[]", "{}", "null", INIT.replace("100.64.0.1", "x"), CREATE]
)
def test_a_first_message_that_is_no_init_makes_no_gateway(
    page: dict[str, Any], message: str
) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        page["begin"](message)
