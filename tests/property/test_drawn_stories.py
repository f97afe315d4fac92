"""The stories that users can draw: gateway and model agree, and explanations foretell.

Those of `story` know the model, and so get further; these shrink.
"""

from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter import GatewayOptions, Policy
from firezone_filter.testing import Step, policies, stories
from tests.property.policies import STATEFUL, UNLIMITED
from tests.property.twins import Twins

START: Final = 100.0
OPTIONS: Final = st.sampled_from((UNLIMITED, STATEFUL))
RECORDING: Final = st.builds(GatewayOptions, flow_records=st.booleans(), stateful=st.booleans())

Told = tuple[Policy, list[Step]]


def told(options: st.SearchStrategy[GatewayOptions]) -> st.SearchStrategy[Told]:
    """Draw a policy and a story of it."""
    return policies(options=options, now=START).flatmap(
        lambda policy: st.tuples(st.just(policy), stories(policy, now=START))
    )


def twins_of(policy: Policy) -> Twins:
    """Let both begin as `Policy.gateway` does."""
    twins = Twins(policy.addresses, policy.options)
    for client in policy.clients:
        twins.call("client_connected", client.id, client.addresses, START)
        for one in client.authorizations:
            twins.call("authorize", client.id, one.resource, expires_at=one.expires_at)
            for domain in one.domains or ():
                twins.call(
                    "domain_resolved",
                    client.id,
                    one.resource.id,
                    domain.name,
                    proxy_addresses=domain.proxy_addresses,
                    resolved_addresses=domain.resolved_addresses,
                )
    return twins


@given(told(OPTIONS))
def test_gateway_and_model_agree_about_every_step(story: Told) -> None:
    policy, steps = story
    twins = twins_of(policy)
    for step in steps:
        if step.is_packet:
            twins.packet(*step.arguments)
        else:
            twins.call(step.method, *step.arguments, **step.keywords)
        twins.check()
        twins.events()


@given(told(RECORDING))
def test_what_is_explained_happens_and_asking_changes_nothing(story: Told) -> None:
    policy, steps = story
    asked, quiet = policy.gateway(START), policy.gateway(START)
    for step in steps:
        if step.is_packet:
            said = asked.explain(*step.arguments).decision
            assert step.run(asked) == said == step.run(quiet)
        else:
            assert step.run(asked) == step.run(quiet)
        assert asked.poll_timeout() == quiet.poll_timeout()
        assert asked.poll_event() == quiet.poll_event()
    assert asked.counters() == quiet.counters()
