import pickle
from ipaddress import ip_address

import pytest
from attrs.exceptions import FrozenInstanceError

from firezone_filter.access.special_ranges import DNS, TUNNEL
from firezone_filter.gateway.context import Site
from firezone_filter.packet.numbers import ICMPV4, TCP
from firezone_filter.values.addresses import AddressPlan, TunnelAddresses
from firezone_filter.values.decisions import Reason
from firezone_filter.values.errors import InvalidPolicy
from firezone_filter.values.options import GatewayOptions
from firezone_filter.values.resources import Filter, Icmp, Tcp, Udp

COUNTS = ["reject_burst", "max_sessions_per_client", "max_sessions"]
NUMBERS = ["reject_rate", *COUNTS]

OWN = TunnelAddresses("100.64.0.1", "fd00:2021:1111::1")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("reject", True),
        ("reject_rate", 100.0),
        ("reject_burst", 100),
        ("own_filters", ()),
        ("max_sessions_per_client", 16_384),
        ("max_sessions", 1_048_576),
        ("flow_records", False),
    ],
)
def test_every_option_has_its_default(option: str, value: object) -> None:
    assert getattr(GatewayOptions(), option) == value


@pytest.mark.parametrize("value", [0, 1, None, "no", "", ()])
@pytest.mark.parametrize("option", ["reject", "flow_records"])
def test_a_switch_is_a_bool_and_nothing_like_it(option: str, value: object) -> None:
    with pytest.raises(TypeError, match=option):
        GatewayOptions(**{option: value})  # type: ignore[arg-type]


def test_replies_can_be_switched_off() -> None:
    assert GatewayOptions(reject=False).reject is False


@pytest.mark.parametrize("option", NUMBERS)
def test_a_number_may_be_zero(option: str) -> None:
    assert getattr(GatewayOptions(**{option: 0}), option) == 0  # type: ignore[arg-type]


@pytest.mark.parametrize("option", NUMBERS)
def test_a_number_is_not_negative(option: str) -> None:
    with pytest.raises(InvalidPolicy):
        GatewayOptions(**{option: -1})  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [True, False, None, "100", b"", 1j])
@pytest.mark.parametrize("option", NUMBERS)
def test_a_number_of_another_type_is_a_type_error(option: str, value: object) -> None:
    with pytest.raises(TypeError):
        GatewayOptions(**{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("rate", [0.001, 1, 1e300])
def test_a_rate_is_any_finite_number(rate: float) -> None:
    assert GatewayOptions(reject_rate=rate).reject_rate == rate


@pytest.mark.parametrize("rate", [float("inf"), float("nan"), float("-inf"), -0.001])
def test_a_rate_is_finite_and_not_negative(rate: float) -> None:
    with pytest.raises(InvalidPolicy):
        GatewayOptions(reject_rate=rate)


@pytest.mark.parametrize("value", [2**1024, 10**5_000], ids=["2**1024", "10**5000"])
@pytest.mark.parametrize("option", NUMBERS)
def test_what_no_float_can_hold_is_not_finite(option: str, value: int) -> None:
    with pytest.raises(InvalidPolicy):
        GatewayOptions(**{option: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("option", COUNTS)
def test_a_count_is_a_whole_number(option: str) -> None:
    with pytest.raises(TypeError):
        GatewayOptions(**{option: 1.0})  # type: ignore[arg-type]


def test_the_error_names_the_option() -> None:
    with pytest.raises(InvalidPolicy, match="max_sessions_per_client"):
        GatewayOptions(max_sessions_per_client=-1)


def test_the_error_carries_the_value() -> None:
    with pytest.raises(InvalidPolicy) as caught:
        GatewayOptions(reject_burst=-7)
    assert caught.value.value == -7


@pytest.mark.parametrize("filters", [None, "", {}, Tcp(443), [None]])
def test_own_filters_are_never_none_by_a_slip(filters: object) -> None:
    with pytest.raises(TypeError):
        GatewayOptions(own_filters=filters)  # type: ignore[arg-type]


def test_own_filters_are_read_once() -> None:
    filters: list[Filter] = [Udp(53), Icmp()]
    assert GatewayOptions(own_filters=iter(filters)).own_filters == (Udp(53), Icmp())


def test_options_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        GatewayOptions().reject = False  # type: ignore[misc]


def test_options_have_slots() -> None:
    assert not hasattr(GatewayOptions(), "__dict__")


def test_options_survive_pickle() -> None:
    options = GatewayOptions(own_filters=[Udp(53)], reject_rate=1)
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - our own bytes


def test_equal_options_hash_alike() -> None:
    assert hash(GatewayOptions(own_filters=[Udp(53)])) == hash(
        GatewayOptions(own_filters=(Udp("53"),))
    )


# --- Site --------------------------------------------------------------------------------


def site(options: GatewayOptions | None = None, plan: AddressPlan | None = None) -> Site:
    return Site(OWN, plan or AddressPlan(), options or GatewayOptions())


def test_a_site_knows_its_own_addresses_packed() -> None:
    assert site().own == {
        ip_address("100.64.0.1").packed,
        ip_address("fd00:2021:1111::1").packed,
    }


def test_new_addresses_take_the_place_of_the_old() -> None:
    here = site()
    here.addresses = TunnelAddresses("100.64.0.9")
    assert (here.addresses.present(), *here.own) == (
        (ip_address("100.64.0.9"),),
        ip_address("100.64.0.9").packed,
    )


def test_a_site_asks_its_own_plan() -> None:
    plan = AddressPlan(["10.0.0.0/9"], ["10.128.0.0/9"])
    flags = site(plan=plan).flags
    assert [
        flags(ip_address(address).packed) & (TUNNEL | DNS)
        for address in ("10.0.0.0", "10.128.0.0", "100.64.0.0")
    ] == [TUNNEL, DNS, 0]


def test_without_own_filters_everything_may_go_to_the_gateway() -> None:
    assert site().own_check.refusal(TCP, 22, ICMPV4) is None


def test_own_filters_decide_what_may_go_to_the_gateway() -> None:
    check = site(GatewayOptions(own_filters=[Udp(53)])).own_check
    assert check.refusal(TCP, 22, ICMPV4) is Reason.TCP_PORT


def test_the_limits_of_sessions_are_those_of_one_client_and_of_all() -> None:
    options = GatewayOptions(max_sessions_per_client=3, max_sessions=7)
    assert site(options).limits == (3, 7)


def test_without_flow_records_a_site_keeps_no_logs() -> None:
    here = site()
    assert (here.flow_log, here.refusal_log, here.logs) == (None, None, ())


def test_with_flow_records_a_site_keeps_logs_of_flows_and_of_refusals() -> None:
    here = site(GatewayOptions(flow_records=True))
    assert here.logs == (here.flow_log, here.refusal_log)
    assert len(here.logs) == 2
