"""A client restarts in the middle of a download, and packets of its old session keep coming.

The gateway's filters once judged only what came from clients: these packets reached the new
client, which knew of no access and reported "Source not allowed". Filters for both directions
stop them until the client is authorized again; with `--stateful` they never come back.
"""

import signal
from functools import partial

from tests.e2e.capture import Capture, parse
from tests.e2e.network import FILES, NETWORKS
from tests.e2e.policies import Json, cidr, policy, tcp
from tests.e2e.programs import LONGEST, Logging, wait_for
from tests.e2e.site import CLIENT, Site
from tests.e2e.talk import CURL, both_families, fetch, url

UNFILTERED = "tests.e2e.unfiltered"
UNINFORMED = "tests.e2e.uninformed"

OLD_PORT = 40_001
NEW_PORT = 40_002
"""The client's, of the download in whose middle it restarts and of one after that."""

FROM_GATEWAY = "udp and src port 51820"
TCP = 6


def files(family: int) -> Json:
    """Authorize Alice to download."""
    return policy(alice=[cidr("files", FILES[family], tcp(80))])


def restart_in_the_middle_of_a_download(
    site: Site, family: int, *access: str, module: str = CLIENT
) -> Logging:
    """Put a client that knows nothing in the place of one that downloads."""
    old = site.connect("alice", *NETWORKS)
    site.authorize(files(family))
    page, where = site.path("page"), url(FILES[family], path="/trickle/10000000")
    site.start("alice", *CURL, "-N", "--local-port", str(OLD_PORT), "-o", str(page), where)
    wait_for("the download", lambda: page.exists() and page.stat().st_size > 50_000)
    old.end(signal.SIGKILL)
    site.network.restart("alice")
    return site.connect("alice", *access, module=module)


def downloads_anew(site: Site, family: int, alice: Logging) -> bool:
    """Let a client know of its access, and tell whether it can use it."""
    alice.send_signal(signal.SIGHUP)
    alice.logs("Access known")
    new_port = ("--local-port", str(NEW_PORT))
    return fetch(site.network["alice"], url(FILES[family]), *new_port)[0] == 0


def ports(capture: Capture) -> set[int]:
    """Return to which of a client's TCP ports the gateway has passed something on."""
    header = 8  # UDP's
    inner = [parse(seen.time, seen.payload[header:]) for seen in capture.packets()]
    segments = [one.payload for one in inner if one is not None and one.protocol == TCP]
    return {int.from_bytes(segment[2:4]) for segment in segments}


@both_families
def test_no_packet_of_the_old_session_reaches_a_client_that_has_restarted(
    site: Site, family: int
) -> None:
    site.start_gateway(policy(alice=[]), "--metrics", "9100")
    alice = restart_in_the_middle_of_a_download(site, family)
    # After the answer to the registration everything would be a packet of the old session.
    capture = site.capture("alice", "up", FROM_GATEWAY)
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


@both_families
def test_a_stateful_gateway_lets_none_of_them_in_once_the_client_is_authorized_again(
    site: Site, family: int
) -> None:
    site.start_gateway(policy(alice=[]), "--metrics", "9100", "--stateful")
    alice = restart_in_the_middle_of_a_download(site, family, *NETWORKS, module=UNINFORMED)
    capture = site.capture("alice", "up", FROM_GATEWAY)
    site.authorize(files(family))
    refused, heard = partial(site.refused, "inbound", "unsolicited"), alice.lines
    wait_for("the old session", lambda: refused() or heard("Source not allowed"))
    assert heard("Source not allowed") == []
    assert downloads_anew(site, family, alice)
    # The server sends again ever more rarely: the next time after twice the time so far.
    before = refused()
    wait_for("more of it", lambda: refused() > before, LONGEST)
    assert (ports(capture), heard("Source not allowed")) == ({NEW_PORT}, [])


@both_families
def test_a_stateless_one_lets_them_in_once_the_client_is_authorized_again(
    site: Site, family: int
) -> None:
    site.start_gateway(policy(alice=[]))
    alice = restart_in_the_middle_of_a_download(site, family, *NETWORKS, module=UNINFORMED)
    capture = site.capture("alice", "up", FROM_GATEWAY)
    site.authorize(files(family))
    line, *_ = alice.logs("Source not allowed")
    assert line["source"] == FILES[family]
    assert downloads_anew(site, family, alice)
    assert ports(capture) == {OLD_PORT, NEW_PORT}
