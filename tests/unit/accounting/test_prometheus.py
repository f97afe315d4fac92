"""`prometheus_text`, parsed by Prometheus's own client library."""

import re

import pytest
from attrs import evolve, fields_dict
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from firezone_filter import Counters, Direction, Gateway, Reason, prometheus_text
from firezone_filter.testing import SYN, tcp
from tests.records import recording
from tests.scenes import GATEWAY, INBOUND, OUTBOUND, V4, gateway_for_alice

ALWAYS = {
    "firezone_filter_allowed_packets": "counter",
    "firezone_filter_refused_packets": "counter",
    "firezone_filter_clients": "gauge",
    "firezone_filter_authorizations": "gauge",
    "firezone_filter_cached_flows": "gauge",
    "firezone_filter_nat_sessions": "gauge",
    "firezone_filter_flows": "gauge",
    "firezone_filter_fragments": "gauge",
    "firezone_filter_clock_steps_back": "counter",
    "firezone_filter_clock_step_back_seconds_max": "gauge",
}
RECORDED = {
    "firezone_filter_recorded_flows": "gauge",
    "firezone_filter_flow_packets": "counter",
    "firezone_filter_flow_payload_bytes": "counter",
    "firezone_filter_flow_events_lost": "counter",
}
"""Names and types as the parser returns them: those of counters without `_total`."""

BUSY = Counters(
    allowed={
        (OUTBOUND, "forward"): 21,
        (OUTBOUND, "translate"): 22,
        (INBOUND, "forward"): 2**62,
        (INBOUND, "translate"): 0,
    },
    refusals={(way, reason): 0 for way in Direction for reason in Reason}
    | {(OUTBOUND, Reason.TCP_PORT): 17, (INBOUND, Reason.NOT_A_PEER): 2**63},
    clients=1,
    authorizations=2,
    cached_flows=3,
    nat_sessions=4,
    fragments=5,
    flows=14,
    clock_steps_back=12,
    clock_step_back_max=13.0,
    recorded_flows=6,
    tx_packets=7,
    tx_bytes=8,
    rx_packets=9,
    rx_bytes=10,
    flow_events_lost=11,
)
"""A number for each field."""

QUIET = evolve(
    BUSY, recorded_flows=None, tx_packets=None, tx_bytes=None, rx_packets=None, rx_bytes=None
)
"""The same without flow records."""


def families(counters: Counters) -> dict[str, Metric]:
    return {
        family.name: family for family in text_string_to_metric_families(prometheus_text(counters))
    }


def values(counters: Counters) -> dict[str, float]:
    """Return the value of each sample, by its name and labels."""
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for family in families(counters).values()
        for sample in family.samples
    }


@pytest.mark.parametrize(
    ("counters", "expected"), [(BUSY, ALWAYS | RECORDED), (QUIET, ALWAYS)], ids=["on", "off"]
)
def test_only_flow_records_add_families_of_flows(
    counters: Counters, expected: dict[str, str]
) -> None:
    assert {name: family.type for name, family in families(counters).items()} == expected


def test_every_direction_and_reason_is_a_sample_even_if_it_is_0() -> None:
    (family,) = (one for one in families(BUSY).values() if "refused" in one.name)
    labels = [(sample.labels["direction"], sample.labels["reason"]) for sample in family.samples]
    assert labels == [(way.value, reason.value) for way in Direction for reason in Reason]
    assert {sample.name for sample in family.samples} == {"firezone_filter_refused_packets_total"}


def test_refusals_have_their_values() -> None:
    found = values(BUSY)
    assert found["firezone_filter_refused_packets_total outbound tcp-port"] == 17
    assert found["firezone_filter_refused_packets_total inbound not-a-peer"] == 2**63
    assert found["firezone_filter_refused_packets_total inbound tcp-port"] == 0


def test_allowed_packets_are_told_by_direction_and_decision_even_if_they_are_0() -> None:
    found = values(BUSY)
    assert {name: value for name, value in found.items() if "allowed_packets" in name} == {
        "firezone_filter_allowed_packets_total outbound forward": 21,
        "firezone_filter_allowed_packets_total outbound translate": 22,
        "firezone_filter_allowed_packets_total inbound forward": 2**62,
        "firezone_filter_allowed_packets_total inbound translate": 0,
    }
    (family,) = (one for one in families(BUSY).values() if "allowed_packets" in one.name)
    assert [set(sample.labels) for sample in family.samples] == [{"direction", "decision"}] * 4


def test_every_other_sample_has_its_value() -> None:
    found = values(BUSY)
    packets = {name for name in found if "refused" in name or "allowed_packets" in name}
    assert {name: value for name, value in found.items() if name not in packets} == {
        "firezone_filter_clients": 1,
        "firezone_filter_authorizations": 2,
        "firezone_filter_cached_flows": 3,
        "firezone_filter_nat_sessions": 4,
        "firezone_filter_flows": 14,
        "firezone_filter_fragments": 5,
        "firezone_filter_clock_steps_back_total": 12,
        "firezone_filter_clock_step_back_seconds_max": 13,
        "firezone_filter_recorded_flows": 6,
        "firezone_filter_flow_packets_total outbound": 7,
        "firezone_filter_flow_packets_total inbound": 9,
        "firezone_filter_flow_payload_bytes_total outbound": 8,
        "firezone_filter_flow_payload_bytes_total inbound": 10,
        "firezone_filter_flow_events_lost_total": 11,
    }


def test_every_field_is_a_sample() -> None:
    plain = set(fields_dict(Counters)) - {"allowed", "refusals"}
    # Each field has a value of its own.
    told = {
        int(value)
        for name, value in values(BUSY).items()
        if "refused" not in name and "allowed_packets" not in name
    }
    assert told == {getattr(BUSY, name) for name in plain}


def test_large_numbers_are_written_out() -> None:
    assert f" {2**63}\n" in prometheus_text(BUSY)
    assert f" {2**62}\n" in prometheus_text(BUSY)


@pytest.mark.parametrize("seconds", [0.0, 0.25, 1e-9, 1_577_880_000.0])
def test_seconds_may_have_a_fraction(seconds: float) -> None:
    found = values(evolve(BUSY, clock_step_back_max=seconds))
    assert found["firezone_filter_clock_step_back_seconds_max"] == seconds


@pytest.mark.parametrize("counters", [BUSY, QUIET], ids=["on", "off"])
def test_every_family_is_explained(counters: Counters) -> None:
    for family in families(counters).values():
        assert family.documentation.endswith(".")


@pytest.mark.parametrize("counters", [BUSY, QUIET], ids=["on", "off"])
def test_names_follow_the_conventions(counters: Counters) -> None:
    for family in families(counters).values():
        assert re.fullmatch("firezone_filter_[a-z_]+", family.name)
        totals = {sample.name.endswith("_total") for sample in family.samples}
        assert totals == {family.type == "counter"}


@pytest.mark.parametrize("counters", [BUSY, QUIET], ids=["on", "off"])
def test_samples_are_unique_and_families_are_in_one_piece(counters: Counters) -> None:
    text = prometheus_text(counters)
    samples = [line.rpartition(" ")[0] for line in text.splitlines() if line[0] != "#"]
    typed = [line.split(" ")[2] for line in text.splitlines() if line.startswith("# TYPE")]
    assert len(samples) == len(set(samples))
    assert len(typed) == len(set(typed))
    assert text.endswith("\n")
    assert "\n\n" not in text


@pytest.mark.parametrize("value", [None, {}, 1, "text"])
def test_anything_else_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        prometheus_text(value)  # type: ignore[arg-type]


# --- With a gateway -----------------------------------------------------------------------------


def test_a_new_gateway_has_a_page_of_zeros() -> None:
    assert set(values(Gateway(GATEWAY).counters()).values()) == {0}


def test_a_gateway_without_records_has_its_own_counts() -> None:
    gateway = gateway_for_alice(V4.db())
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND))
    gateway.handle_packet(OUTBOUND, V4.udp(OUTBOUND, far=V4.stranger))
    gateway.handle_timeout(-2.5)
    found = {name: value for name, value in values(gateway.counters()).items() if value}
    assert found == {
        "firezone_filter_allowed_packets_total outbound forward": 1,
        "firezone_filter_clock_steps_back_total": 1,
        "firezone_filter_clock_step_back_seconds_max": 2.5,
        "firezone_filter_refused_packets_total outbound no-resource": 1,
        "firezone_filter_clients": 2,
        "firezone_filter_authorizations": 1,
        "firezone_filter_cached_flows": 1,
    }


def test_a_gateway_with_records_counts_its_traffic_too() -> None:
    gateway = recording(V4.db())
    gateway.handle_packet(OUTBOUND, tcp(V4.flow(OUTBOUND, 443), b"hello", flags=SYN))
    gateway.handle_packet(INBOUND, V4.tcp(INBOUND))
    found = {name: value for name, value in values(gateway.counters()).items() if value}
    assert found == {
        "firezone_filter_allowed_packets_total outbound forward": 1,
        "firezone_filter_allowed_packets_total inbound forward": 1,
        "firezone_filter_clients": 2,
        "firezone_filter_authorizations": 1,
        "firezone_filter_cached_flows": 2,
        "firezone_filter_recorded_flows": 1,
        "firezone_filter_flow_packets_total outbound": 1,
        "firezone_filter_flow_packets_total inbound": 1,
        "firezone_filter_flow_payload_bytes_total outbound": 5,
    }
