"""Section 6, `domain_withdrawn`: what the state machines do not ask of it."""

import pytest

from firezone_filter import (
    FirezoneFilterError,
    Gateway,
    GatewayOptions,
    InvalidPolicy,
    Policy,
    UnknownClient,
)
from firezone_filter.gateway import clients, gateway
from firezone_filter.testing import SYN, tcp
from tests.rules.test_domain_resolved import in_use, is_unchanged
from tests.scenes import ALICE, OUTBOUND, gateway_for_alice
from tests.translations import N4, NAME, app, resolve


@pytest.mark.parametrize(
    ("client_id", "domain", "error", "value"),
    [
        ("nobody", NAME, UnknownClient, "nobody"),
        *(("alice", name, InvalidPolicy, name) for name in ("", "*.example.com", "a..b")),
    ],
)
def test_a_wrong_value_raises_and_changes_nothing(
    client_id: str, domain: str, error: type[FirezoneFilterError], value: str
) -> None:
    made = in_use()
    with pytest.raises(error) as caught:
        made.domain_withdrawn(client_id, domain)
    assert caught.value.value == value
    assert is_unchanged(made)


@pytest.mark.parametrize("arguments", [(1, NAME), ("alice", b"a.example.com"), ("alice", None)])
def test_a_wrong_type_raises_and_changes_nothing(arguments: tuple[str, str]) -> None:
    made = in_use()
    with pytest.raises(TypeError):
        made.domain_withdrawn(*arguments)
    assert is_unchanged(made)


def test_a_name_that_the_client_has_not_changes_nothing() -> None:
    made = in_use()
    assert not made.domain_withdrawn("alice", "other.example.com")
    assert is_unchanged(made)


def test_a_client_without_names_has_none_to_lose() -> None:
    assert not gateway_for_alice(app()).domain_withdrawn("alice", NAME)


def test_it_is_told_no_more() -> None:
    made = in_use()
    before = Policy.of(made)
    resolve(made, N4, proxies=["100.96.7.7"], real=["10.0.0.7"], domain="more.example.com")
    assert made.domain_withdrawn("alice", "MORE.example.com.")
    assert Policy.of(made) == before
    assert is_unchanged(made)


def names(number: int) -> list[str]:
    """Return addresses that no other number has."""
    return [f"100.96.{number // 64}.{4 * (number % 64) + place}" for place in range(4)]


def full() -> Gateway:
    """Let alice have all the proxy addresses that she may."""
    made = gateway_for_alice(app())
    for number in range(256):
        resolve(
            made, N4, proxies=names(number), real=["10.0.0.7"], domain=f"n{number}.example.com"
        )
    return made


def test_it_makes_room_for_another_name() -> None:
    made = full()
    with pytest.raises(InvalidPolicy):
        resolve(made, N4, proxies=["100.97.0.1"], domain="new.example.com")
    assert made.domain_withdrawn("alice", "n0.example.com")
    resolve(made, N4, proxies=names(0), domain="new.example.com")
    # No renumbering: the others are there.
    assert len(made.client("alice").proxies) == 1_024


def test_an_open_connection_does_not_go_on_to_another_name() -> None:
    made = gateway_for_alice(app(), options=GatewayOptions(stateful=True))
    way = f"{ALICE.ipv4}:40000 > 100.96.7.7:443"
    resolve(made, N4, proxies=["100.96.7.7"], real=["10.0.0.7"])
    assert made.handle_packet(OUTBOUND, tcp(way, flags=SYN)).allowed
    made.domain_withdrawn("alice", NAME)
    resolve(made, N4, proxies=["100.96.7.7"], real=["10.0.0.8"], domain="new.example.com")
    assert made.counters().flows == made.counters().nat_sessions == 0
    assert made.handle_packet(OUTBOUND, tcp(way, flags=SYN)).allowed
    assert [str(one.real_address) for one in made.client("alice").sessions] == ["10.0.0.8"]


def test_a_name_of_what_is_over_is_there_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = gateway_for_alice(app())
    resolve(made, N4)
    made.update_expiry("alice", "app", 10.0)
    for module in (clients, gateway):
        monkeypatch.setattr(module, "STEPS_OF_A_PACKET", 0)
    # It is not taken apart yet.
    made.handle_packet(OUTBOUND, b"", 10.0)
    assert not made.domain_withdrawn("alice", NAME)
