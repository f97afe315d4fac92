"""The soak and its figures: the story is the same for the same seed, and growth is found."""

import pytest

from benches.latencies import Latencies
from benches.soak import Sample, Soak, growth, main, soak
from firezone_filter import Counters


def counts(seed: int) -> list[tuple[int, Counters]]:
    one = Soak(clients=5, seed=seed)
    return [(one.step(), one.gateway.counters()) for _ in range(20)]


def test_the_same_seed_gives_the_same_story() -> None:
    assert counts(1) == counts(1)
    assert counts(1) != counts(2)


@pytest.mark.parametrize("stateful", [False, True], ids=["plain", "stateful"])
def test_a_soak_reaches_what_it_is_about(*, stateful: bool) -> None:
    one = Soak(clients=10, stateful=stateful)
    (sample,) = soak(one, lambda packets: packets < 30_000)
    assert sample.packets >= 25_000
    assert sample.resident > 10_000_000
    assert all(sample.counted[name] for name in ("nat_sessions", "recorded_flows"))
    assert bool(sample.counted["flows"]) is stateful
    counters = one.gateway.counters()
    assert all(counters.allowed.values())
    refused = {str(reason) for (_, reason), count in counters.refusals.items() if count}
    assert refused >= {"no-resource", "fragment", "icmp-error", "malformed", "expired-nat-session"}
    assert ("unsolicited" in refused) is stateful


def sample(resident: int, sessions: int) -> Sample:
    counted = dict.fromkeys(
        ("flows", "cached_flows", "fragments", "recorded_flows", "authorizations"), 10_000
    )
    return Sample(0, resident << 20, {"nat_sessions": sessions, **counted})


@pytest.mark.parametrize(
    ("samples", "grown"),
    [
        ([], []),
        ([sample(100, 1_000)] * 9, []),
        ([sample(10, 0)] * 3 + [sample(100, 9_000)] * 6, []),
        ([sample(100, 1_000)] * 6 + [sample(120, 1_000)] * 3, ["resident"]),
        ([sample(100, 1_000)] * 6 + [sample(100, 3_000)] * 3, ["nat_sessions"]),
    ],
)
def test_growth_after_the_first_third_is_found(samples: list[Sample], grown: list[str]) -> None:
    assert [fault.partition(":")[0] for fault in growth(samples)] == grown


def test_a_soak_fails_if_a_packet_takes_too_long(capsys: pytest.CaptureFixture[str]) -> None:
    short = ["--packets", "1000", "--clients", "3", "--without-flow-records"]
    assert main([*short, "--seconds", "60", "--percentile", "10000"]) == 0
    assert main([*short, "--longest", "0"]) == 1
    assert "FAULT the longest packet" in capsys.readouterr().out


def test_latencies_are_counted_by_their_size() -> None:
    latencies = Latencies()
    assert (latencies.mean, latencies.percentile(0.5)) == (0.0, 0.0)
    for nanoseconds in range(1, 100_001):
        latencies.add(nanoseconds, str(nanoseconds))
    assert latencies.longest == 0.1
    assert latencies.what == "100000"
    assert latencies.mean == pytest.approx(0.05, rel=0.001)
    assert latencies.percentile(0.5) == pytest.approx(0.05, rel=0.07)
    assert latencies.percentile(0.9999) == pytest.approx(0.1, rel=0.07)
    assert latencies.percentile(1.0) == 0.1
