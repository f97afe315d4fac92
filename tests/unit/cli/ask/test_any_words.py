"""Whatever words a user writes, the answer is an exit status and lines, never a traceback."""

import io
from contextlib import redirect_stderr, redirect_stdout

from hypothesis import given
from hypothesis import strategies as st

from firezone_filter.cli.exit import ExitStatus

from .asking import OFFICE, POLICY, PROPOSED, ask

COMMANDS = st.sampled_from(["explain", "reach", "who", "test", "lint", "diff", "schema"])
PROTOCOLS = st.sampled_from(
    [
        "tcp",
        "udp",
        "ping",
        "icmp",
        "icmp/13",
        "icmp/3",
        "icmp/9",
        "icmp/128",
        "47",
        "43",
        "0",
        "256",
    ]
)
PLACES = st.sampled_from(
    [
        "10.0.0.5:5432", "10.0.0.5", "10.0.0.0/24", "10.0.0.5:0", "10.0.0.5:1-9", "10.0.0.5:65536",
        "[2001:db8::1]:53", "2001:db8::1", "[2001:db8::1]", "::", "fd00:2021:1111::1",
        "git.example.com:443", "git.example.com", "100.96.0.1:443", "100.96.0.2:443",
        "100.64.0.1", "100.64.0.3", "224.0.0.1", "255.255.255.255", "127.0.0.1", ":", "-", "",
    ]
)  # fmt: skip
TARGETS = st.tuples(PROTOCOLS, PLACES)
OPTIONS = st.one_of(
    st.sampled_from([POLICY, PROPOSED, OFFICE / "office.pcap", "nowhere"]).map(
        lambda name: ("--policy", name)
    ),
    st.sampled_from(["alice", "contractor", "bob", "alice=192.168.1.5", "=", ""]).map(
        lambda name: ("--client", name)
    ),
    st.sampled_from(["now", "0", "1798761600", "2300-01-01", "-1h", "x", "60:60", "1e9"]).map(
        lambda text: ("--at", text)
    ),
    st.sampled_from(["0", "7", "65535", "-1", "x"]).map(lambda text: ("--from-port", text)),
    st.binary(max_size=60).map(lambda packet: ("--packet", packet.hex())),
    st.sampled_from(["1", "130", "9999", "0"]).map(
        lambda frame: ("--capture", OFFICE / "office.pcap", "--frame", frame)
    ),
    st.sampled_from(["FZ1", "FZ", "x", ",", "no-access"]).map(lambda code: ("--select", code)),
    st.sampled_from([("--inbound",), ("--stateful",), ("--json",), (POLICY,), (PROPOSED,)]),
)


@given(
    command=COMMANDS,
    target=TARGETS | st.just(()),
    options=st.lists(OPTIONS, max_size=4),
    common=st.sampled_from([(), ("--policy", POLICY), ("--policy", POLICY, "--client", "alice")]),
)
def test_every_answer_is_a_status_and_lines(
    command: str,
    target: tuple[str, ...],
    options: list[tuple[object, ...]],
    common: tuple[object, ...],
) -> None:
    words = [*common, *(word for option in options for word in option), *target]
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        status = ask(command, *words)
    assert status in (ExitStatus.DONE, ExitStatus.NEGATIVE, ExitStatus.UNUSABLE)
    complaints = err.getvalue().splitlines()
    assert all(line.startswith("firezone-filter: ") for line in complaints)
    assert bool(out.getvalue()) is (status != ExitStatus.UNUSABLE) or command in (
        "lint",
        "diff",
        "who",
    )
    assert bool(complaints) is (status == ExitStatus.UNUSABLE) or command == "who"
