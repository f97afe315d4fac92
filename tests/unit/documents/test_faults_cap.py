"""Many faults: the first hundred are listed, the others counted, soon and in little memory."""

import json
import random
import time
import tracemalloc
from collections.abc import Callable

import pytest

from firezone_filter import InvalidMessage, InvalidPolicy, load_policy
from firezone_filter.documents.faults import MAX_FAULTS, Faults, Occurrence, Place
from firezone_filter.documents.nodes import Node
from firezone_filter.documents.parsing import parse, read_document
from tests.portal import INIT, NOW, message, session

ROOT = Place()


def error_of(faults: Faults) -> InvalidPolicy:
    with pytest.raises(InvalidPolicy) as caught:
        faults.raise_if_any()
    return caught.value


def added(orders: list[int]) -> InvalidPolicy:
    faults = Faults()
    for order in orders:
        faults.add(Place(ROOT, f"x{order}", order), "is wrong", order)
    return error_of(faults)


# --- Which are listed ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "last"),
    [
        (99, "x98: is wrong"),
        (100, "x99: is wrong"),
        (101, "and 1 more fault"),
        (102, "and 2 more faults"),
        (1_500, "and 1,400 more faults"),
    ],
)
def test_a_hundred_faults_are_listed_and_the_others_counted(number: int, last: str) -> None:
    error = added([*range(number)])
    assert len(error.faults) == min(number, MAX_FAULTS + 1)
    assert error.faults[-1] == last
    assert str(error) == "\n".join(error.faults)


FORWARDS = [*range(1_000)]
ORDERS = [FORWARDS, FORWARDS[::-1], random.Random(5).sample(FORWARDS, 1_000)]


@pytest.mark.parametrize("order", ORDERS, ids=["forwards", "backwards", "shuffled"])
def test_the_first_in_the_document_are_listed_whenever_they_were_found(order: list[int]) -> None:
    error = added(order)
    assert error.faults == (*(f"x{n}: is wrong" for n in range(100)), "and 900 more faults")
    assert error.value == 0


def test_several_faults_of_one_place_stay_in_the_order_in_which_they_were_found() -> None:
    faults = Faults()
    for n in range(500):
        faults.add(ROOT, f"is wrong, {n}", n)
    assert error_of(faults).faults[:100] == tuple(f"document: is wrong, {n}" for n in range(100))


def test_a_fault_that_is_not_listed_is_not_written_either() -> None:
    faults, written = Faults(), []

    def write() -> str:
        written.append(1)
        return "is wrong"

    for n in range(1_000):
        faults.add(Place(ROOT, n, n), write, n)
    assert error_of(faults).faults[0] == "[0]: is wrong"
    assert len(written) == MAX_FAULTS


def test_conflicts_are_counted_as_other_faults_are() -> None:
    faults = Faults()
    faults.add(Place(ROOT, "x", 200), "is wrong", None)
    for n in range(200):
        faults.require_unique("ids", "db", Occurrence(Place(ROOT, n, n), "db"))
    listed = error_of(faults).faults
    assert listed[0] == "[1]: 'db' is already [0]"
    assert listed[99:] == ("[100]: 'db' is already [0]", "and 100 more faults")


def test_unknown_fields_are_listed_with_faults_around_them() -> None:
    document = {"a": 1} | {f"x{n}": n for n in range(150)} | {"b": 2}

    def read(node: Node) -> None:
        fields = node.fields_only("a", "b")
        assert fields is not None
        fields.require("b").text(str)
        fields.require("a").text(str)

    with pytest.raises(InvalidPolicy) as caught:
        read_document(document, read)
    faults = caught.value.faults
    assert faults[:2] == ("a: 1 is not a text", "x0: unknown field, known are a, b")
    assert faults[99:] == ("x98: unknown field, known are a, b", "and 52 more faults")


def test_a_long_name_resembles_no_field() -> None:
    long = "expires_at" + "t" * 71
    with pytest.raises(InvalidPolicy) as caught:
        read_document({long: 1, long[:11]: 1}, lambda node: node.fields_only("expires_at"))
    one, other = caught.value.faults
    assert one.endswith("known are expires_at")
    assert other.endswith("did you mean 'expires_at'?")


# --- Time and memory ----------------------------------------------------------------------

MANY = 100_000
SEVERAL = 10_000  # where each fault is a value of its own
GATEWAY = '{"gateway": {"ipv4": "100.64.0.1"}, "clients": [], '
CLIENT = '{"gateway": {"ipv4": "100.64.0.1"}, "clients": [{"id": "a", "ipv4": "100.64.0.2", '


def unknown_fields() -> str:
    return GATEWAY + ", ".join(f'"client{n}": {n}' for n in range(MANY)) + "}"


def unknown_objects() -> str:
    return GATEWAY + ", ".join(f'"k{n}": {{}}' for n in range(SEVERAL)) + "}"


def unknown_fields_of_many() -> str:
    one = '{"expire_at": 1}, ' * (SEVERAL - 1) + '{"expire_at": 1}'
    return f'{CLIENT}"authorizations": [{one}]}}]}}'


def not_objects() -> str:
    return '{"gateway": {"ipv4": "100.64.0.1"}, "clients": [' + "5, " * SEVERAL + "5]}"


def not_finite() -> str:
    return GATEWAY + '"x": [' + "NaN, " * SEVERAL + "NaN]}"


def given_twice() -> str:
    names = ", ".join(f'"k{n}": 1' for n in range(SEVERAL // 2))
    return f"{GATEWAY}{names}, {names}}}"


def one_id() -> str:
    one = '{"id": "a", "ipv4": "100.64.0.2", "authorizations": []}'
    return f'{{"gateway": {{"ipv4": "100.64.0.1"}}, "clients": [{", ".join([one] * SEVERAL)}]}}'


DOCUMENTS: list[Callable[[], str]] = [
    unknown_fields,
    unknown_objects,
    unknown_fields_of_many,
    not_objects,
    not_finite,
    given_twice,
    one_id,
]


@pytest.mark.parametrize("write", DOCUMENTS)
def test_a_document_of_very_many_faults_is_refused_soon(write: Callable[[], str]) -> None:
    text = write()
    start = time.process_time()
    with pytest.raises(InvalidPolicy) as caught:
        load_policy(text)
    assert time.process_time() - start < 5
    assert len(caught.value.faults) == MAX_FAULTS + 1


@pytest.mark.parametrize("write", [unknown_fields, not_objects, not_finite])
def test_a_document_of_very_many_faults_takes_little_memory_beside_its_own(
    write: Callable[[], str],
) -> None:
    text = write()
    tracemalloc.start()
    try:
        parsed = parse(text)
        _, parsing = tracemalloc.get_traced_memory()
        del parsed
        tracemalloc.reset_peak()
        with pytest.raises(InvalidPolicy):
            load_policy(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * parsing + 4_000_000


def test_a_message_of_very_many_faults_is_refused_soon() -> None:
    text = json.dumps(message(INIT, authorizations=[{}] * 20_000))
    _, portal = session()
    start = time.process_time()
    with pytest.raises(InvalidMessage) as caught:
        portal.receive(text, NOW)
    assert time.process_time() - start < 5
    assert caught.value.faults[-1] == "and 59,900 more faults"
