"""Permissions end on time, also in the middle of a download."""

import time

from tests.e2e.network import FILES
from tests.e2e.policies import cidr, policy, tcp
from tests.e2e.site import Site
from tests.e2e.talk import CURL, both_families, url

TIMED_OUT = 28  # curl's exit status


@both_families
def test_a_download_stops_within_a_second_of_the_expiry(site: Site, family: int) -> None:
    site.start_gateway(policy(alice=[]))
    # What reaches the client, but for answers to refused packets, which are short.
    capture = site.capture("alice", "tun", "tcp and src port 80 and greater 500")
    expires_at = time.time() + 4
    site.authorize(policy(alice=[cidr("files", FILES[family], tcp(80), expires_at=expires_at)]))
    curl = (*CURL, "-o", "/dev/null", "-m", "7")  # some seconds of download, then none
    download = site.start("alice", *curl, url(FILES[family], path="/trickle/10000000"))
    assert download.wait() == TIMED_OUT
    times = [seen.time for seen in capture.packets()]
    assert (len(times) > 2, max(times) < expires_at + 1) == (True, True)
    assert [line["rid"] for line in site.gateway.lines("Authorization expired")] == ["files"]


@both_families
def test_renewing_in_time_does_not_disturb_a_download(site: Site, family: int) -> None:
    site.start_gateway(policy(alice=[]))
    refusals = site.capture("alice", "tun", "icmp or icmp6")
    expires_at = time.time() + 4
    site.authorize(policy(alice=[cidr("files", FILES[family], tcp(80), expires_at=expires_at)]))
    curl = (*CURL, "-o", "/dev/null", "-w", "%{size_download}")
    download = site.start("alice", *curl, url(FILES[family], path="/trickle/600000"))
    later = expires_at + 60
    site.authorize(policy(alice=[cidr("files", FILES[family], tcp(80), expires_at=later)]))
    assert (download.wait(), download.text()) == (0, "600000")
    assert time.time() > expires_at
    assert (refusals.packets(), site.gateway.lines("expired")) == ([], [])
