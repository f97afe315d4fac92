"""A client restarts in the middle of a download, and packets of its old session keep coming.

The gateway's filters once judged only what came from clients: these packets reached the new
client, which knew of no access and reported "Source not allowed".
"""

import signal

from tests.e2e.network import FILES, NETWORKS
from tests.e2e.policies import cidr, policy, tcp
from tests.e2e.programs import Logging, wait_for
from tests.e2e.site import Site
from tests.e2e.talk import CURL, both_families, url

UNFILTERED = "tests.e2e.unfiltered"


def restart_in_the_middle_of_a_download(site: Site, family: int) -> Logging:
    """Put a client that knows nothing in the place of one that downloads."""
    old = site.connect("alice", *NETWORKS)
    site.authorize(policy(alice=[cidr("files", FILES[family], tcp(80))]))
    page = site.path("page")
    site.start("alice", *CURL, "-N", "-o", str(page), url(FILES[family], path="/trickle/10000000"))
    wait_for("the download", lambda: page.exists() and page.stat().st_size > 50_000)
    old.end(signal.SIGKILL)
    site.network.restart("alice")
    return site.connect("alice")


@both_families
def test_no_packet_of_the_old_session_reaches_a_client_that_has_restarted(
    site: Site, family: int
) -> None:
    site.start_gateway(policy(alice=[]), "--metrics", "9100")
    alice = restart_in_the_middle_of_a_download(site, family)
    # After the answer to the registration everything would be a packet of the old session.
    capture = site.capture("alice", "up", "udp and src port 51820")
    tun = site.capture("alice", "tun")
    wait_for("the old session", lambda: site.refused("inbound", "no-resource") >= 2)
    assert (capture.packets(), tun.packets(), alice.lines("Source not allowed")) == ([], [], [])


@both_families
def test_with_filters_for_one_direction_only_packets_of_the_old_session_reach_it(
    site: Site, family: int
) -> None:
    site.start_gateway(policy(alice=[]), module=UNFILTERED)
    alice = restart_in_the_middle_of_a_download(site, family)
    line, *_ = alice.logs("Source not allowed")
    assert line["source"] == FILES[family]
