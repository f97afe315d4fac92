"""A hook ends a proxy address now, whatever `expires_at` says: what was over before ended by time.

Nobody has forgotten those sessions yet, so that the moment of the hook has to tell.
"""

import pytest

from firezone_filter import DnsResource, Drop, Gateway, Reason, Translate, TunnelAddresses
from firezone_filter.testing import udp
from tests.scenes import INBOUND, OUTBOUND

OUT = "100.64.0.2:1000 > 100.96.0.1:80"
BACK = "10.0.0.5:80 > 100.64.0.2:1000"


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("how", ["authorize", "update", "revoke"])
def test_a_session_that_was_over_before_the_hook_ended_by_time(*, how: str, shared: bool) -> None:
    gateway = Gateway(TunnelAddresses("100.64.0.1"))
    gateway.client_connected("alice", TunnelAddresses("100.64.0.2"), 0.0)
    app = DnsResource("app", "app.example.com")
    for resource, expires_at in ((app, None), (DnsResource("other", "*.example.com"), 10.0)):
        if resource is app or shared:
            gateway.authorize("alice", resource, expires_at=expires_at)
            gateway.domain_resolved(
                "alice",
                resource.id,
                "app.example.com",
                proxy_addresses=["100.96.0.1"],
                resolved_addresses=["10.0.0.5"],
            )
    assert isinstance(gateway.handle_packet(OUTBOUND, udp(OUT), 0.0), Translate)
    # Its 60 s are over, and so is the other; nobody has looked.
    gateway._now = 100.0
    if how == "authorize":
        gateway.authorize("alice", app, expires_at=1.0)
    elif how == "update":
        gateway.update_expiry("alice", "app", 1.0)
    else:
        gateway.revoke("alice", "app")
    expired = Drop(Reason.EXPIRED_NAT_SESSION, "alice")
    assert gateway.handle_packet(INBOUND, udp(BACK), 100.0) == expired
