"""What machines share that move time and compare a gateway with its model."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from firezone_filter import GatewayOptions, Icmp, Tcp
from tests.property.pools import JUST_BEFORE, OWN, STEPS
from tests.property.twins import Twins

numbers = st.integers(0, 7)


class Clocked(RuleBasedStateMachine):
    """Time, and what is compared after each step."""

    stateful = False

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.twins = Twins(OWN[0], self.options())

    def options(self) -> GatewayOptions:
        return GatewayOptions(
            reject_rate=0.5,
            reject_burst=3,
            own_filters=[Tcp(443), Icmp()],
            max_sessions_per_client=4,
            max_sessions=6,
            stateful=self.stateful,
            max_flows_per_client=5,
            max_flows=8,
        )

    def until(self, lifetime: float | None) -> float | None:
        return None if lifetime is None else self.now + lifetime

    @rule(seconds=st.sampled_from(STEPS))
    def let_time_pass(self, seconds: float) -> None:
        self.now += seconds

    @rule(seconds=st.sampled_from((-4096.0, -7.0, 0.0, 30.0, 240.0, 8192.0)))
    def the_clock_is_set(self, seconds: float) -> None:
        self.now += seconds
        self.twins.call("clock_set", self.now)

    @rule(number=numbers, early=st.sampled_from((0.0, JUST_BEFORE)))
    def let_time_come_to_an_end_of_something(self, number: int, early: float) -> None:
        ahead = sorted(moment for moment in self.twins.moments() if moment > self.now)
        if ahead:
            self.now = max(self.now, ahead[number % len(ahead)] - early)

    @rule(events=st.booleans())
    def look_what_happened(self, *, events: bool) -> None:
        if events:
            self.twins.events()
        else:
            self.twins.call("handle_timeout", self.now)

    @invariant()
    def what_there_is_is_the_same_and_nobody_wakes_too_late(self) -> None:
        self.twins.check()
