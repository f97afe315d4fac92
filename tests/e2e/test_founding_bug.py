"""A client restarts in the middle of a download, and packets of its old session keep coming.

The gateway's filters once judged only what came from clients, so these packets reached a client
that had just restarted and knew nothing of them. Filters for both directions stop them while
the client is allowed nothing; with `--stateful` they never come back, if only the gateway can
tell that there is a new session: by another key, or because the policy has ended the old one.
"""

from collections.abc import Callable
from functools import partial

import pytest

from tests.e2e.capture import Capture
from tests.e2e.network import FILES, Network
from tests.e2e.policies import Json, cidr, policy, tcp
from tests.e2e.programs import LONGEST, wait_for
from tests.e2e.site import GATEWAY, Site
from tests.e2e.talk import CURL, both_families, fetch, url, with_wireguard
from tests.e2e.tunnels import Tunnel, WireGuard

UNFILTERED = "tests.e2e.unfiltered"

OLD_PORT = 40_001
NEW_PORT = 40_002
"""The client's, of the download in whose middle it restarts and of one after that."""

FROM_FILES = "tcp and src port 80"
TCP_DESTINATION = slice(2, 4)


def files(family: int) -> Json:
    """Authorize Alice to download."""
    return policy(alice=[cidr("files", FILES[family], tcp(80))])


def begin_a_download(site: Site, family: int, *options: str, module: str = GATEWAY) -> None:
    """Let Alice be in the middle of a long download."""
    site.start_gateway(files(family), "--metrics", "9100", *options, module=module)
    page, where = site.path("page"), url(FILES[family], path="/trickle/10000000")
    site.start("alice", *CURL, "-N", "--local-port", str(OLD_PORT), "-o", str(page), where)
    wait_for("the download", lambda: page.exists() and page.stat().st_size > 50_000)


def downloads_anew(site: Site, family: int) -> bool:
    """Tell whether Alice can use her access."""
    new_port = ("--local-port", str(NEW_PORT))
    return fetch(site.network["alice"], url(FILES[family]), *new_port)[0] == 0


def resets(site: Site) -> int:
    """Return how many segments the client has answered by saying that it knows no such session."""
    return site.network["alice"].counter("TcpOutRsts")


def ports(capture: Capture) -> set[int]:
    """Return to which of the client's TCP ports something has come."""
    return {int.from_bytes(seen.payload[TCP_DESTINATION]) for seen in capture.packets()}


@both_families
def test_no_packet_of_the_old_session_reaches_a_client_that_is_allowed_nothing_yet(
    site: Site, family: int
) -> None:
    begin_a_download(site, family)
    site.authorize(policy(alice=[]))
    site.network.restart("alice")
    capture = site.capture("alice", "tun", FROM_FILES)
    wait_for("the old session", lambda: site.refused("inbound", "no-resource") >= 2)
    assert (capture.packets(), resets(site)) == ([], 0)


@both_families
def test_with_filters_for_one_direction_only_packets_of_the_old_session_reach_it(
    site: Site, family: int
) -> None:
    begin_a_download(site, family, module=UNFILTERED)
    site.authorize(policy(alice=[]))
    site.network.restart("alice")
    wait_for("the old session", lambda: resets(site), LONGEST)


@both_families
def test_a_stateful_gateway_lets_none_of_them_in_once_the_policy_has_ended_the_session(
    site: Site, family: int
) -> None:
    begin_a_download(site, family, "--stateful")
    site.authorize(policy())
    site.network.restart("alice")
    capture = site.capture("alice", "tun", FROM_FILES)
    site.authorize(files(family))
    refused = partial(site.refused, "inbound", "unsolicited")
    wait_for("the old session", refused)
    assert downloads_anew(site, family)
    # The server sends again ever more rarely: the next time after twice the time so far.
    before = refused()
    wait_for("more of it", lambda: refused() > before, LONGEST)
    assert (ports(capture), resets(site)) == ({NEW_PORT}, 0)


@with_wireguard
@pytest.mark.parametrize(
    ("renew", "goodbyes"),
    [(WireGuard.renew, 1), (WireGuard.replace, 0)],
    ids=["later", "at-once"],
)
@both_families
def test_a_stateful_gateway_lets_none_of_them_in_once_the_client_has_another_key(
    site: Site, family: int, renew: Callable[[Tunnel, Network, str], None], goodbyes: int
) -> None:
    begin_a_download(site, family, "--stateful")
    renew(site.network.tunnel, site.network, "alice")
    site.authorize(files(family))
    assert len(site.gateway.lines("Client disconnected")) == goodbyes
    site.network.restart("alice")
    capture = site.capture("alice", "tun", FROM_FILES)
    site.gateway.logs("Client connected", 2)
    wait_for("the old session", lambda: site.refused("inbound", "unsolicited"))
    assert downloads_anew(site, family)
    assert (ports(capture), resets(site)) == ({NEW_PORT}, 0)


@pytest.mark.parametrize("options", [(), ("--stateful",)], ids=["stateless", "stateful"])
@both_families
def test_they_reach_a_client_of_which_nobody_can_tell_that_it_has_restarted(
    site: Site, family: int, options: tuple[str, ...]
) -> None:
    begin_a_download(site, family, *options)
    site.network.restart("alice")
    wait_for("the old session", lambda: resets(site), LONGEST)
    assert downloads_anew(site, family)
    assert len(site.gateway.lines("Client connected")) == 1
