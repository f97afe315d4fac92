"""Tests of policies: in files and by hand, and what becomes of them."""

import json

import pytest

from firezone_filter import (
    Direction,
    Drop,
    InvalidPolicy,
    InvalidTime,
    Policy,
    PolicyClient,
    Reason,
    Reject,
    TunnelAddresses,
    dump_policy,
    load_policy,
)
from firezone_filter.policy.analysis.tests import TestResult
from firezone_filter.policy.parts import PolicyTest
from tests.unit.policy.documents import (
    DOMAIN,
    EXPIRY,
    Json,
    authorization,
    bob,
    client,
    document,
    domain,
    faults_of,
    resource,
)

TEST: Json = {"name": "alice works", "client": "alice"}

TCP_5432 = {"protocol": "tcp", "port_range_start": 5432, "port_range_end": 5432}

DATABASE: Json = {
    "resource": resource("cidr", filters=[TCP_5432, {"protocol": "icmp", "types": [8]}]),
    "expires_at": EXPIRY,
}
# One proxy address of the name has no translation, since it resolved to no IPv6 address.
GIT: Json = authorization(
    DOMAIN,
    domain(name="nowhere.example.com", proxy_addresses=["100.96.0.9"], resolved_addresses=[]),
    domain(name="bare.example.com", proxy_addresses=[], resolved_addresses=["10.20.0.10"]),
    resource=resource(filters=[{"protocol": "tcp"}, {"protocol": "icmp"}]),
)


def with_tests(*tests: Json, **fields: object) -> Json:
    return document(client(DATABASE, GIT, **fields), bob(), tests=list(tests))


# --- In files -----------------------------------------------------------------------------


def test_tests_are_read_as_they_are_written() -> None:
    written = TEST | {"at": 7.5, "allow": ["tcp [fd00::1]:5432"], "deny": ["ping GIT.example.com"]}
    policy = load_policy(with_tests(written, TEST, TEST | {"at": None, "client": "bob"}))
    assert policy.tests == (
        PolicyTest("alice works", "alice", 7.5, ["tcp [fd00::1]:5432"], ["ping GIT.example.com"]),
        PolicyTest("alice works", "alice"),
        PolicyTest("alice works", "bob"),
    )
    assert json.loads(dump_policy(policy))["tests"] == [written, TEST, TEST | {"client": "bob"}]


def test_a_policy_without_tests_is_written_without() -> None:
    policy = load_policy(document())
    assert policy.tests == load_policy(document(tests=[])).tests == ()
    assert "tests" not in json.loads(dump_policy(policy))


@pytest.mark.parametrize(
    ("test", "fault"),
    [
        ("alice", ": 'alice' is not an object"),
        ({"client": "alice"}, ".name: is missing"),
        ({"name": "x"}, ".client: is missing"),
        (TEST | {"name": None}, ".name: null is not a text"),
        (TEST | {"client": ""}, ".client: an id is not empty"),
        (TEST | {"client": "carol"}, ".client: 'carol' is not the id of a client"),
        (TEST | {"at": "noon"}, ".at: 'noon' is not a time in Unix seconds, such as 1798761600"),
        (
            TEST | {"at": 2**33},
            ".at: 8589934592 is later than any clock in seconds: milliseconds?",
        ),
        (TEST | {"allow": None}, ".allow: null is not a list"),
        (TEST | {"deny": "tcp 10.0.0.5"}, ".deny: 'tcp 10.0.0.5' is not a list"),
        (TEST | {"deny": [22]}, ".deny[0]: 22 is not a text"),
        (TEST | {"denies": []}, ".denies: unknown field, did you mean 'deny'?"),
        (
            TEST | {"allow": ["tcp 10.0.0.5", "sctp 10.0.0.5"]},
            (
                ".allow[1]: target 'sctp 10.0.0.5': 'sctp' is not tcp, udp, ping, icmp, icmp/ "
                "with a type, or the number of another protocol"
            ),
        ),
        (
            TEST | {"deny": ["tcp wiki.example.com"]},
            (
                ".deny[0]: 'tcp wiki.example.com' has a name that is not among the domains of "
                "client 'alice'; to deny all names, name a DNS range, as in 'tcp 100.96.0.0/11'"
            ),
        ),
        (
            TEST | {"client": "bob", "allow": ["tcp git.example.com"]},
            (
                ".allow[0]: 'tcp git.example.com' has a name that is not among the domains of "
                "client 'bob'"
            ),
        ),
    ],
)
def test_a_fault_of_a_test_has_its_place(test: Json, fault: str) -> None:
    assert faults_of(with_tests(TEST, test)) == (f"tests[1]{fault}",)


def test_tests_are_a_list() -> None:
    assert faults_of(document(tests={})) == ("tests: an object is not a list",)
    assert faults_of(document(tests=None)) == ("tests: null is not a list",)


def test_where_clients_are_faulty_their_names_are_not_missed() -> None:
    test = TEST | {"client": "carol", "allow": ["tcp wiki.example.com", "tcp x"]}
    faulty = with_tests(test, TEST | {"client": 7, "deny": ["tcp x"]}, id="")
    assert faults_of(faulty) == (
        "clients[0].id: an id is not empty",
        "tests[1].client: 7 is not a text",
    )


def test_an_editors_reference_to_the_schema_is_ignored() -> None:
    policy = load_policy(document(**{"$schema": "policy.schema.json"}))
    assert "$schema" not in json.loads(dump_policy(policy))


# --- By hand ------------------------------------------------------------------------------


def test_by_hand_the_same_names_are_checked() -> None:
    alice = PolicyClient("alice", TunnelAddresses("100.64.0.2"))
    tests = [
        PolicyTest("x", "alice", allow=["tcp 10.0.0.5"], deny=["tcp git.example.com"]),
        PolicyTest("y", "carol", deny=["tcp git.example.com"]),
    ]
    with pytest.raises(InvalidPolicy) as caught:
        Policy(TunnelAddresses("100.64.0.1"), clients=[alice], tests=tests)
    assert caught.value.faults == (
        (
            "tests[0].deny[0]: 'tcp git.example.com' has a name that is not among the domains of "
            "client 'alice'; to deny all names, name a DNS range, as in 'tcp 100.96.0.0/11'"
        ),
        "tests[1].client: 'carol' is not the id of a client",
    )


def test_a_test_by_hand_has_valid_parts() -> None:
    with pytest.raises(InvalidPolicy, match="target 'tcp': "):
        PolicyTest("x", "alice", allow=["tcp"])
    with pytest.raises(InvalidPolicy, match="an id is not empty"):
        PolicyTest("x", "")
    with pytest.raises(InvalidTime, match="milliseconds"):
        PolicyTest("x", "alice", at=2.0**33)


@pytest.mark.parametrize(
    "fields",
    [
        {"name": None},
        {"client": None},
        {"at": "noon"},
        {"allow": "tcp 10.0.0.5"},
        {"deny": [None]},
        {"deny": None},
    ],
    ids=str,
)
def test_a_part_of_a_wrong_type_is_a_type_error(fields: Json) -> None:
    with pytest.raises(TypeError):
        PolicyTest(**{"name": "x", "client": "alice"} | fields)


def test_tests_of_a_policy_are_tests() -> None:
    with pytest.raises(TypeError, match="each of tests is a PolicyTest"):
        Policy(TunnelAddresses("100.64.0.1"), tests=["x"])  # type: ignore[list-item]


# --- What becomes of them -----------------------------------------------------------------

BOTH_FAMILIES: Json = {"ipv6": "fd00:2021:1111::2"}


def run(test: Json, **fields: object) -> TestResult:
    (result,) = load_policy(with_tests(TEST | test, **fields)).run_tests()
    return result


@pytest.mark.parametrize(
    "target",
    [
        "tcp 10.0.0.5:5432",
        "tcp 10.0.0.0/24:5432",
        "ping 10.0.0.5",
        "icmp/0 10.0.0.5",
        "tcp git.example.com",
        "ping git.example.com",
        "icmp git.example.com",  # of all types the echo request alone can be translated
        "udp 100.64.0.1:53535",
    ],
)
def test_what_is_permitted_as_a_whole_may_be_allowed_and_not_denied(target: str) -> None:
    assert run({"allow": [target]}).passed
    denied = run({"deny": [target]})
    assert (denied.passed, denied.side, denied.part) == (False, "deny", target)
    assert denied.explanation is not None
    assert denied.explanation.decision.allowed


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("udp 10.0.0.5", Reason.UDP_PORT),
        ("icmp/13 10.0.0.5", Reason.ICMP),
        ("icmp/9 10.0.0.5", Reason.ICMP),
        ("47 10.0.0.5", Reason.PROTOCOL),
        ("tcp 10.0.1.0/24:5432", Reason.NO_RESOURCE),
        ("icmp 10.0.1.0/24", Reason.NO_RESOURCE),
        ("tcp fd00::1", Reason.SOURCE_NOT_ALLOWED),  # the client has no IPv6 address
        ("udp git.example.com:53", Reason.UDP_PORT),
        # A proxy address carries echo requests alone, whatever the filters permit.
        ("icmp/13 git.example.com", Reason.PROTOCOL),
        ("ping nowhere.example.com", Reason.NO_TRANSLATION),
        ("tcp 100.64.0.1:443", Reason.TCP_PORT),
        ("tcp 100.64.0.3", Reason.PEER_ADDRESS),
        ("tcp 100.64.0.0/24:53535", Reason.PEER_ADDRESS),  # the gateway's own address is in it
        ("udp 224.0.0.0/4", Reason.MULTICAST),
    ],
)
def test_what_is_refused_as_a_whole_may_be_denied_and_not_allowed(
    target: str, reason: Reason
) -> None:
    assert run({"deny": [target]}).passed
    allowed = run({"allow": [target]})
    assert (allowed.passed, allowed.side, allowed.part) == (False, "allow", target)
    assert allowed.explanation is not None
    assert isinstance(allowed.explanation.decision, Reject | Drop)
    assert allowed.explanation.decision.reason is reason


@pytest.mark.parametrize(
    "target",
    ["tcp 10.0.0.5", "tcp 10.0.0.5:5431-5432", "tcp 10.0.0.0/23:5432", "icmp 10.0.0.5"],
)
def test_what_is_permitted_in_part_may_be_neither_allowed_nor_denied(target: str) -> None:
    assert not run({"allow": [target]}).passed
    assert not run({"deny": [target]}).passed


def test_the_result_of_a_failing_test_names_the_first_target_that_fails() -> None:
    result = run({"allow": ["tcp 10.0.0.5:5432", "tcp 10.0.0.5:80-90"], "deny": ["ping 10.0.0.5"]})
    assert (result.name, result.client, result.passed) == ("alice works", "alice", False)
    assert (result.part, result.side) == ("tcp 10.0.0.5:80-90", "allow")
    assert result.witness is not None
    assert result.witness[0] is Direction.OUTBOUND
    assert result.explanation is not None
    read = result.explanation.packet
    assert read is not None
    assert (str(read.destination), read.destination_port) == ("10.0.0.5", 80)


def test_the_other_targets_that_fail_are_listed_with_their_sides() -> None:
    allow = ["udp 10.0.0.5", "tcp 10.0.0.5:5432", "tcp git.example.com", "47 10.0.0.5"]
    result = run({"allow": allow, "deny": ["icmp/13 10.0.0.5", "ping 10.0.0.5"]})
    assert (result.side, result.part) == ("allow", "udp 10.0.0.5")
    assert result.others == (("allow", "47 10.0.0.5"), ("deny", "ping 10.0.0.5"))
    assert result.to_dict()["others"] == [["allow", "47 10.0.0.5"], ["deny", "ping 10.0.0.5"]]


@pytest.mark.parametrize(
    ("target", "first"),
    [
        ("tcp 8.0.0.0/6:5432", "8.0.0.0"),  # before what is permitted
        ("tcp 10.0.0.0/16:5432", "10.0.1.0"),  # behind it
    ],
)
def test_the_first_address_that_is_refused_is_shown(target: str, first: str) -> None:
    explanation = run({"allow": [target]}).explanation
    assert explanation is not None
    assert explanation.packet is not None
    assert str(explanation.packet.destination) == first


@pytest.mark.parametrize("own", ["100.64.0.0", "100.64.0.1"])
def test_the_gateways_own_address_is_passed_over_wherever_it_stands_in_a_network(own: str) -> None:
    pair = load_policy(
        document(
            client(),
            gateway={"ipv4": own},
            options={"own_filters": []},
            tests=[TEST | {"deny": ["tcp 100.64.0.0/31"]}, TEST | {"deny": [f"tcp {own}"]}],
        )
    )
    assert [result.passed for result in pair.run_tests()] == [True, False]


def test_a_result_in_json_types_has_its_packet_in_hex() -> None:
    told = run({"deny": ["tcp 10.0.0.5"]}).to_dict()
    result = run({"deny": ["tcp 10.0.0.5"]})
    assert result.witness is not None
    assert result.explanation is not None
    assert json.loads(json.dumps(told)) == {
        "name": "alice works",
        "client": "alice",
        "passed": False,
        "part": "tcp 10.0.0.5",
        "side": "deny",
        "witness": {"direction": "outbound", "packet": result.witness[1].hex()},
        "explanation": result.explanation.to_dict(),
        "others": [],
    }


def test_a_test_that_passes_has_nothing_to_show() -> None:
    assert run({}) == TestResult("alice works", passed=True, client="alice")
    assert run({}).to_dict() == {
        "name": "alice works",
        "client": "alice",
        "passed": True,
        "part": None,
        "side": None,
        "witness": None,
        "explanation": None,
        "others": [],
    }


def test_a_name_without_proxy_addresses_fails_without_a_witness() -> None:
    result = run({"allow": ["tcp bare.example.com"]})
    assert (result.passed, result.part) == (False, "tcp bare.example.com")
    assert (result.witness, result.explanation) == (None, None)
    assert run({"deny": ["tcp bare.example.com"]}).passed


def test_a_type_that_is_an_error_in_ipv6_is_asked_of_the_ipv4_addresses_of_a_name() -> None:
    both = domain(resolved_addresses=["10.20.0.10", "fd10::10"])
    authorized = GIT | {"domains": [both]}
    policy = load_policy(
        document(
            client(authorized, **BOTH_FAMILIES),
            tests=[TEST | {"allow": ["icmp/8 git.example.com", "ping git.example.com"]}],
        )
    )
    assert [result.passed for result in policy.run_tests()] == [True]


def test_what_has_expired_at_the_moment_of_a_test_permits_nothing() -> None:
    tests = [
        TEST | {"at": at, side: ["tcp 10.0.0.5:5432"]}
        for at in (None, EXPIRY - 1, EXPIRY)
        for side in ("allow", "deny")
    ]
    results = load_policy(with_tests(*tests)).run_tests()
    assert [result.passed for result in results] == [True, False, True, False, False, True]


def test_a_name_whose_authorization_has_expired_leads_nowhere() -> None:
    expiring = document(
        client(GIT | {"expires_at": EXPIRY}),
        tests=[TEST | {"at": EXPIRY, "allow": ["tcp git.example.com:443"]}],
    )
    (result,) = load_policy(expiring).run_tests()
    assert result.explanation is not None
    assert isinstance(result.explanation.decision, Reject)
    assert result.explanation.decision.reason is Reason.NO_RESOURCE


def test_with_stateful_an_answer_comes_back_from_wherever_a_packet_may_go() -> None:
    allowed = ["tcp 10.0.0.5:5432", "ping 10.0.0.5", "icmp/0 10.0.0.5", "tcp git.example.com"]
    stateful = with_tests(TEST | {"allow": allowed}) | {"options": {"stateful": True}}
    assert [result.passed for result in load_policy(stateful).run_tests()] == [True]
